"""Extraction: all clips through a recipe, side by side, kept as they are done."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from tricord.clips.cache import Cache, key_of
from tricord.clips.clip import Clip, ClipFeatures
from tricord.clips.engine import Engine, Failure, Processes, attempt
from tricord.clips.estimate import SAMPLES, Estimate, check_room, estimate, lengths, typical
from tricord.clips.failures import Failed
from tricord.clips.measure import Content, Measured, Measurer
from tricord.clips.recipe import Recipe
from tricord.errors import DataError

# Seconds that a clip may take, and for each second of it; language models of sound and pictures
# take a few a second. What a damaged file declares may be anything, so there is a most.
SLOWEST, SLOWEST_PER_SECOND, MOST_SECONDS = 600.0, 60.0, 86_400.0


@dataclass(frozen=True)
class Extraction:
    """features: of the clips that were measured, by id. failed: the others, by id.

    seconds: that it took. media_seconds: of sound and pictures in the features, and
    measured_seconds: of those, what was measured now. frames, faces: pictures looked at, and those
    with a face. from_cache: clips all of which was measured before.
    """

    features: tuple[ClipFeatures, ...]
    failed: tuple[Failed, ...]
    seconds: float
    media_seconds: float
    measured_seconds: float
    frames: int
    faces: int
    from_cache: int

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of media measured in a second; None where all were measured before."""
        return self.measured_seconds / self.seconds if self.measured_seconds else None


class Observer:
    """Told how far an extraction is; by itself it does nothing."""

    def started(self, clips: int, media_seconds: float) -> None:
        """Before the first clip."""

    def estimated(self, estimate: Estimate) -> None:
        """Once a few clips were measured; what it raises ends the extraction."""

    def clip_done(self, done: int, clips: int, failed: Failed | None) -> None:
        """After each clip."""


@dataclass(frozen=True)
class Done:
    """A clip. seconds: that it took. kept: whether all of it was measured before.

    typical: whether its seconds say something of other clips: it was measured, and is not the first
    one that its worker measured, for which libraries are loaded and compiled.
    """

    features: ClipFeatures
    seconds: float
    kept: bool
    typical: bool


@dataclass(frozen=True)
class Work:
    """What a worker does, as it is sent to it. folder: of the cache; None: nothing is kept."""

    recipe: Recipe
    folder: Path | None

    def __call__(self) -> Callable[[Clip], Done]:
        """Open what the recipe names; raises as `Measurer`."""
        from tricord.sound.extractor import LicenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LicenceWarning)  # was said when the recipe was built
            measurer = Measurer(self.recipe)
        return Keeping(measurer, None if self.folder is None else Cache(self.folder))


class Keeping:
    """Measures clips; takes from the cache what is there, and puts into it what is not."""

    def __init__(self, measurer: Measurer, cache: Cache | None) -> None:
        self._measurer, self._cache = measurer, cache
        self._warm = False

    def __call__(self, clip: Clip) -> Done:
        """Raises DataError as `Measurer`, TricordError where the cache cannot be written."""
        start = perf_counter()
        info = self._measurer.probe(clip)
        names = self._measurer.recipe.parts
        read = partial(_kept, self._cache, self._measurer.recipe, clip)
        kept = {name: found for name in names if (found := read(name)) is not None}
        parts = {name: kept.get(name) or self._measured(name, clip, info) for name in names}
        features = self._measurer.together(clip, info, parts)
        all_kept = len(kept) == len(names)
        typical = self._warm and not all_kept
        self._warm = self._warm or not all_kept
        return Done(features, perf_counter() - start, all_kept, typical)

    def _measured(self, name: str, clip: Clip, info: Content) -> Measured:
        if self._cache is None:
            return self._measurer.measure(clip, info, name)
        part = self._measurer.recipe.parts[name]
        key = key_of(name, part, clip)
        found = self._measurer.measure(clip, info, name)
        if key == key_of(name, part, clip):  # else the file changed meanwhile: it is being copied
            self._cache.write(key, found)
        return found


def _kept(cache: Cache | None, recipe: Recipe, clip: Clip, name: str) -> Measured | None:
    """What was measured of a modality before."""
    if cache is None:
        return None
    part = recipe.parts[name]
    return cache.read(key_of(name, part, clip), part)


def _all_kept(cache: Cache, recipe: Recipe, clip: Clip) -> Done | None:
    """A clip all of which was measured before; raises as `Measurer` where it cannot be used."""
    info = Measurer.probe(clip)
    parts: dict[str, Measured] = {}
    for name in recipe.parts:  # text first, whose key needs no look at the file
        found = _kept(cache, recipe, clip, name)
        if found is None:
            return None
        parts[name] = found
    return Done(Measurer.together(clip, info, parts), 0.0, True, False)


