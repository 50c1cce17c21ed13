"""Tables I and II: how many clips, how long, how wide, beside what the paper says of its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tricord.data.schema import SPLITS, Dataset, FeatureTable
from tricord.data.splits import subset_masks
from tricord.experiments.reproduce.page import NONE, write
from tricord.experiments.reproduce.work import Context
from tricord.report.words import grid
from tricord.types import MODALITIES, Modality, Subset

TOTAL = "total"
COUNTED = ("clips", "consistent", "inconsistent")
MEASURED = ("length", "width")
# Table I: data set -> split -> clips, and where the labels tell it the consistent and the others
COUNTS: Mapping[str, Mapping[str, Sequence[int]]] = {
    "ch-sims": {
        TOTAL: (2281,),
        "train": (1368, 669, 699),
        "valid": (456, 217, 239),
        "test": (457, 239, 218),
    },
    "ch-sims-v2": {  # the supervised part
        TOTAL: (4403,),
        "train": (2722, 1476, 1246),
        "valid": (647, 339, 308),
        "test": (1034, 487, 547),
    },
    "mosi": {TOTAL: (2199,), "train": (1284,), "valid": (229,), "test": (686,)},
    "mosei": {TOTAL: (22_856,), "train": (16_326,), "valid": (1871,), "test": (4659,)},
}
# Table II: data set -> modality -> frames of a sequence, numbers per frame
SHAPES: Mapping[str, Mapping[str, Sequence[int]]] = {
    "ch-sims": {"text": (39, 768), "audio": (400, 33), "vision": (55, 709)},
    "ch-sims-v2": {"text": (50, 768), "audio": (925, 25), "vision": (232, 177)},
    "mosi": {"text": (50, 768), "audio": (375, 5), "vision": (500, 20)},
    "mosei": {"text": (50, 768), "audio": (500, 74), "vision": (500, 35)},
}


@dataclass(frozen=True)
class Fact:
    """A number of the paper's tables, and ours; None where the data does not tell.

    part: a split, or a modality. quantity: one of COUNTED or MEASURED.
    """

    table: str
    preset: str
    part: str
    quantity: str
    paper: int
    ours: int | None


def facts(datasets: Mapping[str, Dataset]) -> list[Fact]:
    """Every number of Tables I and II, with ours where the data set is given."""
    tables = (("I", COUNTED, COUNTS, counted), ("II", MEASURED, SHAPES, measured))
    return [
        Fact(table, preset, part, quantity, number, ours.get(part, {}).get(quantity))
        for table, quantities, paper, look in tables
        for preset, parts in paper.items()
        for ours in [look(datasets[preset]) if preset in datasets else {}]
        for part, numbers in parts.items()
        for quantity, number in zip(quantities, numbers, strict=False)
    ]


def counted(data: Dataset) -> dict[str, dict[str, int]]:
    """Split -> how many clips, and how many of them agree in the sign of all labels."""
    splits = {name: _clips(data[name]) for name in SPLITS if name in data}
    return {TOTAL: {"clips": sum(split["clips"] for split in splits.values())}, **splits}


def _clips(table: FeatureTable) -> dict[str, int]:
    names = zip((Subset.TEST, Subset.MSC, Subset.MSI), COUNTED, strict=True)
    masks = subset_masks(table.scores)
    return {name: int(masks[subset].sum()) for subset, name in names if subset in masks}


def measured(data: Dataset) -> dict[str, dict[str, int]]:
    """Modality -> frames that the file pads to, and numbers per frame.

    Text given as tokens has a length alone.
    """
    table = next(iter(data.splits.values()))
    found = {
        name: {"length": ragged.padded_length, "width": ragged.width}
        for name, ragged in table.sequences.items()
        if name in MODALITIES
    }
    if table.tokens is not None:
        found.setdefault(Modality.TEXT, {})["length"] = table.tokens.padded_length
    return found


@dataclass(frozen=True)
class Statistics:
    """Both tables as one experiment, which trains nothing."""

    name: str = "table1"
    title: str = "Tables I and II: statistics of data sets and of features"
    presets: tuple[str, ...] = tuple(COUNTS)

    def run(self, context: Context) -> None:
        """Write the facts of the data sets given."""
        found = facts(context.datasets)
        rows = [asdict(fact) for fact in found]
        results = {
            "sources": {preset: data.source for preset, data in context.datasets.items()},
            "facts": rows,
        }
        verdict = _verdict(found)
        write(context, self.name, self.title, [*_tables(found), verdict], results, rows)
        context.say(verdict)


def _tables(found: Iterable[Fact]) -> Iterable[str]:
    """One a table of the paper."""
    found = list(found)
    for table, part, quantities in (("I", "split", COUNTED), ("II", "modality", MEASURED)):
        own = [fact for fact in found if fact.table == table]
        places = dict.fromkeys((fact.preset, fact.part) for fact in own)
        lines = [
            [*place, *_cells([f for f in own if (f.preset, f.part) == place], quantities)]
            for place in places
        ]
        titles = [text for name in quantities for text in (name, f"{name}, paper")]
        yield f"## Table {table}\n\n" + grid(["data set", part, *titles], lines)


def _cells(place: Sequence[Fact], quantities: Sequence[str]) -> Iterable[str]:
    """Ours and the paper's, quantity by quantity; ours in bold where it is another."""
    for quantity in quantities:
        fact = next((f for f in place if f.quantity == quantity), None)
        if fact is None:
            yield from (NONE, NONE)
        elif fact.ours is None:
            yield from (NONE, f"{fact.paper:,}")
        else:
            same = fact.ours == fact.paper
            yield from (f"{fact.ours:,}" if same else f"**{fact.ours:,}**", f"{fact.paper:,}")


def _verdict(found: Sequence[Fact]) -> str:
    """How many numbers of the given data are the paper's."""
    known = [fact for fact in found if fact.ours is not None]
    other = sum(fact.ours != fact.paper for fact in known)
    text = f"{len(known) - other} of {len(known)} numbers of the given data are the paper's"
    return f"{text}; bold ones are not." if other else f"{text}."


EXPERIMENT = Statistics()
