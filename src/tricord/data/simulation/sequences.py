"""The sequences of simulated clips: words and frames that carry given statistics, and no more.

`simulate` draws labels and statistics; here they become tokens, features and frames, and are read
back from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tricord.data.schema import FeatureTable, Ragged
from tricord.data.simulation.model import MEANS, Statistics
from tricord.data.simulation.speakers import Bools, Floats, Ints
from tricord.errors import DataError
from tricord.types import MODALITIES, Modality

_WORLD_SEED = 20240229  # loadings, columns and words: the same in every simulated file


@dataclass(frozen=True)
class Channel:
    """Shape of one modality: mean, least and greatest length in frames or tokens; columns."""

    mean: float
    least: int
    most: int
    width: int

    def scaled(self, factor: float) -> Channel:
        """With lengths times the factor, never below ``least``."""
        most = max(self.least, round(self.most * factor))
        return Channel(self.mean * factor, self.least, most, self.width)


CHANNELS: dict[str, Channel] = {
    "text": Channel(mean=15, least=3, most=39, width=768),
    "audio": Channel(mean=158, least=2, most=400, width=33),
    "vision": Channel(mean=22, least=2, most=55, width=709),
}

NUISANCES = 4  # factors that say nothing of the label, beside the two that do

# Text. Words of the first three groups are evidence for one class each; fillers say nothing.
CLS, SEP = 101, 102
GROUPS = ("neg", "neu", "pos", "filler")
_STARTS = np.array([1000, 2000, 3000, 4000])
_SIZES = np.array([40, 40, 40, 400])
_SPECIALS = 3  # rows of the word table before the words: unknown, CLS, SEP
_WORD_SPREAD = 0.25  # deviation of what tells words of a group apart
_CONTEXT = 0.5


@dataclass(frozen=True)
class Style:
    """How a clip's evidence is spread over its frames and words, and what hides it.

    drift, frame_noise: deviations of factors and of single columns, in units of the loadings.
    memory: share of a mean clip after which the drift has forgotten all but 1/e; 0 is white.
    burst: share of a clip's frames that carry its evidence, in one run at a random place, and with
        it whether all its evidence words stand in one run; None: all of them.
    """

    drift: float = 0.5
    frame_noise: float = 0.5
    memory: float = 0.25
    burst: float | None = None


EVEN = Style()
# In a burst one factor that says nothing else stands this high, and at 0 in all other frames.
_MARK = 3.0
_MARKER = MEANS.shape[1]


def text_features(
    tokens: NDArray[np.integer], mask: NDArray[np.integer | np.bool_]
) -> NDArray[np.float32]:
    """(N, L, 768) features of (N, L) token ids: a fixed function of the tokens under the mask.

    Row 0 carries the whole clip, as a sentence encoder's first token does: the sum of the words'
    vectors over the root of the number of evidence words. Other rows carry their own word and a
    part of row 0; rows outside the mask are 0.
    """
    words, loadings = _lexicon()
    real = np.asarray(mask, dtype=bool)
    own = words[_word_rows(tokens)] * real[..., None]
    group = _group(tokens)
    evident = ((group >= 0) & (group < len(MEANS)) & real).sum(axis=1, keepdims=True)
    clip = own.sum(axis=1) / np.sqrt(np.maximum(evident, 1))
    rows = own + _CONTEXT * clip[:, None, :]
    rows[:, 0] = clip
    return np.asarray((rows * real[..., None]).astype(np.float32) @ loadings.T)


def holds_statistics(table: FeatureTable) -> bool:
    """Whether a split has all that `clip_statistics` reads, in the simulation's widths."""
    framed = {name: c.width for name, c in CHANNELS.items() if name != Modality.TEXT}
    return table.tokens is not None and framed.items() <= table.widths.items()


def clip_statistics(table: FeatureTable, style: Style = EVEN) -> Statistics:
    """What a simulated split says of its labels, read off its sequences.

    style: of its kind (`tricord.data.simulation.kinds`).

    Raises DataError where the split has no tokens.
    """
    if table.tokens is None:
        raise DataError(f"split '{table.name}', key 'text_bert': missing, expected token ids")
    group = _group(table.tokens.values)
    clip = np.repeat(np.arange(len(table)), table.tokens.lengths)
    evident = (group >= 0) & (group < len(MEANS))
    counts = np.zeros((len(table), len(MEANS)), dtype=np.int64)
    np.add.at(counts, (clip[evident], group[evident]), 1)
    return Statistics(
        text=counts,
        audio=_clip_evidence("audio", table.sequences["audio"], style),
        vision=_clip_evidence("vision", table.sequences["vision"], style),
    )


