"""From media files to predictions: the recipe of the model's training data, and then the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tricord.clips.clip import Clip, ClipFeatures
from tricord.data.progress import Tick
from tricord.data.schema import UNSPLIT, Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.features.text import TEXT, with_words
from tricord.inference.predictor import Predictions, predict
from tricord.inference.recipe import reads_words
from tricord.track import Track
from tricord.training.trained import TrainedModel

Measure = Callable[[Clip], ClipFeatures]
NOTHING = "no words, no sound and no face"
# Attention takes memory with their square: at 10,000 about 2 GB, four minutes of librosa-33.
MOST_FRAMES = 10_000


@dataclass(frozen=True)
class ClipPredictions:
    """N clips that could be predicted, in the order asked for, and why the others could not.

    clips, features: N of each, rows of `predictions`. failures: id -> reason.
    """

    clips: tuple[Clip, ...]
    features: tuple[ClipFeatures, ...]
    predictions: Predictions
    failures: Mapping[str, str]

    def rows(self) -> Iterator[dict[str, Any]]:
        """As `Predictions.rows`."""
        yield from self.predictions.rows()


def predict_clips(
    trained: TrainedModel, clips: Sequence[Clip], measure: Measure, tick: Tick | None = None
) -> ClipPredictions:
    """Measure each clip and apply the model; one that fails does not stop the others.

    measure: by the model's own recipe. tick: clips measured, and in all. Raises DataError
    with the first reason where no clip is left, ModelError where the model does not fit.
    """
    kept: list[tuple[Clip, ClipFeatures]] = []
    failures: dict[str, str] = {}
    for done, clip in enumerate(clips, start=1):
        try:
            found = measure(clip)
            check_features(trained, clip, found)
            kept.append((clip, found))
        except DataError as error:
            failures[clip.id] = str(error)
        if tick is not None:
            tick(done, len(clips))
    if not kept:
        raise DataError(next(iter(failures.values()), "no clip to predict"))
    features = tuple(found for _, found in kept)
    return ClipPredictions(
        tuple(clip for clip, _ in kept), features, predict_features(trained, features), failures
    )


def predict_features(trained: TrainedModel, features: Sequence[ClipFeatures]) -> Predictions:
    """Apply the model to what was measured in one or more clips."""
    return predict(trained, data_of(trained, features), UNSPLIT)


def data_of(trained: TrainedModel, features: Sequence[ClipFeatures]) -> Dataset:
    """What was measured in one or more clips as the only split of a data set, without labels."""
    names = tuple(features[0].tracks)
    data = Dataset(
        {
            UNSPLIT: FeatureTable(
                UNSPLIT,
                ids=tuple(f.id for f in features),
                sequences={n: _ragged([f.tracks[n] for f in features]) for n in names},
                scores=np.full((len(features), 1 + len(names)), np.nan),
                raw_text=tuple(f.text or "" for f in features),
            )
        },
        source="clips" if len(features) > 1 else features[0].id,
    )
    return with_words(data, trained.config.text)


def missing(trained: TrainedModel, features: ClipFeatures) -> tuple[str, ...]:
    """The model's modalities that this clip lacks."""
    return tuple(name for name in trained.widths if not has(trained, features, name))


def has(trained: TrainedModel, features: ClipFeatures, modality: str) -> bool:
    """Whether the model is given anything of this modality."""
    if reads_words(trained) and modality == TEXT:
        return bool((features.text or "").strip())
    track = features.tracks.get(modality)
    return track is not None and len(track) > 0


def check_features(trained: TrainedModel, clip: Clip, found: ClipFeatures) -> None:
    """Raise DataError where the clip lacks everything that the model reads, or is too long."""
    if len(missing(trained, found)) == len(trained.widths):
        reasons = "; ".join(found.notices) or NOTHING
        raise DataError(f"{clip.path}: nothing to predict from ({reasons})")
    for name in trained.widths:
        frames = len(found.tracks.get(name, ()))
        if frames > MOST_FRAMES:
            raise DataError(
                f"{clip.path}: {frames:,} frames of {name} found, expected at most {MOST_FRAMES:,} "
                "in one clip: predict it window by window (--timeline)"
            )


def _ragged(tracks: Sequence[Track]) -> Ragged:
    lengths = [len(track) for track in tracks]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.concatenate([t.values for t in tracks]), offsets, max(lengths))
