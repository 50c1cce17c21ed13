"""What was changed in a data set: a record for a file, a line for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tricord.data.derive.join_report import examples

Action = Literal["changed", "dropped", "reported"]


@dataclass(frozen=True)
class Change:
    """One rule in one place.

    rule: its name. split, key: where; the key is a modality, or what a clip was dropped for.
    action: "reported" where nothing was changed. column: None for all. before, after: values.
    count: how many cells, frames, columns, labels or clips (``unit``). ids: all clips concerned.
    """

    rule: str
    split: str
    key: str
    action: Action
    count: int
    unit: str
    ids: tuple[str, ...] = ()
    column: int | None = None
    before: str | float | None = None
    after: str | float | None = None

    def line(self) -> str:
        """For a person: ``train: audio, column 3: 12 cells -inf -> 0 (nonfinite)``."""
        place = self.key if self.column is None else f"{self.key}, column {self.column}"
        what = f"{self.count} {self.unit}"
        if self.before is not None:
            what += f" {_short(self.before)}"
        if self.after is not None:
            what += f" -> {_short(self.after)}"
        named = f": {examples(self.ids)}" if self.ids and self.action != "changed" else ""
        verb = "" if self.action == "changed" else f" {self.action}"
        return f"{self.split}: {place}: {what}{verb} ({self.rule}){named}"


def as_json(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The records, without what they do not say."""
    return [
        {key: value for key, value in asdict(change).items() if value not in (None, ())}
        for change in changes
    ]


def summary(changes: Sequence[Change]) -> tuple[str, ...]:
    """One line for each rule, split and key: columns and kinds of cells added up."""
    totals: dict[tuple[str, str, str, str, str], int] = {}
    for change in changes:
        place = change.split, change.key, change.unit, change.action, change.rule
        totals[place] = totals.get(place, 0) + change.count
    return tuple(
        f"{split}: {key}: {count} {unit} {action} ({rule})"
        for (split, key, unit, action, rule), count in totals.items()
    )


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
