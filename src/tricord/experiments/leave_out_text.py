"""What leaving one group out found, as plain values and in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tricord.experiments.compare_table import SIMULATED
from tricord.report.words import counted, grid, p_value, percent, signed
from tricord.training.trained import versions

if TYPE_CHECKING:
    from tricord.evaluation.rows import Row
    from tricord.experiments.leave_out import LeftOut

NOTE = (
    "Every clip is decided by models that never saw its group. The 95 % interval resamples whole "
    "groups, and with few of them it is too narrow; sd is the standard deviation over seeds, worst "
    "and best are of single groups. To best: the row minus the best model, on the same clips, "
    "seeds and groups resampled, p corrected by Holm's method; the best was chosen on these very "
    "clips, so that p is a little too small."
)


def to_json(found: LeftOut) -> dict[str, Any]:
    """Plain values, for a result file."""
    plan = found.plan
    return {
        "kind": "leave-out",
        "head": SIMULATED if found.simulated else None,
        "simulated": found.simulated,
        "preset": plan.preset,
        "seeds": list(plan.seeds),
        "valid": plan.valid,
        "settings": {m: {k: str(v) for k, v in s.items()} for m, s in plan.settings.items()},
        "metric": found.metric,
        "data": {"source": found.source, "fingerprint": found.fingerprint},
        "versions": versions(),
        "groups": found.clips,
        "best": found.best,
        "rows": [
            {
                "name": row.name,
                "of_groups": found.of_groups(row),
                "against_best": asdict(found.against[row.name])
                if row.name in found.against
                else None,
                **{str(s): cell and cell.to_json("mean") for s, cell in row.cells.items()},
            }
            for row in found.rows
        ],
    }


def columns(found: LeftOut, row: Row) -> dict[str, str]:
    """Column -> text, the same for the screen and for the document."""
    cell = next(iter(row.cells.values()))
    assert cell is not None  # the first subset is all clips
    against, of_groups = found.against.get(row.name), found.of_groups(row).values()
    f1 = cell.metrics.get("f1", cell.metrics.get("macro_f1"))
    return {
        found.metric: percent(cell.interval.estimate),
        "sd": "-" if cell.spread is None else percent(cell.spread),
        "95 %": f"{percent(cell.interval.low)}-{percent(cell.interval.high)}",
        "worst": percent(min(of_groups)),
        "best": percent(max(of_groups)),
        "F1": "-" if f1 is None else f"{f1:.3f}",
        "to best": "-" if against is None else signed(100 * against.difference.estimate, 1),
        "p": "best" if against is None else p_value(against.p_holm),
    }


def title(found: LeftOut) -> str:
    """What the table is of."""
    return (
        f"{found.metric} in %, one of {counted(len(found.clips), 'group')} left out at a time, "
        f"{counted(len(found.groups), 'clip')}, {counted(len(found.plan.seeds), 'seed')}"
    )


def markdown(found: LeftOut) -> str:
    """The whole result as a document."""
    rows = {row.name: columns(found, row) for row in found.rows}
    head = ["model", *next(iter(rows.values()))]
    body = [[name, *cells.values()] for name, cells in rows.items()]
    names = [row.name for row in found.rows]
    of_groups = {row.name: found.of_groups(row) for row in found.rows}
    by_group = [
        [group, str(clips), *(percent(of_groups[name][group]) for name in names)]
        for group, clips in found.clips.items()
    ]
    parts = [
        f"# One group left out at a time: {found.source}",
        f"**{SIMULATED}**" if found.simulated else "",
        f"{title(found)}. Settings: {found.plan.preset or 'chosen from the data'}.",
        grid(head, body),
        grid(["group", "clips", *names], by_group),
        NOTE,
        f"Data {found.fingerprint[:16]}; "
        + ", ".join(f"{name} {version}" for name, version in versions().items())
        + ".",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
