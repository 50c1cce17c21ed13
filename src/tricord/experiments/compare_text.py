"""A comparison as words: the cells of its table, and the whole of it as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tricord.evaluation.rows import Cell, Row
from tricord.evaluation.simple import in_words
from tricord.experiments.compare_table import (
    SIMULATED,
    Against,
    Compared,
    Measured,
    Versus,
)
from tricord.experiments.reproduce.table4 import QUOTED, UNKNOWN
from tricord.models import registry
from tricord.report.words import grid, p_value, percent, signed
from tricord.types import Subset

NONE = "-"
NOTES = (
    "Means over the seeds. The 95 % interval resamples whole videos; sd is the standard deviation "
    "over seeds.",
    "To best: the row minus the best one, in points; p: of that difference, on the same clips, "
    "seeds and videos resampled, two-sided, corrected by Holm's method. The best row was chosen "
    "on these very clips, so that p is a little too small.",
    "Error and correlation of CMC are those of a linear score head that changes nothing else, and "
    "whose numbers are counted in its size; its decisions are those of its classes.",
    "Size: parameters outside the language model. Training: seconds of all epochs with their "
    "validation, the mean of the seeds. Frames: text, audio and vision frames that training was "
    "given; a model that takes means beforehand is given those. Clips/s: from the data set in "
    "memory to predictions, the median of three.",
)


def cells(compared: Compared, row: Measured) -> dict[str, str]:
    """Column -> text, the same for the screen and for the document."""
    against = compared.against.get(row.name)
    return {
        **floor_cells(compared, row.row),
        "to best": NONE if against is None else signed(100 * against.difference.estimate, 1),
        "p": "best" if against is None else p_value(against.p_holm),
        "size": f"{row.size:,}",
        "train s": three_digits(sum(row.seconds) / len(row.seconds)),
        "frames": amount(sum(row.frames) / len(row.frames)),
        "clips/s": three_digits(row.clips_per_second),
    }


def floor_cells(compared: Compared, row: Row) -> dict[str, str]:
    """Column -> text of how right a row is; the other columns, of a model alone, are empty."""
    whole = row.cells[Subset.TEST]
    assert whole is not None
    interval, measured = whole.interval, whole.metrics
    return {
        compared.metric: percent(interval.estimate),
        "sd": NONE if whole.spread is None else percent(whole.spread),
        "95 %": f"{percent(interval.low)}-{percent(interval.high)}",
        "to best": NONE,
        "p": NONE,
        **{str(s): _estimate(row.cells[s]) for s in compared.clips if s is not Subset.TEST},
        "F1": _number(measured.get("f1", measured.get("macro_f1"))),
        "MAE": _number(measured.get("mae")),
        "Corr": _number(measured.get("corr")),
        **dict.fromkeys(("size", "train s", "frames", "clips/s"), NONE),
    }


def below(compared: Compared) -> list[str]:
    """What stands below the table: what each model is no worse than, power, what is left out."""
    stand = [line for row in compared.rows for line in in_words(row.name, row.simple)]
    power = [] if compared.power is None else [compared.power.note]
    left_out = (f"left out: {reason}" for reason in compared.left_out)
    return [*versus_in_words(compared.versus), *stand, *power, *left_out]


def versus_in_words(found: Versus | None) -> list[str]:
    """A line for each row that the row asked for is compared with."""
    if found is None:
        return []
    return [
        f"{found.name} minus {other}: "
        + "; ".join(f"{subset} {_difference(one)}" for subset, one in by_subset.items())
        for other, by_subset in found.others.items()
    ]


def _difference(one: Against) -> str:
    low, high = (signed(100 * end, 1) for end in (one.difference.low, one.difference.high))
    estimate = signed(100 * one.difference.estimate, 1)
    return f"{estimate} ({low} to {high}), p {p_value(one.p_holm)}"


def markdown(compared: Compared) -> str:
    """The whole comparison as a document."""
    plan = compared.plan
    clips = ", ".join(f"{s} {n}" for s, n in compared.clips.items())
    parts = [
        f"# Models compared on {compared.source}",
        f"**{SIMULATED}**" if compared.simulated else "",
        f"Preset {plan.preset}, split {plan.split} (clips: {clips}), seeds "
        f"{', '.join(map(str, plan.seeds))}. Budget: {plan.budget}.",
        _by_hand(plan.settings),
        _table(compared),
        _limit(compared),
        "\n".join(f"- {line}" for line in below(compared)),
        *NOTES,
        _quoted(compared),
        "![accuracy against size](accuracy-size.svg)",
        "![accuracy against training time](accuracy-time.svg)",
        f"Data {compared.fingerprint[:16]}; "
        + ", ".join(f"{name} {version}" for name, version in compared.versions.items())
        + ".",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _by_hand(settings: Mapping[str, Mapping[str, Any]]) -> str:
    changed = [f"{m}.{path}={value}" for m, own in settings.items() for path, value in own.items()]
    return f"Set by hand: {', '.join(f'`{setting}`' for setting in changed)}." if changed else ""


def _table(compared: Compared) -> str:
    rows = [
        *(
            {"model": row.name, "year": NONE, **floor_cells(compared, row)}
            for row in (compared.floor, *compared.simple)
        ),
        *(
            {"model": row.name, "year": _year(row.name), **cells(compared, row)}
            for row in compared.rows
        ),
    ]
    head = list(rows[0])
    found = [[row[column] for column in head] for row in rows]
    blank = [""] * (len(head) - 3)
    missing = [[r.name, _year(r.name), f"not run: {r.reason}", *blank] for r in compared.not_run]
    return grid(head, [*found, *missing])


def _limit(compared: Compared) -> str:
    if compared.limits is None:
        return ""
    text = f"Bayes limit of the simulation, in its population: {_listed(compared.limits)}"
    if compared.limits_here is not None:
        text += f"; the same classifier on these very clips: {_listed(compared.limits_here)}"
    return f"{text}."


def _listed(limits: Mapping[Subset, float]) -> str:
    return ", ".join(f"{s} {percent(v)}" for s, v in limits.items())


def _quoted(compared: Compared) -> str:
    """Numbers of the paper for models that nobody can build; none beside simulated data."""
    preset = compared.plan.preset
    rows = quoted(preset)
    if compared.simulated or not rows:
        return ""
    return (
        "Quoted from the paper, not run (Table IV; no public description suffices to build them, "
        f"and features and splits may differ):\n\n{grid(['model', 'Acc2 %'], rows)}"
    )


def quoted(preset: str) -> list[list[str]]:
    """Name and numbers of the rows of Table IV that nobody can build, for one data set."""
    return [
        [f"{row.name} ({row.note[:4]})", ", ".join(_printed(row.paper[preset]))]
        for row in QUOTED
        if row.note.endswith(UNKNOWN) and preset in row.paper
    ]


def _printed(columns: Mapping[str, float]) -> Iterable[str]:
    """The accuracy, and F1 where the paper gives it, in percent."""
    for name, number in columns.items():
        if name in ("D_test", "Acc2", "F1"):
            yield f"F1 {number:.2f}" if name == "F1" else f"{number:.2f}"


def _year(name: str) -> str:
    return str(registry.get(name).year)


def _estimate(cell: Cell | None) -> str:
    return NONE if cell is None else percent(cell.interval.estimate)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def three_digits(value: float) -> str:
    """More only before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def amount(value: float) -> str:
    """``12.3 M``, or the number itself where it is small."""
    return f"{value:,.0f}" if value < 1e5 else f"{value / 1e6:,.3g} M"
