"""The generative model behind `tricord simulate`: small enough to know its own Bayes limit.

A clip has four sign classes (M, T, A, V), drawn from a joint table. Modality k sees only its own
class u. What its sequence says of u is one small *clip statistic*:

* audio, vision: z ~ N(MEANS[u], s^2 I) in R^2. A share SPEAKER_SHARE of s^2 is the speaker's,
  common to the clips of one video.
* text: counts of negative, neutral and positive evidence words, multinomial with n draws and
  logits w_n (onehot(u) + b (-1, 0, 1)); b ~ N(0, TEXT_SPEAKER_SD^2) belongs to the speaker. w_n
  falls with n such that a clip says as much in few words as in many.

A modality may be useless: its statistic then belongs to a class drawn from the same shares,
independent of everything else. The speakers of test may be shifted.

Everything else in a sequence is independent of the labels, and the statistic can be read off the
sequence without error, so p(M | all sequences) is a sum over the 81 cells of the joint table, the
speaker marginalised. The posterior is that of one clip by itself.

Shapes: N clips; classes 0 negative, 1 neutral, 2 positive; modalities text, audio, vision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.simulation.speakers import (
    SAME,
    SPEAKER_SHARE,
    TEXT_SPEAKER_SD,
    Bools,
    Floats,
    Ints,
    Shift,
    speaker_and_clip_noise,
)
from tricord.errors import ConfigError
from tricord.types import MODALITIES, Modality

# What one modality alone can know of M: accuracy of its oracle, non-positive against positive.
PRESETS: dict[str, dict[str, float]] = {
    "ch-sims": {"text": 0.78, "audio": 0.75, "vision": 0.79},
    "weak-audio": {"text": 0.78, "audio": 0.70, "vision": 0.79},
}

# Rows: classes; columns: valence, and neutral against the rest.
MEANS = np.array([[-1.0, -0.25], [0.0, 0.5], [1.0, -0.25]])
MAX_EVIDENCE_WORDS = 16
DRAWS = 200_000
_SPEAKER_NODES = 21


def load_resource(name: str) -> dict[str, Any]:
    """A JSON file that is packaged next to this module."""
    text = (files("tricord.data.simulation") / name).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def ch_sims_joint() -> Floats:
    """(3, 3, 3, 3) shares of the cells M, T, A, V in CH-SIMS, from its aggregated counts."""
    counts = np.zeros((3, 3, 3, 3))
    for cell, count in load_resource("ch_sims_joint.json")["joint"].items():
        counts[tuple(int(digit) for digit in cell)] = count
    return np.asarray(counts / counts.sum())


def joint_of(classes: Ints) -> Floats:
    """(3, 3, 3, 3) shares of the cells M, T, A, V among (N, 4) classes."""
    counts = np.zeros((3, 3, 3, 3))
    np.add.at(counts, tuple(classes.T), 1.0)
    return np.asarray(counts / counts.sum())


def is_diagonal() -> NDArray[np.bool_]:
    """(3, 3, 3, 3) True in the cells whose four classes agree (footnote 3: consistent)."""
    cells = np.indices((3, 3, 3, 3))
    return np.asarray((cells == cells[0]).all(axis=0))


def reweight(joint: Floats, conflict: float) -> Floats:
    """The joint table with a share ``conflict`` (0 to 1) of clips whose signs do not all agree.

    Within the consistent and within the inconsistent cells the proportions stay.
    """
    if not 0.0 <= conflict <= 1.0:
        raise ConfigError(f"conflict: {conflict} found, expected a share from 0 to 1")
    consistent = is_diagonal()
    share = joint[consistent].sum()
    factor = np.where(consistent, (1 - conflict) / share, conflict / (1 - share))
    return np.asarray(joint * factor)


def rebalance(joint: Floats, shares: tuple[float, float, float]) -> Floats:
    """The joint table with these shares of M's classes; what T, A and V are given M stays."""
    factors = np.array(shares) / joint.sum(axis=(1, 2, 3))
    return np.asarray(joint * factors[:, None, None, None])


