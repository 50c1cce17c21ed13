"""The clips of a simulated file: ids, splits, videos and labels, drawn or from a label table."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import ID_SEPARATOR, SPLITS
from tricord.data.simulation.kinds import Kind
from tricord.data.simulation.model import (
    ch_sims_joint,
    draw_classes,
    joint_of,
    load_resource,
    rebalance,
    reweight,
)
from tricord.data.simulation.speakers import Floats, Ints
from tricord.errors import ConfigError, DataError

CLIPS: dict[str, int] = {"train": 1368, "valid": 456, "test": 457}
CLIPS_PER_VIDEO = 8
SCORE_COLUMNS = ("label", "label_T", "label_A", "label_V")


@dataclass(frozen=True)
class Clips:
    """The labelled clips of all splits.

    ids, splits: (N,) strings; videos: (N,) numbers from 0; scores: (N, 4) of M, T, A, V.
    """

    ids: NDArray[np.str_]
    splits: NDArray[np.str_]
    videos: Ints
    scores: Floats

    @property
    def classes(self) -> Ints:
        """(N, 4) sign classes, 0 to 2."""
        return (np.sign(self.scores) + 1).astype(np.int64)

    @property
    def videos_span_splits(self) -> bool:
        """Whether a speaker of one split is met in another, which the Bayes limit leaves out."""
        pairs = {*zip(self.videos.tolist(), self.splits.tolist(), strict=True)}
        return len(pairs) > len(np.unique(self.videos))


def read_labels(path: Path) -> Clips:
    """A label table; ids are read as strings. Raises DataError naming file, row and column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable label table ({error})") from error
    needed = ("video_id", "clip_id", *SCORE_COLUMNS, "mode")
    missing = [c for c in needed if not rows or rows[0].get(c) is None]
    if missing:
        raise DataError(f"{path}: no column or value for {missing}, expected {list(needed)}")
    videos = np.array([row["video_id"] for row in rows])
    clips = Clips(
        ids=np.array([f"{row['video_id']}{ID_SEPARATOR}{row['clip_id']}" for row in rows]),
        splits=np.array([row["mode"] for row in rows]),
        videos=np.unique(videos, return_inverse=True)[1].astype(np.int64),
        scores=np.array(
            [[_score(path, i, c, row[c]) for c in SCORE_COLUMNS] for i, row in enumerate(rows, 2)]
        ),
    )
    if len(np.unique(clips.ids)) < len(rows):
        raise DataError(f"{path}: a pair of video_id and clip_id occurs twice")
    if set(clips.splits.tolist()) != set(SPLITS):
        found = sorted({str(s) for s in clips.splits})
        raise DataError(f"{path}, column 'mode': {found} found, expected {list(SPLITS)}")
    return clips


def _score(path: Path, row: int, column: str, text: str | None) -> float:
    try:
        score = float(text or "")
    except ValueError:
        score = np.nan
    if not -1.0 <= score <= 1.0:
        raise DataError(
            f"{path}, row {row}, column '{column}': {text!r} found, expected a number in -1..1"
        )
    return score


def population(
    scale: float,
    table: Path | None,
    conflict: float | None,
    kind: Kind,
    rng: np.random.Generator,
) -> tuple[Clips, Floats]:
    """The clips, and the joint table that their labels stand for."""
    if table is not None:
        if scale != 1.0 or conflict is not None or kind.shares is not None:
            raise ConfigError(
                "labels: a label table fixes the clips; scale, conflict and another class balance "
                "do not fit"
            )
        clips = read_labels(table)
        return clips, joint_of(clips.classes)
    joint = ch_sims_joint()
    if kind.shares is not None:
        joint = rebalance(joint, kind.shares)
    if conflict is not None:
        joint = reweight(joint, conflict)
    return _draw_clips(joint, scale, rng), joint


def _draw_clips(joint: Floats, scale: float, rng: np.random.Generator) -> Clips:
    counts = [max(1, round(CLIPS[split] * scale)) for split in SPLITS]
    place = np.concatenate([np.arange(n) for n in counts])
    starts = np.cumsum([0, *(-(-n // CLIPS_PER_VIDEO) for n in counts[:-1])])
    videos = np.repeat(starts, counts) + place // CLIPS_PER_VIDEO
    return Clips(
        ids=np.array(
            [
                f"video_{video + 1:04d}{ID_SEPARATOR}{clip % CLIPS_PER_VIDEO + 1:04d}"
                for video, clip in zip(videos, place, strict=True)
            ]
        ),
        splits=np.repeat(SPLITS, counts),
        videos=videos,
        scores=_draw_scores(draw_classes(joint, len(place), rng), rng),
    )


def _draw_scores(classes: Ints, rng: np.random.Generator) -> Floats:
    """(N, 4) scores on the grid of 0.2, from the intensities of each label within each class."""
    scores = np.zeros(classes.shape)
    for column, intensity in enumerate(load_resource("ch_sims_joint.json")["intensity"].values()):
        values = np.array([float(v) for v in intensity])
        for sign in range(3):
            members = classes[:, column] == sign
            shares = np.array([*intensity.values()]) * (np.sign(values) + 1 == sign)
            scores[members, column] = rng.choice(values, members.sum(), p=shares / shares.sum())
    return scores
