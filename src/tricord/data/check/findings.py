"""What a check says: findings, and the report that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FIX_COMMAND = "tricord data fix FILE CLEAN.tricord"
SPLIT_COMMAND = "tricord data split FILE NEW.tricord"
SHOWN_IDS = 5  # enough to look some up; the count says how many there are
SHOWN_COLUMNS = 12


class Severity(StrEnum):
    """How much it matters, worst first."""

    ERROR = "error"  # results on this file would be wrong, or it cannot be used as it is
    WARNING = "warning"  # results are probably affected: look before training
    NOTE = "note"  # worth knowing when results are compared


@dataclass(frozen=True)
class Where:
    """The place of a finding; empty where it is not about a split, a modality, columns or ids.

    columns, ids: the first few only.
    """

    splits: tuple[str, ...] = ()
    modality: str | None = None
    columns: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()

    @classmethod
    def at(
        cls,
        splits: Iterable[str] = (),
        modality: str | None = None,
        *,
        columns: Iterable[int] = (),
        ids: Iterable[str] = (),
    ) -> Where:
        """A place, its examples cut to a few."""
        return cls(
            tuple(dict.fromkeys(splits)),
            modality,
            tuple(int(c) for c in columns)[:SHOWN_COLUMNS],
            tuple(str(i) for i in ids)[:SHOWN_IDS],
        )

    def to_json(self) -> dict[str, Any]:
        """What is known of the place."""
        parts: dict[str, Any] = {
            "splits": list(self.splits),
            "modality": self.modality,
            "columns": list(self.columns),
            "ids": list(self.ids),
        }
        return {name: part for name, part in parts.items() if part}


@dataclass(frozen=True)
class Finding:
    """One thing found.

    rule: a short stable name, for scripts.
    found: numbers; means: what follows from it; do: what to do, a command where there is one.
    """

    rule: str
    severity: Severity
    found: str
    means: str
    do: str
    where: Where = field(default_factory=Where)

    def to_json(self) -> dict[str, Any]:
        """Plain strings, numbers and lists."""
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "where": self.where.to_json(),
            "found": self.found,
            "means": self.means,
            "do": self.do,
        }


@dataclass(frozen=True)
class Report:
    """What `check` found in one file.

    sha256: of the file, None for a folder or where the data has no file. fingerprint: of the data.
    recognised: which known data set it is, how sure that is, and why.
    counts: clips, videos, labels, subsets and lengths per split, and the paper's beside them.
    findings: worst first.
    """

    file: str
    sha256: str | None
    fingerprint: str
    recognised: Mapping[str, Any]
    counts: Mapping[str, Any]
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(f for f in self.findings if f.severity is severity)

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return bool(self.of(Severity.ERROR))

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "fingerprint": self.fingerprint,
            "recognised": dict(self.recognised),
            "verdict": {str(s): len(self.of(s)) for s in Severity},
            "counts": dict(self.counts),
            "findings": [finding.to_json() for finding in self.findings],
        }


def of_many(count: int, total: int, what: str = "clips") -> str:
    """``12 of 457 clips (2.6 %)``."""
    share = 100 * count / total if total else 0.0
    shown = "under 0.1" if 0 < share < 0.05 else f"{share:.1f}"
    return f"{count} of {total} {what} ({shown} %)"
