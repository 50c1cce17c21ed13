"""What a join of two files did, in numbers and in lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXAMPLES = 3


@dataclass(frozen=True)
class JoinReport:
    """What a join did.

    matched: split -> clips that got the modality. missing: split -> ids without a match, dropped.
    alike: how many of these match when spelling is overlooked (`tricord.data.derive.join.loose`).
    surplus: ids of the other file that no split has. relabelled, reworded: clips whose label or
    words differ between the files, which ids that mean the same clip do not.
    """

    modality: str
    source: str
    matched: Mapping[str, int]
    missing: Mapping[str, tuple[str, ...]]
    alike: int
    surplus: tuple[str, ...]
    relabelled: int
    reworded: int

    def to_json(self) -> dict[str, Any]:
        """Where the modality came from, and every id that was missing or surplus."""
        return {
            "source": Path(self.source).name,
            "matched": dict(self.matched),
            "missing": {split: list(ids) for split, ids in self.missing.items() if ids},
            "surplus": list(self.surplus),
        }

    def lines(self) -> tuple[str, ...]:
        """One line for each thing a user should know; ids are listed by example."""
        matched = ", ".join(f"{split} {n}" for split, n in self.matched.items())
        lines = [f"{self.modality} taken by id from {self.source} ({matched})"]
        lines += [
            f"{split}: {len(ids)} clips dropped, no {self.modality} for them: {examples(ids)}"
            for split, ids in self.missing.items()
            if ids
        ]
        if self.alike:
            lines.append(f"{self.alike} of them would match in another spelling: --join-ids loose")
        if self.surplus:
            lines.append(
                f"{len(self.surplus)} clips of {self.source} unused: {examples(self.surplus)}"
            )
        for count, what in ((self.relabelled, "label"), (self.reworded, "text")):
            if count:
                lines.append(f"{count} clips have another {what} in {self.source}")
        return tuple(lines)


def examples(ids: Sequence[str]) -> str:
    """The first few of the ids, for a message."""
    shown = ", ".join(repr(clip) for clip in ids[:_EXAMPLES])
    return f"{shown}, ..." if len(ids) > _EXAMPLES else shown