def draw_classes(joint: Floats, number: int, rng: np.random.Generator) -> Ints:
    """(number, 4) classes of M, T, A, V."""
    cells = rng.choice(joint.size, size=number, p=joint.ravel())
    return np.stack(np.unravel_index(cells, joint.shape), axis=1).astype(np.int64)


@dataclass(frozen=True)
class Statistics:
    """All that N clips' sequences say of their labels.

    text: (N, 3) int64 counts of evidence words per class, at most MAX_EVIDENCE_WORDS in a clip.
    audio, vision: (N, 2) float64.
    """

    text: Ints
    audio: Floats
    vision: Floats

    def take(self, rows: slice | NDArray[Any]) -> Statistics:
        """The given clips."""
        return Statistics(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def text_logits(weights: Floats, bias: Floats) -> Floats:
    """(..., 3 classes, 3 word groups) logits of words, for weights and speaker biases (...)."""
    tilt = bias[..., None] * np.array([-1.0, 0.0, 1.0])
    return np.asarray(weights[..., None, None] * (np.eye(3) + tilt[..., None, :]))


def _log_softmax(logits: Floats) -> Floats:
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))


def text_likelihoods(weights: Floats, shift: Shift = SAME) -> Floats:
    """p(words | T) for every triple of counts, the speaker's bias marginalised.

    weights: (E,) w_n for n = 1..E evidence words. shift: of the speakers. Returns (E + 1, E + 1,
    E + 1, 3), counts of negative, neutral and positive words, then classes; the multinomial
    coefficient, the same for all classes, is left out. Triples of more than E words are not meant
    to be looked up.
    """
    nodes, shares = np.polynomial.hermite_e.hermegauss(_SPEAKER_NODES)
    biases = TEXT_SPEAKER_SD * (shift.mean + shift.spread * nodes)
    most = len(weights)
    counts = np.moveaxis(np.indices((most + 1,) * 3), 0, -1)
    log_p = _log_softmax(text_logits(weights[:, None], biases[None, :]))
    of_n = log_p[np.clip(counts.sum(axis=-1), 1, most) - 1]
    words = np.einsum("abcqug,abcg->abcqu", of_n, counts)
    return np.asarray(np.einsum("abcqu,q->abcu", np.exp(words), shares / shares.sum()))


