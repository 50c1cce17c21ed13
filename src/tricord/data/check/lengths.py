"""True lengths: absent and blank clips, padding, cuts, and whether modalities fit together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tricord.data.check.evidence import Evidence
from tricord.data.check.findings import FIX_COMMAND, Finding, Severity, Where, of_many
from tricord.data.check.scan import Scan

# A modality that this many clips lack was not extracted, rather than hard to extract.
MANY_ABSENT = 0.05
# Padding is set to mean + 3 deviations in this field, so about one clip in a hundred is cut.
MANY_CUT = 0.1
# A face or a voice is silent at the end of some clips; of most clips only padding is.
MOST = 0.5
FEW_TRAILING = 0.01
# Durations are shared by all modalities of a clip: lengths of real data correlate above .5.
UNPAIRED = 0.1
FEWEST_PAIRS = 100  # a correlation of .5 is then 5 standard errors above 0


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Of each modality's lengths, and of all together."""
    for modality in evidence.modalities:
        yield from _absent(evidence, modality)
        yield from _blank(evidence, modality)
        yield from _padding(evidence, modality)
        yield from _cut(evidence, modality)
    yield from _unpaired(evidence)


def _gathered(
    evidence: Evidence, modality: str, masks: dict[str, NDArray[np.bool_]]
) -> tuple[int, int, Where]:
    """How many clips, of how many, and where."""
    ids = (
        evidence.tables[split].ids[row] for split, m in masks.items() for row in np.flatnonzero(m)
    )
    count = sum(int(mask.sum()) for mask in masks.values())
    total = sum(len(mask) for mask in masks.values())
    splits = [split for split, mask in masks.items() if mask.any()]
    return count, total, Where.at(splits, modality, ids=ids)


def _absent(evidence: Evidence, modality: str) -> Iterator[Finding]:
    masks = {split: found.absent for split, found in evidence.of_modality(modality)}
    count, total, where = _gathered(evidence, modality, masks)
    if not count:
        return
    if count == total:
        # A table of labels without features, not features with holes.
        return
    yield Finding(
        "absent",
        Severity.WARNING if count / total > MANY_ABSENT else Severity.NOTE,
        f"length 0 in {of_many(count, total)}",
        "The modality is absent there. We train and predict without it; tools that expect all "
        "modalities read padding as if it were a clip.",
        "Train as it is, extract these clips again, or leave them out: "
        f"{FIX_COMMAND} --drop-absent",
        where,
    )


def _blank(evidence: Evidence, modality: str) -> Iterator[Finding]:
    masks = {split: found.blank for split, found in evidence.of_modality(modality)}
    count, total, where = _gathered(evidence, modality, masks)
    if not count:
        return
    yield Finding(
        "blank",
        Severity.WARNING,
        f"frames are there, but all are zero, in {of_many(count, total)}",
        "The extractor found no face or no sound and wrote zeros. A model takes that for a signal.",
        f"{FIX_COMMAND} --zero-is-absent",
        where,
    )


def _padding(evidence: Evidence, modality: str) -> Iterator[Finding]:
    scans = {n: s for n, s in evidence.of_modality(modality) if s.padded_length > 1}
    if not scans:
        return
    ends = {n: (s.trailing > 0) & ~s.blank for n, s in scans.items()}
    full = all(bool((s.lengths == s.padded_length).all()) for s in scans.values())
    count, total, where = _gathered(evidence, modality, ends)
    if full and count / total > MOST:
        yield Finding(
            "lengths-unused",
            Severity.WARNING,
            f"all lengths are {next(iter(scans.values())).padded_length}, but "
            f"{of_many(count, total)} end in zero frames, {_typical(scans)} of them at the median",
            "The true lengths are missing: padding is read as frames, and means over time are "
            "those of clip and padding together.",
            f"{FIX_COMMAND} (cuts zeros at the end)",
            where,
        )
    elif count:
        yield Finding(
            "trailing-zeros",
            Severity.WARNING if count / total > FEW_TRAILING else Severity.NOTE,
            f"the last frames are all zero within the given length in {of_many(count, total)}, "
            f"{_typical(scans)} of them at the median",
            "The given lengths are too long, "
            + (
                "or the last words have no vector, such as silences ('sp') among GloVe words."
                if modality == "text"
                else "or the extractor lost the face or the voice there."
            ),
            f"{FIX_COMMAND} (cuts zeros at the end)",
            where,
        )
    # Padding at the front fills the length to the last frame; other zeros there are silences.
    fronts = {n: (scans[n].leading > 0) & ~scans[n].blank for n in scans}
    padded = {
        n: front & (scans[n].lengths == scans[n].padded_length) for n, front in fronts.items()
    }
    count, total, where = _gathered(evidence, modality, padded)
    if count / total > MOST:
        yield Finding(
            "front-padding",
            Severity.WARNING,
            f"{of_many(count, total)} begin with zero frames",
            "Padded at the front, as some older aligned files are. Readers of this field, ours "
            "too, take padding to be at the end.",
            "Move the frames to the front before you train.",
            where,
        )


def _typical(scans: dict[str, Scan]) -> int:
    trailing = np.concatenate([s.trailing[(s.trailing > 0) & ~s.blank] for s in scans.values()])
    return int(np.median(trailing)) if len(trailing) else 0


def _cut(evidence: Evidence, modality: str) -> Iterator[Finding]:
    scans = {n: s for n, s in evidence.of_modality(modality) if s.padded_length > 1}
    masks = {n: (s.lengths == s.padded_length) & (s.trailing == 0) for n, s in scans.items()}
    count, total, where = _gathered(evidence, modality, masks)
    if not scans or not MANY_CUT * total < count < total:
        return
    yield Finding(
        "cut",
        Severity.NOTE,
        f"the padding is filled to the last frame in {of_many(count, total)}",
        "These clips were probably longer and are cut; what was said or shown last is lost.",
        "Where the raw clips are there, extract with a greater length.",
        where,
    )


def _unpaired(evidence: Evidence) -> Iterator[Finding]:
    lengths: dict[str, NDArray[np.int64]] = {}
    for modality in evidence.modalities:
        scans = [s for _, s in evidence.of_modality(modality)]
        lengths[modality] = np.concatenate([s.lengths for s in scans])
        ends = np.concatenate([s.lengths == s.padded_length for s in scans])
        if ends.mean() > MOST:  # lengths that say nothing of the clip
            del lengths[modality]
    for one, other in combinations(lengths, 2):
        r = _rank_correlation(lengths[one], lengths[other])
        if r is None or r >= UNPAIRED:
            continue
        yield Finding(
            "unpaired",
            Severity.WARNING,
            f"lengths of {one} and {other} do not go together (rank correlation {r:.2f})",
            "Both last as long as the clip, so in sound data they rise together. Suspicious: rows "
            "of one modality may belong to other clips, as when two files are joined by row.",
            "Join files by id, never by row: tricord data convert --help",
            Where.at(evidence.tables, other),
        )


def _rank_correlation(x: NDArray[np.int64], y: NDArray[np.int64]) -> float | None:
    """Spearman's over clips that have both; None where there are too few."""
    both = (x > 0) & (y > 0)
    x, y = x[both], y[both]
    if len(x) < FEWEST_PAIRS or len(np.unique(x)) < 3 or len(np.unique(y)) < 3:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ranks, ties sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])
