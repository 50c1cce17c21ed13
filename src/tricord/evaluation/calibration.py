"""Whether a probability means what it says, and scaling of logits that makes it so.

N clips, c classes, K modalities. Pure functions of arrays, and `Calibration`, what a trained model
keeps of its fit on valid.

Sources: temperature and vector scaling, ECE: Guo et al., On Calibration of Modern Neural Networks,
ICML 2017 (ECE first in Naeini et al., AAAI 2015). Bins of equal mass and a class at a time: Nixon
et al., Measuring Calibration in Deep Learning, CVPR workshops 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Method = Literal["temperature", "vector", "none"]
METHODS: tuple[Method, ...] = get_args(Method)

BINS = 15  # Guo et al.
WIDEST = 100.0  # of a temperature, and 1 / WIDEST the narrowest
# Standard normal priors on the logarithm of the scale and on the shift, worth about one clip: a
# split decided without a mistake must not end in certainty, nor a rare class in a shift of 20.
PRIOR = 0.5

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scaling(_Kept):
    """Logits z become scale * z + shift, a number a class; fitted on this many clips.

    Temperature scaling is one scale 1 / T and no shift: the order of the classes, and with it the
    decision, stays. Vector scaling may change it.
    """

    scale: tuple[Positive, ...]
    shift: tuple[Finite, ...]
    clips: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if not self.scale or len(self.scale) != len(self.shift):
            raise ValueError("scale, shift: one number a class is needed in both")
        return self

    def apply(self, logits: ArrayLike) -> Floats:
        """(..., c) logits -> (..., c) probabilities."""
        return np.asarray(softmax(self._scaled(logits), axis=-1))

    def log_loss(self, logits: ArrayLike, truth: ArrayLike) -> float:
        """Mean of -log p(true class): (N, c) logits, (N,) classes, N > 0."""
        return float(_surprise(self._scaled(logits), np.asarray(truth)).mean())

    def _scaled(self, logits: ArrayLike) -> Floats:
        return np.asarray(logits, np.float64) * self.scale + self.shift


class Calibration(_Kept):
    """What a model keeps of its calibration: scalings, and how sure and right it was.

    consensus, votes: the scalings; votes by modality. split: what it was fitted on. confidence,
    right, own: of each of the N clips the largest calibrated probability, whether that class is
    the true one, and the probability of the true class. videos: (N,) numbers, the same for clips
    of one video.
    """

    method: Method
    split: str
    consensus: Scaling
    votes: Mapping[str, Scaling]
    confidence: tuple[Share, ...]
    right: tuple[bool, ...]
    own: tuple[Share, ...]
    videos: tuple[int, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        lengths = {len(self.confidence), len(self.right), len(self.own), len(self.videos)}
        if lengths != {self.clips}:
            raise ValueError(f"confidence, right, own, videos: {self.clips} of each are needed")
        return self

    @property
    def clips(self) -> int:
        """Clips that the consensus was calibrated on."""
        return self.consensus.clips


def described(calibration: Calibration | None) -> str:
    """On what probabilities stand, in words."""
    if calibration is None or calibration.method == "none":
        return "probabilities not calibrated"
    return f"probabilities calibrated on {calibration.clips} clips of {calibration.split}"


def fit(
    outputs: ArrayLike,
    truth: ArrayLike,
    *,
    votes: ArrayLike,
    present: ArrayLike,
    modalities: Sequence[str],
    videos: ArrayLike,
    method: Method = "temperature",
    split: str = "valid",
) -> Calibration:
    """Calibrate consensus and votes on clips that no weight was fitted to.

    outputs: (N, c) logits; truth: (N,) classes, all known; votes: (N, K, c); present: (N, K)
    bool; videos: (N,) names. A vote is calibrated for the clip's label, as the consensus is: it
    says how likely the clip is positive when this modality votes so. Raises ValueError for N = 0.
    """
    y, z, here = np.asarray(truth, np.int64), np.asarray(outputs, np.float64), np.asarray(present)
    each = np.asarray(votes, np.float64)
    if not len(y):
        raise ValueError("no clip to calibrate on")
    consensus = fit_scaling(z, y, method)
    p = consensus.apply(z)
    return Calibration(
        method=method,
        split=split,
        consensus=consensus,
        votes={
            name: fit_scaling(each[here[:, k], k], y[here[:, k]], method)
            for k, name in enumerate(modalities)
        },
        confidence=tuple(p.max(axis=1).tolist()),
        right=tuple((p.argmax(axis=1) == y).tolist()),
        own=tuple(_of(p, y).tolist()),
        videos=tuple(np.unique(np.asarray(videos), return_inverse=True)[1].tolist()),
    )


def fit_scaling(logits: Floats, truth: Ints, method: Method = "temperature") -> Scaling:
    """The scaling of least log loss with weak priors; its log loss is never above identity's.

    logits: (N, c), truth: (N,). Vector scaling starts at the temperature, and its prior too is
    centred there. The identity for method "none" and without clips.
    """
    classes = logits.shape[1]
    candidates = [_scaling(np.ones(classes), np.zeros(classes), len(truth))]
    if len(truth) and method != "none":
        log_scale = np.full(classes, _log_scale(logits, truth))
        candidates.append(_scaling(np.exp(log_scale), np.zeros(classes), len(truth)))
        if method == "vector":
            candidates.append(_vector(logits, truth, log_scale))
        return min(candidates, key=lambda s: s.log_loss(logits, truth))
    return candidates[0]


def _log_scale(logits: Floats, truth: Ints) -> float:
    """Of the temperature: -log T. Its loss falls, then rises, so that a line search finds it."""

    def loss(log_scale: float) -> float:
        summed = _surprise(np.exp(log_scale) * logits, truth).sum()
        return float(summed + PRIOR * log_scale**2)

    bound = np.log(WIDEST)
    return float(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x)


def _vector(logits: Floats, truth: Ints, centre: Floats) -> Scaling:
    """centre: (c,) logarithm of the temperature's scale."""
    classes = logits.shape[1]
    wanted = np.eye(classes)[truth]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        offset, shift = parameters.reshape(2, classes)
        scaled = logits * np.exp(centre + offset)
        z = scaled + shift
        slope = softmax(z, axis=1) - wanted
        gradient = np.concatenate([(slope * scaled).sum(axis=0), slope.sum(axis=0)])
        value = _surprise(z, truth).sum() + PRIOR * parameters @ parameters
        return float(value), gradient + 2 * PRIOR * parameters

    found = minimize(loss, np.zeros(2 * classes), jac=True, method="L-BFGS-B").x
    offset, shift = found.reshape(2, classes)
    return _scaling(np.exp(centre + offset), shift, len(truth))


