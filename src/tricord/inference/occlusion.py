"""What a decision hangs on within a clip: parts of one modality are taken out, one at a time.

Occlusion (Zeiler and Fergus 2014; of words: Li, Monroe and Jurafsky 2016): the model is applied
again without the rows of a window of time, or without some words, and the change of what it says
is the part's evidence. The model has no padding, so that a sequence without a part is a shorter
sequence. This says what the model relies on, not what is true of the person, and parts that say the
same twice may each seem to say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tricord.clips.clip import ClipFeatures
from tricord.features.text import TEXT
from tricord.inference.clip import has, lacking, missing, predict_versions
from tricord.inference.predictor import Predictions
from tricord.inference.recipe import reads_words
from tricord.track import Track
from tricord.training.trained import TrainedModel

if TYPE_CHECKING:
    from tricord.words.transcripts import Segment

Array = NDArray[np.float64]
Encode = Callable[[str], Track]
METHOD = "occlusion"
SHORTEST = 0.5  # seconds of a window: about two syllables, or a change of the face
MOST = 48  # windows of a modality: a longer clip has longer ones
_TIMES = {True: "spread evenly over subtitles", False: "not known"}  # of words
SMALLEST = 1e-300  # of a probability whose logarithm is taken
# a letter of a script without spaces is a word by itself
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]+")


@dataclass(frozen=True)
class Word:
    """start, end: letters of the text."""

    start: int
    end: int


@dataclass(frozen=True)
class Evidence:
    """W parts of one modality, in order.

    starts, ends: (W,) seconds from the beginning of the file; NaN of words of which it is not
        known when they were said.
    words: W strings, none for other modalities.
    change: (W,) what the decision's value loses without the part: above 0 where it spoke for the
        decision, NaN where there was nothing to take out, or where the model cannot do without.
    whole: the same without all of the modality.
    """

    modality: str
    starts: Array
    ends: Array
    change: Array
    whole: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Occlusion:
    """Of one clip. value: what `change` is of, in words. seconds: of a window."""

    value: str
    seconds: float
    evidence: tuple[Evidence, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is NaN is None."""

        def numbers(values: Array) -> list[float | None]:
            return [round(v, 6) if np.isfinite(v) else None for v in values.tolist()]

        return {
            "method": METHOD,
            "value": self.value,
            "seconds": self.seconds,
            "modalities": {
                e.modality: {
                    "start": numbers(e.starts),
                    "end": numbers(e.ends),
                    "change": numbers(e.change),
                    "whole": numbers(np.array([e.whole]))[0],
                    "words": list(e.words),
                    **({"times": _TIMES[bool(np.isfinite(e.starts).all())]} if e.words else {}),
                }
                for e in self.evidence
            },
        }


@dataclass(frozen=True)
class _Part:
    """What is left without a part; None where that cannot be predicted."""

    start: float
    end: float
    rest: ClipFeatures | None
    words: str = ""


def occlude(
    trained: TrainedModel,
    features: ClipFeatures,
    *,
    start: float = 0.0,
    encode: Encode | None = None,
    segments: Sequence[Segment] = (),
    seconds: float | None = None,
) -> Occlusion:
    """Take windows of each modality and words out of a clip, in one call of the model.

    start: of the clip, in seconds of its file. encode: words to the text's features, by the
    recipe; not needed for a model with a language model of its own; without it words stay.
    segments: subtitles, which say when words were said. seconds: of a window; None: half a
    second, longer where that made more than 48.
    """
    width = max(SHORTEST, features.duration / MOST) if seconds is None else seconds
    parts: dict[str, list[_Part]] = {}
    for name in trained.widths:
        if not has(trained, features, name):
            continue
        if name != TEXT:
            parts[name] = [*_windows(trained, features, name, start, width)]
        elif encode is not None or reads_words(trained):
            parts[name] = [*_without_words(trained, features, encode, segments)]
        else:
            continue
        parts[name].append(_Part(0.0, 0.0, _possible(trained, lacking(features, name), name)))
    rests = [p.rest for of_one in parts.values() for p in of_one if p.rest is not None]
    predictions = predict_versions(trained, [features, *rests])
    value, numbers = decided(predictions)
    changes = iter((numbers[0] - numbers[1:]).tolist())
    found = []
    for name, of_one in parts.items():
        *change, whole = (np.nan if part.rest is None else next(changes) for part in of_one)
        of_one.pop()
        found.append(
            Evidence(
                modality=name,
                starts=np.array([part.start for part in of_one]),
                ends=np.array([part.end for part in of_one]),
                change=np.array(change, dtype=np.float64),
                whole=whole,
                words=tuple(part.words for part in of_one) if name == TEXT else (),
            )
        )
    return Occlusion(value, width, tuple(found))


