"""From media files to predictions: the recipe of the model's training data, and then the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from tricord.clips.clip import Clip, ClipFeatures
from tricord.clips.measure import Measurer, end_of
from tricord.data.progress import Tick
from tricord.data.schema import UNSPLIT, Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.features.text import TEXT, with_words
from tricord.inference.predictor import Predictions, predict, predict_put_together
from tricord.inference.recipe import reads_words
from tricord.track import Track
from tricord.training.cmc import TrainedCMC
from tricord.training.trained import TrainedModel
from tricord.types import Modality

Measure = Callable[[Clip], ClipFeatures]
NOTHING = "no words, no sound and no face"
AUDIO = str(Modality.AUDIO)
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


def predict_versions(trained: TrainedModel, versions: Sequence[ClipFeatures]) -> Predictions:
    """As `predict_features`, for versions of one clip that have most of their tracks in common.

    A CMC encodes each track (the very object) and text once; other models do not encode
    modalities apart, and are applied to each version.
    """
    if not isinstance(trained, TrainedCMC):
        return predict_features(trained, versions)
    distinct = {name: _distinct(versions, name) for name in trained.widths}
    rows = [
        _put_together(versions[0], dict(zip(distinct, of_row, strict=True)))
        for of_row in zip_longest(*(found for found, _ in distinct.values()))
    ]
    places = np.array([where for _, where in distinct.values()], dtype=np.int64).T
    ids = [version.id for version in versions]
    return predict_put_together(trained, data_of(trained, rows), UNSPLIT, places, ids)


def measuring(trained: TrainedModel, measurer: Measurer) -> Measure:
    """A measurer that refuses too long sound at once, by the length that its file declares.

    The measure raises DataError as `check_features` does, which still counts what was found: of
    pictures there are rows only where there is a face.
    """
    part = measurer.recipe.parts.get(AUDIO) if AUDIO in trained.widths else None

    def measure(clip: Clip) -> ClipFeatures:
        info = measurer.probe(clip)
        if info.audio and part is not None:
            seconds = end_of(clip, info) - clip.start
            rate = part.description["rate"] / part.description.get("hop", 1)
            _check_frames(clip, AUDIO, int(seconds * rate), f"in {seconds:.0f} s")
        return measurer(clip)

    return measure


def lacking(features: ClipFeatures, *names: str) -> ClipFeatures:
    """The clip without these modalities."""
    tracks = {
        name: Track(t.values[:0], t.times[:0], t.columns) if name in names else t
        for name, t in features.tracks.items()
    }
    return replace(features, tracks=tracks, text=None if TEXT in names else features.text)


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


def _distinct(versions: Sequence[ClipFeatures], name: str) -> tuple[list[ClipFeatures], list[int]]:
    """The versions in which a modality is new, and for each which of these it is as in."""
    found: dict[tuple[int, str | None], tuple[int, ClipFeatures]] = {}
    places = []
    for version in versions:
        key = id(version.tracks.get(name)), version.text if name == TEXT else None
        places.append(found.setdefault(key, (len(found), version))[0])
    return [version for _, version in found.values()], places


def _put_together(like: ClipFeatures, parts: Mapping[str, ClipFeatures | None]) -> ClipFeatures:
    """Each modality of the clip that is named for it, and nothing where there is none."""
    nothing = lacking(like, *like.tracks, TEXT)
    there = {name: part for name, part in parts.items() if part is not None}
    tracks = {name: p.tracks[name] for name, p in there.items() if name in p.tracks}
    text = there[TEXT].text if TEXT in there else None
    return replace(nothing, tracks={**nothing.tracks, **tracks}, text=text)


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
        _check_frames(clip, name, len(found.tracks.get(name, ())), "found")


def _check_frames(clip: Clip, name: str, frames: int, how: str) -> None:
    if frames > MOST_FRAMES:
        raise DataError(
            f"{clip.path}: {frames:,} frames of {name} {how}, expected at most {MOST_FRAMES:,} "
            "in one clip: predict it window by window (--timeline)"
        )


def _ragged(tracks: Sequence[Track]) -> Ragged:
    lengths = [len(track) for track in tracks]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.concatenate([t.values for t in tracks]), offsets, max(lengths))
