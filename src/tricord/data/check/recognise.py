"""Which of the known data sets a file is, how sure that is, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tricord.data.check.known import KNOWN, Known, Shape
from tricord.data.schema import SPLITS, UNSPLIT

CERTAIN, ALMOST, LIKELY, TOLD, UNKNOWN = (
    "certain",
    "almost certain",
    "likely",
    "told by --as",
    "unknown",
)
# Points of evidence, see `_points`. Split sizes and one more thing are almost proof; widths with
# ids, range and language together are likely proof; ids, range and language alone are not, as
# any clips from the same site share them.
_ALMOST_POINTS = 5
_LIKELY_POINTS = 4


@dataclass(frozen=True)
class Traits:
    """What a file shows of itself, for `recognise`.

    sizes: clips per split. shapes: per modality (padded length, width). videos: the part of the
    ids before the separator. bound: greatest |score|, None without scores.
    """

    sizes: Mapping[str, int]
    shapes: Mapping[str, Shape]
    videos: tuple[str, ...]
    bound: float | None
    language: str | None
    sha256: str | None = None


@dataclass(frozen=True)
class Recognition:
    """Which data set, how sure (`CERTAIN` ... `UNKNOWN`), why; version: of the partition."""

    known: Known | None
    certainty: str
    why: tuple[str, ...]
    version: str | None = None
    checksum: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Names only."""
        return {
            "name": None if self.known is None else self.known.name,
            "title": None if self.known is None else self.known.title,
            "certainty": self.certainty,
            "why": list(self.why),
            "partition": self.version,
            "published_file": self.checksum,
        }


def version_of(known: Known, sizes: Mapping[str, int]) -> str | None:
    """The partition whose sizes these are (those that are there), or the undivided total's."""
    for version, expected in known.splits.items():
        wanted = dict(zip(SPLITS, expected, strict=True)) | {UNSPLIT: sum(expected)}
        if sizes and all(wanted.get(split) == size for split, size in sizes.items()):
            return version
    return None


def published_as(sha256: str | None) -> tuple[Known, str] | None:
    """The data set and file whose checksum this is."""
    for known in KNOWN.values():
        if sha256 is not None and sha256 in known.checksums:
            return known, known.checksums[sha256]
    return None


def recognise(traits: Traits, told: str | None = None) -> Recognition:
    """Which data set a file with these traits is.

    told: the name of one of `KNOWN`, taken without asking for evidence.
    """
    published = published_as(traits.sha256)
    if told is None and published is not None:
        known, file = published
        why = (f"its checksum is that of {file}",)
        return Recognition(known, CERTAIN, why, version_of(known, traits.sizes), file)
    evidence = {name: _points(known, traits) for name, known in KNOWN.items()}
    if told is not None:
        return _recognised(KNOWN[told], TOLD, evidence[told], traits, published)
    best, second = sorted(evidence, key=lambda name: -_total(evidence[name]))[:2]
    points = _total(evidence[best])
    if points < _LIKELY_POINTS or points == _total(evidence[second]):
        near = "; ".join(evidence[best]) or "nothing in common with those that are known"
        title = f"nearest is {KNOWN[best].title}: " if evidence[best] else ""
        return Recognition(None, UNKNOWN, (f"{title}{near}",))
    sized = version_of(KNOWN[best], traits.sizes) is not None
    certainty = ALMOST if sized and points >= _ALMOST_POINTS else LIKELY
    return _recognised(KNOWN[best], certainty, evidence[best], traits, published)


def _recognised(
    known: Known,
    certainty: str,
    evidence: Mapping[str, int],
    traits: Traits,
    published: tuple[Known, str] | None,
) -> Recognition:
    return Recognition(
        known,
        certainty,
        tuple(evidence) or ("nothing but the name given",),
        version_of(known, traits.sizes),
        published[1] if published is not None and published[0] is known else None,
    )


def _total(evidence: Mapping[str, int]) -> int:
    return sum(evidence.values())


def _points(known: Known, traits: Traits) -> dict[str, int]:
    """What speaks for this data set, and how much."""
    found: dict[str, int] = {}
    version = version_of(known, traits.sizes)
    if version is not None:
        sizes = "/".join(str(size) for size in traits.sizes.values())
        found[f"split sizes {sizes} ({version})"] = 3
    for modality in ("audio", "vision"):
        if modality in traits.shapes:
            widths = {width for _, width in known.shapes[modality]}
            length, width = traits.shapes[modality]
            if (length, width) in known.shapes[modality]:
                found[f"{modality} of {length} x {width}"] = 2
            elif width in widths:
                found[f"{modality} {width} wide"] = 1
    if traits.videos and all(re.fullmatch(known.id_pattern, v) for v in traits.videos):
        found["form of the ids"] = 1
    if traits.bound is not None and known.bound / 2 < traits.bound <= known.bound + 1e-6:
        found[f"scores within {known.bound:g}"] = 1
    if traits.language == known.language:
        found[f"language {traits.language}"] = 1
    return found
