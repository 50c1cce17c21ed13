"""A whole file piece by piece: sliding windows, or its subtitles, each predicted as a clip.

Each piece is measured as a clip of its own, as the clips were that the model was trained on: what
stands for frames without a face, the tuning of the chroma and the ends of a waveform depend on
where a clip begins and ends, so that rows cut out of the whole file's would be other numbers. The
price is that overlapping windows decode what they share again. What is measured is kept for a few
pieces at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tricord.clips.clip import Clip, ClipFeatures
from tricord.data.progress import Tick
from tricord.errors import ConfigError, DataError
from tricord.inference.clip import Measure, check_features, predict_features
from tricord.inference.predictor import Predictions
from tricord.training.trained import TrainedModel

if TYPE_CHECKING:
    from tricord.words.transcripts import Segment, Transcript

WINDOW, STEP = 6.0, 2.0  # seconds; clips of this field last two to ten
AT_ONCE = 64  # pieces whose features are held
_NO_TIME = 1e-6  # seconds


@dataclass(frozen=True)
class Span:
    """start, end: seconds of the file. text: what is said there, if it is known."""

    start: float
    end: float
    text: str | None = None

    @property
    def middle(self) -> float:
        """Seconds."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class Timeline:
    """S pieces of a file, of which M could be predicted.

    spans: S. predictions: of M. places: (M,) which of the spans these are, in order.
    failures: number of a span -> why it has no prediction.
    """

    spans: tuple[Span, ...]
    predictions: Predictions
    places: NDArray[np.int64]
    failures: Mapping[int, str]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat dictionary a span, for CSV and JSONL; None in those without a prediction."""
        found = dict(zip(self.places.tolist(), self.predictions.rows(), strict=True))
        names = [name for name in next(iter(found.values())) if name != "id"]
        for number, span in enumerate(self.spans):
            row = found.get(number, {})
            yield {
                "start": round(span.start, 3),
                "end": round(span.end, 3),
                "text": span.text,
                **{name: row.get(name) for name in names},
            }


def windows(duration: float, window: float = WINDOW, step: float = STEP) -> list[Span]:
    """Windows every ``step`` seconds; the last one ends with the file, so that nothing is left out.

    One window where the file is no longer than that. Raises ConfigError for lengths that are not
    above 0, and for a step that would jump over parts of the file.
    """
    for name, value in (("window", window), ("step", step)):
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"--{name} {value:g}: seconds above 0 expected")
    if step > window:
        raise ConfigError(
            f"--step {step:g}: at most --window {window:g} expected, else parts are left out"
        )
    if duration <= window:
        return [Span(0.0, duration)]
    count = int((duration - window) / step + _NO_TIME) + 1
    spans = [Span(step * i, step * i + window) for i in range(count)]
    if spans[-1].end < duration - _NO_TIME:
        spans.append(Span(duration - window, duration))
    return spans


def with_words(spans: Sequence[Span], transcript: Transcript) -> list[Span]:
    """Each span with what is said in it; see `tricord.words.transcripts.within`.

    Raises DataError where the transcript has words but not when they are said.
    """
    from tricord.words.transcripts import within

    return [replace(s, text=within(transcript, s.start, s.end).text or None) for s in spans]


def subtitles(segments: Sequence[Segment], duration: float, where: str) -> list[Span]:
    """A span for each segment, up to the end of the file.

    where: for messages. Raises DataError where none begins within the file.
    """
    spans = [
        Span(s.start, min(s.end, duration), s.text)
        for s in segments
        if min(s.end, duration) > s.start >= 0
    ]
    if not spans:
        raise DataError(
            f"{where}: no subtitle within the {duration:.1f} s of the file found, expected one"
        )
    return spans


def timeline(
    trained: TrainedModel,
    path: Path,
    spans: Sequence[Span],
    measure: Measure,
    tick: Tick | None = None,
) -> Timeline:
    """Predict every span of a file as a clip.

    measure: by the model's own recipe. tick: spans measured, and in all. Raises DataError with the
    first reason where no span can be predicted.
    """
    parts: list[Predictions] = []
    held: list[ClipFeatures] = []
    places: list[int] = []
    failures: dict[int, str] = {}
    for number, span in enumerate(spans):
        clip = Clip(f"{path.stem}@{span.start:.2f}", path, span.text, span.start, span.end)
        try:
            found = measure(clip)
            check_features(trained, clip, found)
            held.append(found)
            places.append(number)
        except DataError as error:
            failures[number] = str(error)
        if len(held) == AT_ONCE:
            parts.append(predict_features(trained, held))
            held = []
        if tick is not None:
            tick(number + 1, len(spans))
    if held:
        parts.append(predict_features(trained, held))
    if not parts:
        raise DataError(next(iter(failures.values()), f"{path}: no part of it to predict"))
    return Timeline(tuple(spans), joined(parts), np.array(places, dtype=np.int64), failures)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """One after the other, of the same model."""
    first = parts[0]
    scores = None
    if first.scores is not None:
        scores = np.concatenate([p.scores for p in parts if p.scores is not None])
    return replace(
        first,
        ids=tuple(clip for p in parts for clip in p.ids),
        outputs=np.concatenate([p.outputs for p in parts]),
        votes=np.concatenate([p.votes for p in parts]),
        weights=np.concatenate([p.weights for p in parts]),
        present=np.concatenate([p.present for p in parts]),
        scores=scores,
    )
