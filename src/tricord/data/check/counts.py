"""Counts of labels: D_msc and D_msi beside the paper's, balance, drift between splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tricord.data.check.evidence import Evidence, signs_of
from tricord.data.check.findings import SPLIT_COMMAND, Finding, Severity, Where
from tricord.data.check.known import Known, Pair
from tricord.data.derive.balance import independence
from tricord.data.describe import describe
from tricord.data.schema import FeatureTable
from tricord.data.splits import subset_masks
from tricord.types import Subset

# One class this large: always saying it beats most models on accuracy.
MAJORITY = 0.8
# Splits of one population differ this much once in a thousand divisions by chance.
DRIFT_P = 1e-3
_SIGN_NAMES = {-1.0: "negative", 0.0: "neutral", 1.0: "positive"}


def counts(evidence: Evidence) -> dict[str, Any]:
    """What `tricord.data.describe` counts, and per split balance and the paper's subsets."""
    summary = describe(evidence.dataset)
    known = evidence.known
    for name, split in summary["splits"].items():
        classes = class_counts(evidence.tables[name])
        labelled = sum(classes.values())
        split["classes"] = classes
        split["majority"] = round(max(classes.values()) / labelled, 4) if labelled else None
        if known is not None and name in known.subsets:
            split["paper_subsets"] = _named(known.subsets[name])
            if name in known.circulating:
                split["circulating_subsets"] = _named(known.circulating[name])
    summary["language"] = None if evidence.writing is None else evidence.writing.language
    return summary


def class_counts(table: FeatureTable) -> dict[str, int]:
    """Clips per sign of the multimodal score; per word where there are no scores."""
    signs = signs_of(table.scores[:, 0])
    if np.isnan(signs).all() and table.label_names is not None:
        return dict(sorted(Counter(table.label_names).items()))
    return {name: int((signs == sign).sum()) for sign, name in _SIGN_NAMES.items()}


def subset_counts(table: FeatureTable) -> Pair | None:
    """Clips in D_msc and D_msi; None where a label of a modality is unknown."""
    masks = subset_masks(table.scores)
    if Subset.MSC not in masks:
        return None
    return int(masks[Subset.MSC].sum()), int(masks[Subset.MSI].sum())


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Of the label counts."""
    if evidence.known is not None:
        yield from _subsets(evidence, evidence.known)
    yield from _balance(evidence)
    yield from _drift(evidence)


def _named(pair: Pair) -> dict[str, int]:
    return {str(Subset.MSC): pair[0], str(Subset.MSI): pair[1]}


def _subsets(evidence: Evidence, known: Known) -> Iterator[Finding]:
    found = {name: subset_counts(table) for name, table in evidence.tables.items()}
    there = {name: pair for name, pair in found.items() if pair and name in known.subsets}
    other = [name for name, pair in there.items() if pair != known.subsets[name]]
    if not other:
        return
    text = "; ".join(
        f"{name} {_slash(there[name])} (Table I {_slash(known.subsets[name])})" for name in other
    )
    if known.circulating and all(_circulates(known, name, there[name]) for name in other):
        yield Finding(
            "subsets",
            Severity.NOTE,
            f"D_msc/D_msi: {text}",
            f"These are the counts that footnote 3 gives on the annotations of {known.title} in "
            "circulation; the paper's were counted on another version. The file is not broken, "
            "but D_msc and D_msi here are not the paper's clips.",
            "Compare D_msc and D_msi results with care; docs/data.md, 'Label versions', explains.",
            Where.at(other),
        )
        return
    yield Finding(
        "subsets",
        Severity.WARNING,
        f"D_msc/D_msi by footnote 3: {text}",
        "The four labels are not those of the paper, or stand in other columns, or clips are "
        "missing.",
        "Compare with the official label.csv; see the findings on label order and split sizes.",
        Where.at(other),
    )


def _circulates(known: Known, split: str, pair: Pair) -> bool:
    """Whether these are the circulating counts; one clip fewer is the version without one."""
    expected = known.circulating[split]
    missing = (expected[0] - pair[0], expected[1] - pair[1])
    return missing == (0, 0) or (split == "train" and sorted(missing) == [0, 1])


def _slash(pair: Pair) -> str:
    return f"{pair[0]}/{pair[1]}"


def _balance(evidence: Evidence) -> Iterator[Finding]:
    everywhere = {name: class_counts(table) for name, table in evidence.tables.items()}
    for split, classes in everywhere.items():
        labelled = sum(classes.values())
        if not labelled:
            continue
        name, most = max(classes.items(), key=lambda item: item[1])
        shown = ", ".join(f"{label} {count}" for label, count in classes.items())
        if most == labelled:
            yield _one_class(split, name, labelled)
        elif most / labelled >= MAJORITY:
            yield Finding(
                "balance",
                Severity.WARNING,
                f"{100 * most / labelled:.1f} % are {name} ({shown})",
                "A model that always says this class has that accuracy; accuracy alone says "
                "little here.",
                "Report macro F1 and the accuracy of the majority beside it.",
                Where.at([split]),
            )


def _one_class(split: str, name: str, labelled: int) -> Finding:
    return Finding(
        "balance",
        Severity.ERROR if split == "train" else Severity.WARNING,
        f"all {labelled} labelled clips are {name}",
        "Nothing can be learned, or measured, from one class.",
        f"Check the labels, or divide the clips anew: {SPLIT_COMMAND}",
        Where.at([split]),
    )


def _drift(evidence: Evidence) -> Iterator[Finding]:
    tables: Mapping[str, dict[str, int]] = {
        name: class_counts(table) for name, table in evidence.tables.items()
    }
    names = list(dict.fromkeys(label for classes in tables.values() for label in classes))
    observed = [[classes.get(name, 0) for name in names] for classes in tables.values()]
    p = independence(observed).p if np.any(observed) else 1.0
    if p >= DRIFT_P:
        return
    shares = "; ".join(
        f"{split} {_shares(counts)}"
        for split, counts in zip(tables, observed, strict=True)
        if sum(counts)
    )
    yield Finding(
        "drift",
        Severity.NOTE,
        f"classes ({'/'.join(names)}) are distributed differently: {shares} (chi-square, "
        f"p = {p:.1g})",
        "Splits by speaker often are, and clips of a speaker are not independent. A threshold "
        "or a calibration made on valid fits test less well.",
        f"Keep it in mind, or make stratified splits: {SPLIT_COMMAND}",
        Where.at(tables),
    )


def _shares(counts: list[int]) -> str:
    return "/".join(f"{100 * count / sum(counts):.0f}" for count in counts) + " %"