@dataclass(frozen=True)
class GenerativeModel:
    """The population that clips are drawn from.

    joint: (3, 3, 3, 3) probabilities of the classes of M, T, A, V.
    text_weights: (E,) w_n, E = MAX_EVIDENCE_WORDS.
    noise: s of audio and vision.
    useless: modalities that say nothing of their own class.
    shift: of the speakers of test.
    """

    joint: Floats
    text_weights: Floats
    noise: Mapping[str, float]
    useless: tuple[str, ...] = ()
    shift: Shift = SAME

    @classmethod
    def from_preset(
        cls, preset: str, joint: Floats, useless: tuple[str, ...] = (), shift: Shift = SAME
    ) -> GenerativeModel:
        """With the calibrated levels of a preset. Raises ConfigError for an unknown name."""
        if preset not in PRESETS:
            raise ConfigError(f"preset: {preset!r} found, expected one of {list(PRESETS)}")
        stored = load_resource("simulation_levels.json")["levels"]
        level = {k: stored[k][f"{target:.2f}"] for k, target in PRESETS[preset].items()}
        return cls(
            joint=joint,
            text_weights=np.array(level["text"]["weights"]),
            noise={k: float(level[k]["noise"]) for k in ("audio", "vision")},
            useless=useless,
            shift=shift,
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> GenerativeModel:
        """From what a simulated file keeps under ``config["simulation"]["model"]``."""
        return cls(
            joint=np.array(record["joint"]),
            text_weights=np.array(record["text_weights"]),
            noise=dict(record["noise"]),
            useless=tuple(record.get("useless", ())),
            shift=Shift(**record.get("shift", {})),
        )

    def record(self) -> dict[str, object]:
        """Plain numbers from which `from_record` makes the same model."""
        found: dict[str, object] = {
            "joint": self.joint.tolist(),
            "text_weights": self.text_weights.tolist(),
            "noise": dict(self.noise),
        }
        if self.useless:
            found["useless"] = list(self.useless)
        if self.shift != SAME:
            found["shift"] = asdict(self.shift)
        return found

    @cached_property
    def _text_table(self) -> Floats:
        return text_likelihoods(self.text_weights)

    @cached_property
    def _shifted_text_table(self) -> Floats:
        return text_likelihoods(self.text_weights, self.shift)

    def draw_statistics(
        self,
        classes: Ints,
        videos: Ints,
        evidence_words: Ints,
        rng: np.random.Generator,
        shifted: Bools | None = None,
    ) -> Statistics:
        """Clip statistics of (N, 4) classes.

        videos: (N,) numbers from 0; equal numbers share a speaker.
        evidence_words: (N,) in 1..MAX_EVIDENCE_WORDS.
        shifted: (N,) clips whose speakers are those of test; none unless told.
        """
        shown = self._shown(classes, rng)
        speakers = int(videos.max()) + 1
        bias = TEXT_SPEAKER_SD * self.shift.of(rng.standard_normal(speakers)[videos], shifted)
        logits = text_logits(self.text_weights[evidence_words - 1], bias)
        own = logits[np.arange(len(shown)), shown[:, 1]]
        counts = rng.multinomial(evidence_words, np.exp(_log_softmax(own)))
        evidence = {}
        for axis, modality in ((2, Modality.AUDIO), (3, Modality.VISION)):
            noise = speaker_and_clip_noise(videos, MEANS.shape[1], rng, shifted, self.shift)
            evidence[str(modality)] = MEANS[shown[:, axis]] + self.noise[modality] * noise
        return Statistics(text=counts.astype(np.int64), **evidence)

    def _shown(self, classes: Ints, rng: np.random.Generator) -> Ints:
        """(N, 4) classes that the sequences show: of a useless modality, any."""
        shown = classes.copy()
        for modality in self.useless:
            shares = self.joint.sum(axis=_others(modality)).sum(axis=0)
            shown[:, 1 + MODALITIES.index(modality)] = rng.choice(3, len(classes), p=shares)
        return shown

    def likelihoods(self, statistics: Statistics, *, shifted: bool = False) -> dict[str, Floats]:
        """Per modality (N, 3): p(statistic | own class), each row up to a factor.

        shifted: for clips of test, where it is known that its speakers are shifted.
        """
        shift, table = SAME, self._text_table
        if shifted and self.shift != SAME:
            shift, table = self.shift, self._shifted_text_table
        found = {str(Modality.TEXT): table[tuple(statistics.text.T)]}
        for modality, values in (("audio", statistics.audio), ("vision", statistics.vision)):
            s = self.noise[modality]
            means = MEANS + s * np.sqrt(SPEAKER_SHARE) * shift.mean
            distance = ((values[:, None, :] - means) ** 2).sum(axis=-1)
            distance -= distance.min(axis=1, keepdims=True)
            found[modality] = np.exp(-0.5 * distance / (s**2 * shift.noise))
        return found | {modality: np.ones_like(found[modality]) for modality in self.useless}

    def posterior(
        self, likelihoods: Mapping[str, Floats], modalities: tuple[str, ...] = MODALITIES
    ) -> Floats:
        """(N, 3) p(M | sequences of these modalities), of each clip by itself.

        One modality: its oracle. All: the best that can be known of a clip.
        """
        ones = np.ones_like(next(iter(likelihoods.values())))
        t, a, v = (likelihoods[k] if k in modalities else ones for k in MODALITIES)
        given_v = np.einsum("mtav,nv->nmta", self.joint, v)
        mass = np.einsum("nmta,na,nt->nm", given_v, a, t, optimize=True)
        return np.asarray(mass / mass.sum(axis=1, keepdims=True))

    def unimodal_posterior(
        self, likelihoods: Mapping[str, Floats], modality: str, multimodal: Ints
    ) -> Floats:
        """(N, 3) p(own class of a modality | its sequence, M known); multimodal (N,) classes."""
        mass = self.joint.sum(axis=_others(modality))[multimodal] * likelihoods[modality]
        return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def _others(modality: str) -> tuple[int, ...]:
    """Axes of the joint table that are neither M's nor this modality's."""
    return tuple(i for i in (1, 2, 3) if i != 1 + MODALITIES.index(modality))