def text_rows(
    counts: Ints, lengths: Ints, channel: Channel, style: Style, rng: np.random.Generator
) -> dict[str, object]:
    """Tokens with these (N, 3) counts of evidence words in random places, and their features."""
    place = np.arange(channel.most)
    mask = (place < lengths[:, None]).astype(np.int64)
    is_word = (place > 0) & (place < lengths[:, None] - 1)
    bounds = np.cumsum(counts, axis=1)
    ordered = (place[:, None] >= bounds[:, None, :]).sum(axis=-1)
    # The groups stand in order at the front; the order of random keys carries them to their places.
    keys = np.where(is_word, rng.random(is_word.shape), 2.0)
    if style.burst is not None:
        keys -= _run(lengths - 2, bounds[:, -1], channel.most - 1, rng, first=1)
    group = np.zeros_like(ordered)
    np.put_along_axis(group, np.argsort(keys, axis=1), ordered, axis=1)
    ids = _STARTS[group] + rng.integers(0, _SIZES[group])
    tokens = np.where(is_word, ids, 0)
    tokens[:, 0] = CLS
    np.put_along_axis(tokens, lengths[:, None] - 1, SEP, axis=1)
    names = np.char.add(np.array(GROUPS)[group], (ids - _STARTS[group]).astype(str))
    return {
        "raw_text": [" ".join(n[w]) for n, w in zip(names, is_word, strict=True)],
        "text_bert": np.stack([tokens, mask, np.zeros_like(mask)], axis=1),
        "text": text_features(tokens, mask),
    }


def _group(tokens: NDArray[np.integer]) -> Ints:
    """Number of each token's word group, -1 for everything that is no word of the lexicon."""
    slot = np.searchsorted(_STARTS, tokens, side="right") - 1
    return np.where((slot >= 0) & (tokens < (_STARTS + _SIZES)[slot]), slot, -1)


def _word_rows(tokens: NDArray[np.integer]) -> Ints:
    """Row of each token in the word table."""
    group = _group(tokens)
    first = _SPECIALS + np.cumsum(_SIZES) - _SIZES
    special = np.select([tokens == CLS, tokens == SEP], [1, 2], 0)
    return np.where(group >= 0, tokens - _STARTS[group] + first[group], special)


@cache
def _lexicon() -> tuple[Floats, NDArray[np.float32]]:
    """Word table (W, 2 + 4): evidence, then what tells words apart; loadings (768, 2 + 4)."""
    rng = np.random.default_rng([_WORLD_SEED, 0])
    evidence = np.zeros((_SPECIALS + _SIZES.sum(), MEANS.shape[1]))
    evidence[_SPECIALS : _SPECIALS + _SIZES[:3].sum()] = np.repeat(MEANS, _SIZES[:3], axis=0)
    identity = _WORD_SPREAD * rng.standard_normal((len(evidence), NUISANCES))
    words = np.hstack([evidence, identity])
    loadings = _orthogonal(CHANNELS["text"].width, words.shape[1], rng)
    return words, loadings.astype(np.float32)


@dataclass(frozen=True)
class Sensor:
    """How factors become columns: loadings (D, 2 + 4), offset (D,), scale (D,)."""

    loadings: Floats
    offset: Floats
    scale: Floats


@cache
def _sensor(modality: str) -> Sensor:
    rng = np.random.default_rng([_WORLD_SEED, MODALITIES.index(modality)])
    width = CHANNELS[modality].width
    return Sensor(
        loadings=_orthogonal(width, MEANS.shape[1] + NUISANCES, rng),
        offset=rng.standard_normal(width),
        scale=np.exp(0.5 * rng.standard_normal(width)),
    )


def _orthogonal(width: int, factors: int, rng: np.random.Generator) -> Floats:
    """(width, factors) orthogonal columns whose entries have a mean square of 1."""
    basis = np.linalg.qr(rng.standard_normal((width, factors)))[0]
    return np.asarray(basis * np.sqrt(width))