def decided(predictions: Predictions) -> tuple[str, Array]:
    """What of the first clip's decision is followed, in words, and its (N,) value in each clip.

    The logarithm of the decided class' probability, calibrated where the model is; of a model that
    gives a score, the score.
    """
    if predictions.scheme.head == "regression":
        return "score", predictions.outputs[:, 0]
    place = int(predictions.classes(predictions.outputs)[0])
    probability = predictions.probabilities[:, place]
    name = f"log-probability of '{predictions.scheme.classes[place]}'"
    return name, np.log(np.maximum(probability, SMALLEST))


def words_of(text: str) -> list[Word]:
    """Where the words of a text are: between spaces, and each letter of Chinese or Japanese."""
    return [Word(*match.span()) for match in _WORD.finditer(text)]


def without(text: str, words: Sequence[Word]) -> str:
    """A text without some of its words, which are in order."""
    ends = [0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(text)]
    kept = "".join(text[a:b] for a, b in zip(ends, starts, strict=True))
    return " ".join(kept.split())


def times_of(text: str, segments: Sequence[Segment]) -> Array | None:
    """(W, 2) seconds from and to of each word: evenly spread over its segment.

    None where the segments do not hold the very words of the text, so that nothing is known.
    """
    if [text[w.start : w.end] for w in words_of(text)] != [
        s.text[w.start : w.end] for s in segments for w in words_of(s.text)
    ]:
        return None
    edges = [np.linspace(s.start, s.end, 1 + len(words_of(s.text))) for s in segments]
    pairs = [np.stack([edge[:-1], edge[1:]], axis=1) for edge in edges]
    return np.concatenate([np.zeros((0, 2)), *pairs])


def _windows(
    trained: TrainedModel, features: ClipFeatures, name: str, start: float, width: float
) -> Iterator[_Part]:
    track = features.tracks[name]
    end = start + features.duration
    count = max(1, int(np.ceil(features.duration / width - 1e-9)))
    edges = np.minimum(start + width * np.arange(count + 1), end)
    edges[-1] = end
    place = np.clip(np.searchsorted(edges, track.times, side="right") - 1, 0, count - 1)
    for number in range(count):
        out = place == number
        rest = None
        if out.any():
            rows = ~out
            fewer = Track(track.values[rows], track.times[rows], track.columns)
            rest = _possible(
                trained, replace(features, tracks={**features.tracks, name: fewer}), name
            )
        yield _Part(float(edges[number]), float(edges[number + 1]), rest)


def _without_words(
    trained: TrainedModel,
    features: ClipFeatures,
    encode: Encode | None,
    segments: Sequence[Segment],
) -> Iterator[_Part]:
    text = features.text or ""
    words = words_of(text)
    times = times_of(text, segments)
    if times is None:
        times = np.full((len(words), 2), np.nan)
    count = min(MOST, len(words))
    for rows in np.array_split(np.arange(len(words)), count) if count else ():
        first, last = int(rows[0]), int(rows[-1])
        rest = without(text, words[first : last + 1])
        fewer = lacking(features, TEXT)
        if rest:
            tracks = dict(features.tracks)
            if not reads_words(trained) and encode is not None:
                tracks[TEXT] = encode(rest)
            fewer = replace(features, text=rest, tracks=tracks)
        said = text[words[first].start : words[last].end]
        yield _Part(times[first, 0], times[last, 1], _possible(trained, fewer, TEXT), said)


def _possible(trained: TrainedModel, rest: ClipFeatures, name: str) -> ClipFeatures | None:
    """The rest, or None where the model cannot do without what is gone."""
    if has(trained, rest, name):
        return rest
    alone = len(missing(trained, rest)) == len(trained.widths)
    return None if alone or trained.model.needs_all else rest
