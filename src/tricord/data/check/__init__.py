"""What is wrong, odd or worth knowing about a data set, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tricord.data.check import (
    counts,
    identity,
    labels,
    language,
    lengths,
    order,
    overlap,
    tokens,
    trust,
    values,
)
from tricord.data.check.evidence import Evidence, Progress, gather
from tricord.data.check.findings import Finding, Report, Severity, Where
from tricord.data.check.known import KNOWN
from tricord.data.schema import Dataset
from tricord.errors import ConfigError

__all__ = ["KNOWN", "Finding", "Report", "Severity", "Where", "check"]

# In the order in which findings of one severity are told.
RULES: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
    identity.findings,
    overlap.findings,
    labels.findings,
    order.findings,
    counts.findings,
    trust.findings,
    values.findings,
    lengths.findings,
    tokens.findings,
    language.findings,
)


def check(
    dataset: Dataset,
    *,
    path: Path | None = None,
    known: str | None = None,
    groups: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Look at a data set as it was read, uncleaned (see `tricord.data.load.read`).

    path: its file or store, for the checksums. known: a name of `KNOWN`, to compare with that data
    set whatever the file looks like. groups: id or video -> group, such as the speaker (see
    `tricord.data.derive.grouping.read_groups`), none of which should be in two splits. progress:
    told what is being done, how much of it, and of how much. Each sequence is read once, one in
    memory at a time.

    Raises ConfigError for a data set that is not known, DataError where the file cannot be read
    or a clip has no group.
    """
    if known is not None and known not in KNOWN:
        raise ConfigError(f"data set {known!r} is not known; there is: {', '.join(KNOWN)}")
    evidence = gather(dataset, path, known, groups, progress)
    ranks = {severity: rank for rank, severity in enumerate(Severity)}
    found = [finding for rule in RULES for finding in rule(evidence)]
    return Report(
        file=dataset.source if path is None else str(path),
        sha256=evidence.sha256,
        fingerprint=evidence.dataset.fingerprint(),
        recognised=evidence.recognition.to_json(),
        counts=counts.counts(evidence),
        findings=tuple(sorted(found, key=lambda finding: ranks[finding.severity])),
    )