def extract(
    clips: Sequence[Clip],
    recipe: Recipe,
    *,
    workers: int = 1,
    engine: Engine | None = None,
    observer: Observer | None = None,
    cache: Cache | None = None,
    store: Path | None = None,
) -> Extraction:
    """Measure all clips as the recipe says.

    workers: processes side by side. engine: what runs them, `Processes` unless told. cache: where
    what is measured is kept, so that a run that was killed goes on where it was. store: where the
    data set will be written, to see whether there is room for it.

    Where all is in the cache no worker is started.
    What comes out does not depend on workers, order or cache. Raises DataError where two clips
    have one id or the disk has no room, ModelError where what is installed does not fit the
    recipe; a clip that cannot be measured is no error but one of `failed`, and so is one that takes
    longer than ten minutes and a minute for each of its seconds.
    """
    _check_ids(clips)
    start = perf_counter()
    watch = _Watch(clips, workers, observer or Observer(), cache, store)
    order = watch.order(range(len(clips)) if cache is None else watch.add_kept(recipe, cache))
    work = Work(recipe, None if cache is None else cache.folder)
    used = engine or Processes(workers, watch.limit)
    if order:
        with closing(used.map(work, [clips[i] for i in order])) as answers:
            for number, found in answers:
                watch.add(order[number], found)
    done = sorted(watch.done, key=lambda d: d.features.id)
    return Extraction(
        features=tuple(d.features for d in done),
        failed=tuple(sorted(watch.failed, key=lambda f: f.id)),
        seconds=perf_counter() - start,
        media_seconds=sum(d.features.duration for d in done),
        measured_seconds=sum(d.features.duration for d in done if not d.kept),
        frames=sum(d.features.frames for d in done),
        faces=sum(d.features.faces for d in done),
        from_cache=sum(d.kept for d in done),
    )


class _Watch:
    """Takes what comes back, and tells the observer."""

    def __init__(
        self,
        clips: Sequence[Clip],
        workers: int,
        observer: Observer,
        cache: Cache | None,
        store: Path | None,
    ) -> None:
        self.clips, self.observer = clips, observer
        self.workers = max(1, min(workers, len(clips)))
        folders = [cache.folder] if cache is not None else []
        self.places = [*folders, store.parent] if store is not None else folders
        self.seconds = lengths(clips)
        self.left = self.total = sum(self.seconds)
        self._limits = {clip.id: seconds for clip, seconds in zip(clips, self.seconds, strict=True)}
        self.done: list[Done] = []
        self.failed: list[Failed] = []
        observer.started(len(clips), self.total)

    def add_kept(self, recipe: Recipe, cache: Cache) -> Sequence[int]:
        """Clips that need no worker, up to the first that does; gives the numbers of the others.

        Those are all of which is in the cache, or that cannot be opened. Where one has to be
        measured workers start anyway, and look into the cache side by side.
        """
        for number, clip in enumerate(self.clips):
            found = attempt(partial(_all_kept, cache, recipe), clip)
            if found is None:
                return range(number, len(self.clips))
            self.add(number, found)
        return []

    def order(self, numbers: Sequence[int]) -> list[int]:
        """Typical ones of these clips first, for the estimate."""
        places = typical([self.seconds[i] for i in numbers], SAMPLES + self.workers)
        first = [numbers[place] for place in places]
        return [*first, *(i for i in numbers if i not in first)]

    def limit(self, clip: Clip) -> float:
        """Seconds that a clip may take."""
        return min(SLOWEST + SLOWEST_PER_SECOND * self._limits[clip.id], MOST_SECONDS)

    def add(self, number: int, found: Done | Failure) -> None:
        """One more clip."""
        failed = None
        self.left -= self.seconds[number]
        if isinstance(found, Failure):
            clip = self.clips[number]
            failed = Failed(clip.id, clip.path, found.reason.removeprefix(f"{clip.path}: "))
            self.failed.append(failed)
        else:
            self.done.append(found)
            if found.typical:
                self._estimate()
        self.observer.clip_done(len(self.done) + len(self.failed), len(self.clips), failed)

    def _estimate(self) -> None:
        measured = [(d.features, d.seconds) for d in self.done if d.typical]
        if len(measured) != SAMPLES:
            return
        found = estimate(measured, self.total, self.left, self.workers)
        if self.places:
            check_room(found.bytes, self.places)
        self.observer.estimated(found)


def _check_ids(clips: Sequence[Clip]) -> None:
    seen: dict[str, Path] = {}
    for clip in clips:
        if clip.id in seen:
            raise DataError(f"{clip.path}: id '{clip.id}' is that of {seen[clip.id]} too")
        seen[clip.id] = clip.path