def _scaling(scale: Floats, shift: Floats, clips: int) -> Scaling:
    return Scaling(scale=tuple(scale.tolist()), shift=tuple(shift.tolist()), clips=clips)


def _surprise(logits: Floats, truth: Ints) -> Floats:
    """(N,) -log p(true class)."""
    return -_of(log_softmax(logits, axis=1), truth)


def _of(values: Floats, truth: Ints) -> Floats:
    """(N, c) -> (N,): the true class's."""
    return np.asarray(values[np.arange(len(truth)), truth])


# ------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Reliability:
    """The bins that hold a clip, in order: (B,) clips, mean probability, share that came true."""

    count: Ints
    probability: Floats
    frequency: Floats

    @property
    def gap(self) -> float:
        """Mean over clips of |probability - frequency| of their bin, 0 to 1."""
        return float(self.count @ np.abs(self.probability - self.frequency) / self.count.sum())


def equal_width(probability: Floats, bins: int) -> Ints:
    """(N,) numbers of the bins ((b - 1) / B, b / B], as in Guo et al."""
    return np.asarray(np.clip(np.ceil(probability * bins) - 1, 0, bins - 1), dtype=np.int64)


def equal_mass(probability: Floats, bins: int) -> Ints:
    """(N,) numbers of bins with about the same number of clips each; equals stay together."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, probability), dtype=np.int64)


Binning = Callable[[Floats, int], Ints]


def reliability(
    probability: ArrayLike, happened: ArrayLike, binning: Binning = equal_width, bins: int = BINS
) -> Reliability:
    """Of (N,) probabilities of an event and whether it happened, N > 0: a diagram's points."""
    p, came = np.asarray(probability, np.float64), np.asarray(happened, np.float64)
    number = binning(p, bins)
    count = np.bincount(number)
    filled = count > 0
    sums = [np.bincount(number, weights=w)[filled] / count[filled] for w in (p, came)]
    return Reliability(count[filled], *sums)


def top_label(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """(N,) largest of the (N, c) probabilities, and whether that class is the true one."""
    p = np.asarray(probabilities, np.float64)
    return p.max(axis=1), np.asarray(p.argmax(axis=1) == np.asarray(truth))


def ece(
    probabilities: ArrayLike, truth: ArrayLike, binning: Binning = equal_width, bins: int = BINS
) -> float:
    """Expected calibration error of the most probable class, 0 to 1.

    It is biased upwards where bins hold few clips: compare it on the same clips only.
    """
    return reliability(*top_label(probabilities, truth), binning, bins).gap


def classwise_ece(
    probabilities: ArrayLike, truth: ArrayLike, binning: Binning = equal_mass, bins: int = BINS
) -> Floats:
    """(c,) the same gap for each class by itself; a rare class shows only here."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(truth)
    return np.array([reliability(p[:, j], y == j, binning, bins).gap for j in range(p.shape[1])])


def brier(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean squared distance of (N, c) probabilities to the truth as 0 and 1: from 0 to 2."""
    p = np.asarray(probabilities, np.float64)
    return float(((p - np.eye(p.shape[1])[np.asarray(truth)]) ** 2).sum(axis=1).mean())


def log_loss(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean of -log p(true class); a probability that is 0 in floats counts as the smallest one."""
    own = _of(np.asarray(probabilities, np.float64), np.asarray(truth))
    return float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())


def scores(probabilities: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """The four numbers of a table: (N, c) probabilities, (N,) classes."""
    return {
        "ece": ece(probabilities, truth),
        "ece_mass": ece(probabilities, truth, equal_mass),
        "brier": brier(probabilities, truth),
        "log_loss": log_loss(probabilities, truth),
    }
