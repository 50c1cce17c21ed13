"""Everything the rules look at, gathered with one access to each sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.admit import finite
from tricord.data.check.known import Known
from tricord.data.check.language import Writing, writing_of
from tricord.data.check.recognise import UNKNOWN, Recognition, Traits, recognise
from tricord.data.check.scan import Scan, scan
from tricord.data.derive.grouping import groups_of
from tricord.data.gather import plans_of
from tricord.data.schema import ID_SEPARATOR, Dataset, FeatureTable, Ragged
from tricord.data.store import is_store, verify_store
from tricord.data.store.manifest import file_sha256
from tricord.errors import DataError

Progress = Callable[[str, int, int], None]  # what is being done, done so far, of how much


@dataclass(frozen=True)
class Evidence:
    """One data set, its frames looked at and left behind.

    dataset: as read, but its sequences hold lengths only. scans: split -> modality -> Scan.
    sha256: of the file, None for a folder. damage: of a store, a line each; None for other kinds.
    writing: of the raw texts, None without. groups: split -> group of each clip, such
    as its speaker, where known.
    """

    dataset: Dataset
    scans: Mapping[str, Mapping[str, Scan]]
    recognition: Recognition
    sha256: str | None
    damage: tuple[str, ...] | None
    writing: Writing | None
    groups: Mapping[str, list[str]] | None

    @property
    def known(self) -> Known | None:
        """The data set it was recognised as."""
        return self.recognition.known

    @property
    def tables(self) -> Mapping[str, FeatureTable]:
        """Splits without their frames."""
        return self.dataset.splits

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those with features of one width; a text that is only tokens has none."""
        return tuple(
            m for m in self.dataset.modalities if len(self.widths(m)) == 1 and self.widths(m) != {0}
        )

    def widths(self, modality: str) -> set[int]:
        """Numbers per frame, as they are in the splits."""
        return {found.width for _, found in self.of_modality(modality)}

    def of_modality(self, modality: str) -> Iterator[tuple[str, Scan]]:
        """(split, Scan) of the splits that have this modality."""
        for split, scans in self.scans.items():
            if modality in scans:
                yield split, scans[modality]


def gather(
    dataset: Dataset,
    path: Path | None = None,
    told: str | None = None,
    groups: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Scan every sequence once, one in memory at a time, and recognise the data set.

    path: of the file or store, for its checksums. groups: id or video -> group, such as the
    speaker. Raises DataError where the file cannot be read, or a clip has no group.
    """
    tell = progress or _nothing
    _check_modalities(dataset)
    sha256 = damage = None
    if path is not None and path.is_file():
        sha256 = file_sha256(path, partial(tell, "checksum"))
    if path is not None and is_store(path):
        damage = verify_store(path, partial(tell, "checksums of the store"))
    scans: dict[str, dict[str, Scan]] = {}
    tables: dict[str, FeatureTable] = {}
    for name, table in dataset.splits.items():
        scans[name], lengths = {}, {}
        for modality, plan in plans_of(table).items():
            ragged = plan.read()
            scans[name][modality] = _scan(ragged, f"{name}, {modality}", tell)
            lengths[modality] = replace(
                ragged,
                values=ragged.values[:0].copy(),  # a view would keep the frames alive
                known_digest=finite(ragged, fresh=plan.fresh)[0].digest(),  # as a run has it
            )
            del ragged
        tables[name] = replace(table, sequences=lengths)
    bare = replace(dataset, splits=tables)
    texts = [text for table in tables.values() for text in table.raw_text or ()]
    writing = writing_of(texts) if texts else None
    recognition = (
        Recognition(None, UNKNOWN, ("the file says that it is simulated",))
        if dataset.simulated and told is None
        else recognise(_traits(bare, scans, sha256, writing), told)
    )
    return Evidence(
        dataset=bare,
        scans=scans,
        recognition=recognition,
        sha256=sha256,
        damage=None if damage is None else tuple(damage),
        writing=writing,
        groups=_groups(bare, groups),
    )


def signs_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """-1, 0, 1, or NaN where a score is unknown."""
    with np.errstate(invalid="ignore"):
        return np.sign(scores)


def _check_modalities(dataset: Dataset) -> None:
    """Raises DataError where splits have other modalities, and so other labels."""
    if not dataset.splits:
        raise DataError(f"{dataset.source}: no split found, expected at least one")
    first, expected = next((n, tuple(t.sequences)) for n, t in dataset.splits.items())
    for name, table in dataset.splits.items():
        if tuple(table.sequences) != expected:
            raise DataError(
                f"{dataset.source}: split '{name}': modalities {list(table.sequences)} found, "
                f"expected {list(expected)} as in split '{first}'"
            )


def _groups(dataset: Dataset, named: Mapping[str, str] | None) -> dict[str, list[str]] | None:
    """Split -> group of each clip: as told, else the speakers that the source names."""
    if named is not None:
        return groups_of(dataset, named)
    speakers = dataset.recipe.get("speakers")
    if not isinstance(speakers, dict):
        return None
    try:
        return groups_of(dataset, {str(name): str(who) for name, who in speakers.items()})
    except DataError:  # it does not name all of them
        return None


def _nothing(what: str, done: int, total: int) -> None:
    del what, done, total


def _scan(ragged: Ragged, what: str, progress: Progress) -> Scan:
    total, done = ragged.values.nbytes, 0

    def tick(looked_at: int) -> None:
        nonlocal done
        done += looked_at
        progress(what, done, total)

    return scan(ragged, tick)


def _traits(
    dataset: Dataset,
    scans: Mapping[str, Mapping[str, Scan]],
    sha256: str | None,
    writing: Writing | None,
) -> Traits:
    shapes: dict[str, tuple[int, int]] = {}
    for of_split in scans.values():
        for modality, found in of_split.items():
            length = max(found.padded_length, shapes.get(modality, (0, 0))[0])
            shapes[modality] = (length, found.width)
    scores = [t.scores[:, 0][~np.isnan(t.scores[:, 0])] for t in dataset.splits.values()]
    found_scores = np.concatenate(scores) if scores else np.zeros(0)
    joined = all(ID_SEPARATOR in i for t in dataset.splits.values() for i in t.ids)
    videos = [t.videos for t in dataset.splits.values()] if joined else []
    return Traits(
        sizes={name: len(table) for name, table in dataset.splits.items()},
        shapes=shapes,
        videos=tuple(np.unique(np.concatenate(videos)).tolist()) if videos else (),
        bound=float(np.abs(found_scores).max()) if len(found_scores) else None,
        language=None if writing is None else writing.language,
        sha256=sha256,
    )
