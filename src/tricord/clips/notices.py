"""What is said of a label table of clips: one line each, with the lines of the file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from tricord.clips.finding import shortened
from tricord.data.readers.delimited import UNKNOWN, named
from tricord.data.readers.label_table import SCORES, LabelTable, unknown_scores
from tricord.data.schema import SPLITS

_MOST_LINES = 5  # that a notice names


def of_videos(table: LabelTable) -> list[str]:
    """What a table without speakers means for splits, where it does not name them itself."""
    if table.modes is not None:
        return []
    if len(set(table.videos)) == len(table.videos):
        return [
            "speaker: not known, and every clip is a video of its own: a random split puts clips "
            "of one person into train and into test, and its results are too good; fill in the "
            "column 'speaker'"
        ]
    if label_by_video(table):
        return [
            "speaker: not known, each folder or video holds one label only, and some label is in "
            f"fewer than {len(SPLITS)} of them: clips are split one by one, so that clips of one "
            "person may be in train and in test, and results are too good; fill in the column "
            "'speaker'"
        ]
    return [
        f"speaker: not known: splits keep the {len(set(table.videos))} folders or videos apart, "
        "and people only if nobody is in two of them; else fill in the column 'speaker'"
    ]


def label_by_video(table: LabelTable) -> bool:
    """Whether each video has one label, a word, and some word too few videos for three splits.

    Such as folders angry/, calm/. Unlabelled clips do not count.
    """
    pairs = set(zip(table.videos, table.words or (), strict=False))
    known = [(video, word) for video, word in pairs if word.lower() not in UNKNOWN]
    videos = Counter(word for _, word in known)
    several = len(videos) > 1 and len({video for video, _ in known}) == len(known)
    return several and min(videos.values()) < len(SPLITS)


def look_alikes(names: Iterable[str], column: str, what: str) -> list[str]:
    """A notice for each set of names that differ only in case, blanks or how they are composed."""
    alike: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if name.lower() not in UNKNOWN:
            alike[" ".join(normalize("NFKC", name).casefold().split())].add(name)
    return [
        f"{column}: {named(sorted(same), 5)} are taken as {what}: write them alike if they are one"
        for same in alike.values()
        if len(same) > 1
    ]


def of_the_table(table: LabelTable) -> list[str]:
    """The table's notices, but for those of labels, which `_of_labels` says with their lines."""
    known = [n for n in range(1, len(SCORES)) if not np.isnan(table.scores[:, n]).all()]
    partly = unknown_scores(table.scores[:, known], [SCORES[n] for n in known])
    return [line for line in table.notices if ": unknown for " not in line] + partly


def of_missing(
    table: LabelTable, folder: Path, paths: Sequence[Path], missing: Sequence[int]
) -> list[str]:
    """The rows whose file is not there."""
    if not missing:
        return []
    wanted = named(shortened(paths[row], folder) for row in missing)
    return [f"file: not found for {of_clips(missing, paths)}{in_lines(table, missing)}: {wanted}"]


def of_labels(table: LabelTable, labelled: NDArray[np.bool_]) -> list[str]:
    """Words that may be one, and the rows without a label. labelled: (N,)."""
    notices = look_alikes(table.words or (), "label", "two classes")
    empty = np.flatnonzero(~labelled).tolist()
    if len(empty) == len(labelled):
        notices.append("label: empty in every row: fill it in before training")
    elif empty:
        notices.append(
            f"label: empty or unknown for {of_clips(empty, labelled)}{in_lines(table, empty)}: "
            "measured, but not trained on (split 'unlabelled')"
        )
    return notices


def of_splits(lacking: Mapping[str, Sequence[str]]) -> list[str]:
    """Classes without a clip in train or valid (`grouping.lacking`)."""
    means = {
        "train": "so that it cannot be learned: get it from more people, leave its clips out, or "
        "merge it with another label",
        "valid": "so that no epoch is chosen by it",
    }
    return [
        f"label: {split} has no clip of {named(names, 10)}, {means[split]}"
        for split, names in lacking.items()
        if names
    ]


def of_clips(rows: Sequence[int], every: Sequence[object] | NDArray[np.bool_]) -> str:
    """``3 of 12 clips``."""
    return f"{len(rows)} of {len(every)} clips"


def in_lines(table: LabelTable, rows: Sequence[int]) -> str:
    """`` (line 2, 5)``, or nothing where it is all of them."""
    if len(rows) == len(table.lines):
        return ""
    more = ", ..." if len(rows) > _MOST_LINES else ""
    return f" (line {', '.join(str(table.lines[row]) for row in rows[:_MOST_LINES])}{more})"
