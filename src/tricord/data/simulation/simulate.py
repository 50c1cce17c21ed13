"""Simulated data in the shape of CH-SIMS, whose best possible accuracy is known.

What it is: labels come from the real joint distribution of CH-SIMS (or from a given label table);
each modality's sequence carries a noisy trace of its own unimodal class and of nothing else, hidden
among speaker effects, slow drift and noise. `model` is the exact model of that trace,
and with it the Bayes limit, kept in the file.

What may be concluded from it: that an implementation learns what can be learned, how far it stays
from the limit, that its statistics are right. What may not: that a method is good on people. The
modalities are independent given their labels, intensity leaves no trace (a regression head can
learn no more than the class), clips of a video have independent labels, speakers differ by an
offset only, words have no order and no grammar, nothing is missing or mislabelled, and how hard
each modality is was set by hand, to the levels of one published table. No ranking of methods on
this data says how they rank on real data.

Layout: the MMSA feature file (a dictionary of splits). Shapes: N clips, text 39 x 768, audio
400 x 33, vision 55 x 709, lengths times ``length_scale``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import ID_SEPARATOR, SPLITS
from tricord.data.simulation.model import (
    DRAWS,
    MAX_EVIDENCE_WORDS,
    PRESETS,
    Floats,
    GenerativeModel,
    Ints,
    Limits,
    Statistics,
    ch_sims_joint,
    draw_classes,
    joint_of,
    limits,
    load_resource,
    reweight,
    speaker_and_clip_noise,
)
from tricord.data.simulation.sequences import (
    CHANNELS,
    NUISANCES,
    Channel,
    frame_rows,
    text_rows,
)
from tricord.errors import ConfigError, DataError

VERSION = 1
CLIPS: dict[str, int] = {"train": 1368, "valid": 456, "test": 457}
CLIPS_PER_VIDEO = 8
CLASS_NAMES = np.array(["Negative", "Neutral", "Positive"])
SCORE_COLUMNS = ("label", "label_T", "label_A", "label_V")
_LIMIT_SEED = 0
_EVIDENCE_SHARE = 0.5  # of the words of a clip
# One stream of random numbers each, so that labels do not change with the lengths.
_PURPOSES = ("labels", "lengths", "evidence", "text", "audio", "vision")
Chances = dict[str, np.random.Generator]


def simulate(
    *,
    preset: str = "ch-sims",
    scale: float = 1.0,
    length_scale: float = 1.0,
    labels: Path | None = None,
    seed: int = 1,
    conflict: float | None = None,
) -> tuple[dict[str, dict[str, object]], dict[str, object]]:
    """Splits in the MMSA layout, and the record to keep with them.

    preset: a name of `model.PRESETS`.
    scale: factor on the number of clips, 1368/456/457.
    length_scale: factor on all lengths; at least 2 frames and 3 tokens stay.
    labels: a label table (CSV: video_id, clip_id, label, label_T, label_A, label_V, mode) that
        gives ids, splits and scores, instead of ``scale`` and ``conflict``.
    seed: of the data; loadings and words are the same for all seeds.
    conflict: share (0 to 1) of clips whose four signs do not all agree; None: as in CH-SIMS, .507.

    Per split: raw_text, id, text (N, 39, 768), text_bert (N, 3, 39) int64 (ids, mask, types),
    audio (N, 400, 33), vision (N, 55, 709), audio_lengths, vision_lengths, annotations,
    classification_labels, regression_labels and those of _T, _A, _V. The record stands under
    ``simulation``: what it is, parameters, Bayes limit, oracles of one modality.

    Raises ConfigError for a setting out of range, DataError for a label table that cannot be used.
    """
    if not (0 < scale < np.inf and 0 < length_scale < np.inf) or seed < 0:
        raise ConfigError(
            f"scale {scale}, length_scale {length_scale}, seed {seed} found, expected finite "
            "scales above 0 and a seed of at least 0"
        )
    chances = dict(zip(_PURPOSES, np.random.default_rng(seed).spawn(len(_PURPOSES)), strict=True))
    clips, joint = _population(scale, labels, conflict, chances["labels"])
    model = GenerativeModel.from_preset(preset, joint)
    channels = {name: channel.scaled(length_scale) for name, channel in CHANNELS.items()}
    lengths = _lengths(channels, len(clips.ids), chances["lengths"])
    words = _evidence_words(lengths["text"], chances["lengths"])
    statistics = model.draw_statistics(clips.classes, clips.videos, words, chances["evidence"])
    splits = _render(clips, statistics, lengths, channels, chances)
    test = clips.splits == "test"
    record = {
        "about": "SIMULATED, not CH-SIMS: labels follow its joint distribution, sequences come "
        "from a simple model. What may not be concluded from it: see tricord.data.simulation.",
        "version": VERSION,
        "preset": preset,
        "levels": PRESETS[preset],
        "seed": seed,
        "scale": scale,
        "length_scale": length_scale,
        "conflict": conflict,
        "label_table": None if labels is None else labels.name,
        "videos_span_splits": clips.videos_span_splits,
        "model": model.record(),
        "bayes_limit": {
            "about": "accuracies of p(M | a clip's sequences), speakers marginalised; 'all': the "
            "Bayes limit, a modality: its oracle. 'pos>neg+neutral' and 'three classes' cannot be "
            "beaten on D_test; 'pos>neg' and the subsets are what the same classifier gets there.",
            "population": _population_limits(model, channels),
            "test": limits(model, statistics.take(test), clips.classes[test]),
        },
    }
    return splits, {"simulation": record}


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


def _population(
    scale: float, table: Path | None, conflict: float | None, rng: np.random.Generator
) -> tuple[Clips, Floats]:
    """The clips, and the joint table that their labels stand for."""
    if table is not None:
        if scale != 1.0 or conflict is not None:
            raise ConfigError(
                "labels: a label table fixes the clips, scale and conflict do not fit"
            )
        clips = read_labels(table)
        return clips, joint_of(clips.classes)
    joint = ch_sims_joint() if conflict is None else reweight(ch_sims_joint(), conflict)
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


def _lengths(
    channels: dict[str, Channel], number: int, rng: np.random.Generator
) -> dict[str, Ints]:
    """Per modality (number,): a clip that lasts longer is longer in all modalities."""
    duration = rng.gamma(4.0, 0.25, number)
    return {
        name: np.clip(np.rint(c.mean * duration), c.least, c.most).astype(np.int64)
        for name, c in channels.items()
    }


def _evidence_words(tokens: Ints, rng: np.random.Generator) -> Ints:
    return np.clip(rng.binomial(tokens - 2, _EVIDENCE_SHARE), 1, MAX_EVIDENCE_WORDS)


def _population_limits(model: GenerativeModel, channels: dict[str, Channel]) -> Limits:
    """By Monte Carlo with a fixed seed, every clip with a speaker of its own."""
    rng = np.random.default_rng(_LIMIT_SEED)
    classes = draw_classes(model.joint, DRAWS, rng)
    words = _evidence_words(_lengths(channels, DRAWS, rng)["text"], rng)
    return limits(model, model.draw_statistics(classes, np.arange(DRAWS), words, rng), classes)


def _render(
    clips: Clips,
    statistics: Statistics,
    lengths: dict[str, Ints],
    channels: dict[str, Channel],
    chances: Chances,
) -> dict[str, dict[str, object]]:
    """Labels and sequences of every split; the sequences carry the clips' statistics."""
    levels = {
        name: np.hstack([evidence, speaker_and_clip_noise(clips.videos, NUISANCES, chances[name])])
        for name, evidence in (("audio", statistics.audio), ("vision", statistics.vision))
    }
    splits: dict[str, dict[str, object]] = {}
    for split in SPLITS:
        rows = np.flatnonzero(clips.splits == split)
        words = statistics.text[rows], lengths["text"][rows]
        splits[split] = {
            **_labels(clips, rows),
            **text_rows(*words, channels["text"], chances["text"]),
        }
        for name, level in levels.items():
            own = lengths[name][rows]
            splits[split][name] = frame_rows(name, level[rows], own, channels[name], chances[name])
            splits[split][f"{name}_lengths"] = own
    return splits


def _labels(clips: Clips, rows: Ints) -> dict[str, object]:
    multimodal = clips.classes[rows, 0]
    names = ("regression_labels", *(f"regression_labels_{k}" for k in "TAV"))
    return {
        "id": clips.ids[rows].tolist(),
        "annotations": CLASS_NAMES[multimodal].tolist(),
        "classification_labels": multimodal,
        **dict(zip(names, clips.scores[rows].T.copy(), strict=True)),
    }