def frame_rows(
    modality: str,
    level: Floats,
    lengths: Ints,
    channel: Channel,
    style: Style,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """(N, most, D) frames whose time mean is exactly the clip's (N, 2 + 4) level.

    Drift and white noise have their means within the clip removed, so that the time mean of the
    first two factors is all that a clip says of its label. With bursts this holds of the frames of
    the burst; elsewhere the two are drift and noise, whose means stay.
    """
    sensor = _sensor(modality)
    moves = Ragged.from_padded(_drift(level.shape, channel, style, rng), lengths)
    noise = rng.standard_normal((len(moves.values), channel.width), dtype=np.float32)
    spread = np.repeat(level, lengths, axis=0)
    if style.burst is None:
        factors = spread + _without_mean(moves.values, moves.offsets)
        noise = _without_mean(noise, moves.offsets)
    else:
        burst = _bursts(lengths, channel, style.burst, rng)
        spread[~burst, :_MARKER] = 0.0
        spread[:, _MARKER] = _MARK * burst
        drift = _without_mean_of(moves.values, moves.offsets, burst)
        drift[:, _MARKER] = 0.0
        factors = spread + drift
        noise = _without_mean_of(noise, moves.offsets, burst)
    columns = factors.astype(np.float32) @ sensor.loadings.astype(np.float32).T
    columns += np.float32(style.frame_noise) * noise
    columns *= sensor.scale.astype(np.float32)
    columns += sensor.offset.astype(np.float32)
    return Ragged(columns, moves.offsets, channel.most).padded()


def _drift(
    shape: tuple[int, ...], channel: Channel, style: Style, rng: np.random.Generator
) -> Floats:
    """(N, most, factors) of an autoregression of order 1, or white."""
    keep = np.exp(-1.0 / (style.memory * channel.mean)) if style.memory else 0.0
    shocks = rng.standard_normal((shape[0], channel.most, shape[1]))
    shocks[:, 1:] *= np.sqrt(1 - keep**2)
    return np.asarray(style.drift * lfilter([1.0], [1.0, -keep], shocks, axis=1))


def _bursts(lengths: Ints, channel: Channel, share: float, rng: np.random.Generator) -> Bools:
    """(F,) whether each frame of the clips, one after the other, is in its clip's burst."""
    count = np.maximum(1, np.rint(share * lengths)).astype(np.int64)
    run = _run(lengths, count, channel.most, rng)
    return run[np.arange(channel.most) < lengths[:, None]]


def _run(lengths: Ints, counts: Ints, most: int, rng: np.random.Generator, first: int = 0) -> Bools:
    """(N, first + most) True in a run of (N,) counts at a random place.

    It lies within ``first`` and ``first`` plus the clip's length.
    """
    start = first + rng.integers(0, lengths - counts + 1)
    place = np.arange(first + most)
    return np.asarray((place >= start[:, None]) & (place < (start + counts)[:, None]))


def _without_mean(frames: NDArray[Any], offsets: Ints) -> NDArray[Any]:
    """Frames (F, D) less the mean of their clip."""
    lengths = np.diff(offsets)
    means = np.add.reduceat(frames, offsets[:-1], axis=0) / lengths[:, None].astype(frames.dtype)
    return np.asarray(frames - np.repeat(means, lengths, axis=0))


def _without_mean_of(frames: NDArray[Any], offsets: Ints, part: Bools) -> NDArray[Any]:
    """Frames (F, D), those of a part less its mean within their clip."""
    inside = np.concatenate([[0], np.cumsum(np.add.reduceat(part.astype(np.int64), offsets[:-1]))])
    found = frames.copy()
    found[part] = _without_mean(frames[part], inside)
    return found


def _clip_evidence(modality: str, frames: Ragged, style: Style) -> Floats:
    """(N, 2) time means of the evidence factors, over the burst where there is one."""
    sensor = _sensor(modality)
    loadings = sensor.loadings[:, : _MARKER + 1]
    factors = ((frames.values - sensor.offset) / sensor.scale) @ loadings / len(loadings)
    evidence, marker = factors[:, :_MARKER], factors[:, _MARKER]
    share = np.ones(len(factors)) if style.burst is None else (marker > _MARK / 2).astype(float)
    totals = np.add.reduceat(evidence * share[:, None], frames.offsets[:-1], axis=0)
    return np.asarray(totals / np.add.reduceat(share, frames.offsets[:-1])[:, None])
