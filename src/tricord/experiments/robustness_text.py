"""A robustness result in words: lines for the screen, a Markdown document."""

from __future__ import annotations

from collections.abc import Iterable

from tricord.evaluation.statistics import Interval
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.robustness_result import Robustness, Row, Subsets
from tricord.report.words import counted, grid, percent, signed
from tricord.types import Subset

NONE = "-"
CLEAN = "clean"
MEANS = {"frames": "mean 0-90 %", "noise": "mean"}
TITLES = {
    "frames": "Frames lost",
    "removal": "Modalities removed",
    "noise": "White noise",
    "shift": "A modality late",
    "shuffle": "A modality of another clip",
    "transcript": "The transcript of another clip",
}
EXPLAINED = (
    "Drop: how much less than on the clean split, in points; intervals resample whole videos, the "
    "same for both. Numbers are means over the seeds of the run and, where chance decides what "
    "breaks, over repeats.",
    "Frames: each frame is lost with the given probability on its own; a lost frame is a zero "
    "vector, a lost token [UNK] but for [CLS] and [SEP]. The mean is over the rates 0, 10, ... "
    "90 %. Noise: white and Gaussian, signal to noise ratio in dB; the mean is over all ratios and "
    "no noise. Shift: frames turned round within the clip.",
)


def percent_of(level: float) -> str:
    """A share as ``50 %``."""
    return f"{100 * level:.0f} %"


def level_name(condition: str, level: float | None) -> str:
    """``50 %``, ``-5 dB``, or nothing."""
    if level is None:
        return ""
    return f"{level:g} dB" if condition == "noise" else percent_of(level)


def lines(found: Robustness) -> list[tuple[str, Subsets]]:
    """What a screen shows: of a curve its mean and its worst level, of all else every level."""
    return [(CLEAN, found.clean), *(line for row in found.rows for line in _lines(row))]


def _lines(row: Row) -> Iterable[tuple[str, Subsets]]:
    name = f"{row.condition} {row.target}{'*' if row.note else ''}"
    points = list(row.points)
    if row.mean is not None:
        yield f"{name}, {MEANS[row.condition]}", row.mean
        points = points[-1:]
    for point in points:
        level = level_name(row.condition, point.level)
        yield (f"{name}, {level}" if level else name), point.found


def cells(found: Robustness, subsets: Subsets) -> dict[str, str]:
    """Column -> text, the same for the screen and for the document."""
    whole = subsets[Subset.TEST]
    assert whole is not None
    others = [s for s in found.clips if s is not Subset.TEST]
    return {
        found.metric: percent(whole.interval.estimate),
        "95 %": ends(whole.interval),
        "drop": NONE if whole.drop is None else signed(100 * whole.drop.estimate, 1),
        "drop 95 %": NONE if whole.drop is None else ends(whole.drop),
        **{str(s): _estimate(subsets, s) for s in others},
    }


def ends(interval: Interval) -> str:
    """``1.0 to 2.5``, in points."""
    return f"{signed(100 * interval.low, 1)} to {signed(100 * interval.high, 1)}".replace("+", "")


def _estimate(subsets: Subsets, subset: Subset) -> str:
    found = subsets[subset]
    return NONE if found is None else percent(found.interval.estimate)


def remarks(found: Robustness) -> list[str]:
    """What is true of some rows only, each said once, and what holds for these data."""
    notes: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.note:
            notes.setdefault(row.note, []).append(row)
    return [*(f"* {_which(found, rows)}: {note}." for note, rows in notes.items()), *found.notes]


def _which(found: Robustness, rows: list[Row]) -> str:
    """Their names, or those of conditions all of whose rows they are."""
    names = [
        row.condition
        if all(other in rows for other in found.of(row.condition))
        else f"{row.condition} {row.target}"
        for row in rows
    ]
    return ", ".join(dict.fromkeys(names))


def markdown(found: Robustness) -> str:
    """The whole result as a document."""
    clips = ", ".join(f"{s} {n}" for s, n in found.clips.items())
    versions = found.about.get("versions", {})
    parts = [
        f"# Robustness of {found.name} on {found.split}",
        f"**{SIMULATED}**" if found.simulated else "",
        f"{found.source}, clips: {clips}. Seeds {', '.join(map(str, found.seeds))}; "
        f"{counted(found.repeats, 'repeat')} of what is random.",
        f"![accuracy with broken data](robustness-{found.split}.svg)",
        *(part for title in TITLES for part in _condition(found, title)),
        *EXPLAINED,
        *remarks(found),
        f"Data {found.fingerprint[:16]}; {', '.join(f'{n} {v}' for n, v in versions.items())}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _condition(found: Robustness, condition: str) -> Iterable[str]:
    rows = found.of(condition)
    if not rows:
        return
    table = [[CLEAN, "", *cells(found, found.clean).values()]]
    for row in rows:
        for point in row.points:
            level = level_name(condition, point.level)
            table.append([row.target, level, *cells(found, point.found).values()])
        if row.mean is not None:
            table.append([row.target, "mean", *cells(found, row.mean).values()])
    yield f"## {TITLES[condition]}"
    yield grid(["modality", "level", *cells(found, found.clean)], table)
