"""Simulated data in the shape of CH-SIMS, whose best possible accuracy is known.

What it is: labels come from the real joint distribution of CH-SIMS (or from a given label table);
each modality's sequence carries a noisy trace of its own unimodal class and of nothing else, hidden
among speaker effects, slow drift and noise. `model` is the exact model of that trace, and with it
the Bayes limit, kept in the file. `kinds` says what may be otherwise.

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

from pathlib import Path
from typing import Any

import numpy as np

from tricord.data.schema import SPLITS
from tricord.data.simulation import kinds
from tricord.data.simulation.clips import Clips, population
from tricord.data.simulation.kinds import Kind
from tricord.data.simulation.limits import limits
from tricord.data.simulation.model import (
    DRAWS,
    MAX_EVIDENCE_WORDS,
    PRESETS,
    GenerativeModel,
    Statistics,
    draw_classes,
)
from tricord.data.simulation.sequences import (
    CHANNELS,
    NUISANCES,
    Channel,
    frame_rows,
    text_rows,
)
from tricord.data.simulation.speakers import SAME, Ints, speaker_and_clip_noise
from tricord.errors import ConfigError

VERSION = 1
CLASS_NAMES = np.array(["Negative", "Neutral", "Positive"])
_LIMIT_SEED = 0
_EVIDENCE_SHARE = 0.5  # of the words of a clip
# One stream of random numbers each, so that labels do not change with the lengths.
_PURPOSES = ("labels", "lengths", "evidence", "text", "audio", "vision")
Chances = dict[str, np.random.Generator]
Drawn = tuple[Statistics, Ints]  # of clips, and their (N, 4) classes


def simulate(
    *,
    preset: str = "ch-sims",
    scale: float = 1.0,
    length_scale: float = 1.0,
    labels: Path | None = None,
    seed: int = 1,
    conflict: float | None = None,
    kind: str = kinds.DEFAULT,
) -> tuple[dict[str, dict[str, object]], dict[str, Any]]:
    """Splits in the MMSA layout, and the record to keep with them.

    preset: a name of `model.PRESETS`.
    scale: factor on the number of clips, 1368/456/457.
    length_scale: factor on all lengths; at least 2 frames and 3 tokens stay.
    labels: a label table (CSV: video_id, clip_id, label, label_T, label_A, label_V, mode) that
        gives ids, splits and scores, instead of ``scale`` and ``conflict``.
    seed: of the data; loadings and words are the same for all seeds.
    conflict: share (0 to 1) of clips whose four signs do not all agree; None: as in CH-SIMS, .507.
    kind: a name of `kinds.KINDS`; another class balance comes before ``conflict``, which moves it
        a little, and does not go with ``labels``.

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
    chosen = kinds.get(kind)
    clips, joint = population(scale, labels, conflict, chosen, chances["labels"])
    model = GenerativeModel.from_preset(preset, joint, chosen.useless, chosen.shift)
    channels = {name: channel.scaled(length_scale) for name, channel in CHANNELS.items()}
    lengths = _lengths(channels, len(clips.ids), chances["lengths"])
    words = _evidence_words(lengths["text"], chances["lengths"])
    test = clips.splits == "test"
    statistics = model.draw_statistics(
        clips.classes, clips.videos, words, chances["evidence"], test
    )
    splits = _render(clips, statistics, lengths, channels, chosen, chances)
    anyone = _draw_population(model, channels)
    in_test = statistics.take(test), clips.classes[test]
    record = {
        "about": "SIMULATED, not CH-SIMS: labels follow its joint distribution, sequences come "
        "from a simple model. What may not be concluded from it: see tricord.data.simulation.",
        "version": VERSION,
        "kind": kind,
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
            **_limits(model, in_test, anyone, shifted=True),
        },
    }
    if model.shift != SAME:
        record["unaware_limit"] = {
            "about": "the same of the best that can be known from train: it takes the speakers of "
            "test for speakers like train's.",
            **_limits(model, in_test, anyone, shifted=False),
        }
    return splits, {"simulation": record}


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


def _limits(model: GenerativeModel, test: Drawn, anyone: Drawn, *, shifted: bool) -> dict[str, Any]:
    """Of the population of test's clips and of those in the file, as `limits` takes them."""
    return {
        "population": limits(model, *anyone, shifted=shifted),
        "test": limits(model, *test, shifted=shifted),
    }


def _draw_population(model: GenerativeModel, channels: dict[str, Channel]) -> Drawn:
    """Monte Carlo with a fixed seed, every clip with a speaker of test of its own."""
    rng = np.random.default_rng(_LIMIT_SEED)
    classes = draw_classes(model.joint, DRAWS, rng)
    words = _evidence_words(_lengths(channels, DRAWS, rng)["text"], rng)
    own = np.arange(DRAWS)
    return model.draw_statistics(classes, own, words, rng, np.ones(DRAWS, dtype=bool)), classes


def _render(
    clips: Clips,
    statistics: Statistics,
    lengths: dict[str, Ints],
    channels: dict[str, Channel],
    kind: Kind,
    chances: Chances,
) -> dict[str, dict[str, object]]:
    """Labels and sequences of every split; the sequences carry the clips' statistics."""
    shifted, style = clips.splits == "test", kind.style
    levels = {
        name: np.hstack(
            [
                evidence,
                speaker_and_clip_noise(clips.videos, NUISANCES, chances[name], shifted, kind.shift),
            ]
        )
        for name, evidence in (("audio", statistics.audio), ("vision", statistics.vision))
    }
    splits: dict[str, dict[str, object]] = {}
    for split in SPLITS:
        rows = np.flatnonzero(clips.splits == split)
        words = statistics.text[rows], lengths["text"][rows]
        splits[split] = {
            **_labels(clips, rows),
            **text_rows(*words, channels["text"], style, chances["text"]),
        }
        for name, level in levels.items():
            own = lengths[name][rows]
            splits[split][name] = frame_rows(
                name, level[rows], own, channels[name], style, chances[name]
            )
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
