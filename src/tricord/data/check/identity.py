"""Which file it is: published checksums, partitions and shapes of the known data sets."""

from __future__ import annotations

from collections.abc import Iterator

from tricord.data.check.evidence import Evidence
from tricord.data.check.findings import Finding, Severity, Where
from tricord.data.check.known import RECIPES, Known
from tricord.data.check.recognise import published_as
from tricord.data.schema import SPLITS, UNSPLIT


def findings(evidence: Evidence) -> Iterator[Finding]:
    """The file against what is published of it."""
    if evidence.dataset.simulated:
        yield _simulated()
    if evidence.damage:
        yield _damaged(evidence.damage)
    yield from _widths(evidence)
    known = evidence.known
    if known is not None:
        yield from _checksum(evidence, known)
        yield from _sizes(evidence, known)
        yield from _shapes(evidence, known)


def _simulated() -> Finding:
    return Finding(
        "simulated",
        Severity.NOTE,
        "the file says that it is simulated",
        "It shows whether code learns what can be learned, and nothing about people.",
        "Quote no result on it as one on a real data set.",
    )


def _widths(evidence: Evidence) -> Iterator[Finding]:
    for modality in evidence.dataset.modalities:
        found = {split: scan.width for split, scan in evidence.of_modality(modality)}
        if len(set(found.values())) > 1:
            yield Finding(
                "split-widths",
                Severity.ERROR,
                "numbers per frame: " + ", ".join(f"{s} {width}" for s, width in found.items()),
                "The splits were made by different recipes: no model reads both. Nothing else is "
                "said of this modality here.",
                "Extract all splits by one recipe.",
                Where.at(found, modality),
            )


def _damaged(problems: tuple[str, ...]) -> Finding:
    return Finding(
        "store-damaged",
        Severity.ERROR,
        f"{len(problems)} checksums of the store do not fit: {problems[0]}",
        "Numbers changed since the store was written: a bad disk, a bad copy, or an edit.",
        "Convert the source again: tricord data convert SRC NEW.tricord",
    )


def _checksum(evidence: Evidence, known: Known) -> Iterator[Finding]:
    published = published_as(evidence.sha256)
    if published is not None and published[0] is not known:
        yield Finding(
            "checksum",
            Severity.WARNING,
            f"the checksum is that of {published[1]}, which is {published[0].title}",
            f"The file is not the {known.title} that --as says.",
            f"Check it as what it is: tricord data check FILE --as {published[0].name}",
        )
    elif evidence.sha256 and evidence.modalities and known.checksums and published is None:
        yield Finding(
            "checksum",
            Severity.NOTE,
            f"SHA-256 {evidence.sha256[:16]}... is none of those published for "
            f"{known.title} ({len(known.checksums)})",
            "Another version, another container, or a file that was changed on the way. All "
            "counts below are of this file; it is not broken by that.",
            "When you compare results, name the file by this checksum or by its fingerprint.",
        )


def _sizes(evidence: Evidence, known: Known) -> Iterator[Finding]:
    found = {name: len(table) for name, table in evidence.tables.items()}
    version = evidence.recognition.version
    shown = "/".join(str(size) for size in found.values())
    paper = "/".join(str(size) for size in known.paper_sizes)
    if version is not None:
        if version != next(iter(known.splits)) and UNSPLIT not in found:
            yield Finding(
                "partition",
                Severity.NOTE,
                f"{shown} clips: {version}; Table I says {paper}",
                "The clips are divided in another way than in the paper; results on the two "
                "test splits are not comparable.",
                "Name the partition beside the result.",
                Where.at(found),
            )
        return
    expected = dict(zip(SPLITS, known.paper_sizes, strict=True)) | {UNSPLIT: sum(known.paper_sizes)}
    wrong = [
        f"{name} {size} ({size - expected[name]:+d})"
        for name, size in found.items()
        if name in expected and size != expected[name]
    ]
    yield Finding(
        "split-sizes",
        Severity.WARNING,
        f"{', '.join(wrong) or shown}; {known.title} has {paper}",
        "Clips were lost or added, or the splits are not the official ones. Results are not "
        "comparable with published ones, and the test clips may be others.",
        "Find the missing ids by comparing with the official label.csv; failures of an extraction "
        "are listed in its error.csv.",
        Where.at(found),
    )


def _shapes(evidence: Evidence, known: Known) -> Iterator[Finding]:
    for modality in evidence.modalities:
        if modality not in known.shapes:
            continue
        found = {(s.padded_length, s.width) for _, s in evidence.of_modality(modality)}
        variants = known.shapes[modality]
        expected = next(iter(variants))
        for shape in sorted(found):
            if shape == expected:
                continue
            length, width = shape
            named = f" ({variants[shape]})" if shape in variants else ""
            yield Finding(
                "shape",
                Severity.NOTE,
                f"{length} x {width}{named}; Table II says {expected[0]} x {expected[1]}",
                _what_shape_means(modality, width, expected[1]),
                "Name the recipe of the features beside the result; a model trained on one shape "
                "cannot read another.",
                Where.at((n for n, _ in evidence.of_modality(modality)), modality),
            )


def _what_shape_means(modality: str, width: int, expected: int) -> str:
    if width == expected:
        return "The same features, cut or padded to another length."
    recipe = RECIPES.get((modality, width))
    made = f"{width} columns are those of {recipe}. " if recipe else ""
    return f"{made}Made by another recipe than the paper's: results are not comparable."
