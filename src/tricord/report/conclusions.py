"""What may be concluded, and what not."""

from __future__ import annotations

from tricord.evaluation.table import MAJORITY, Evaluation
from tricord.report.markup import Html, items, section
from tricord.report.subject import Subject
from tricord.report.words import percent, points
from tricord.types import Subset

_SIMULATED = (
    "The data is simulated: nothing here is a finding about people, and no ranking of "
    "methods here says how they rank on real data. What may be concluded is whether the "
    "implementation learns what can be learned, and how far it stays from the limit."
)
_INTERVALS = (
    "An interval says how much the number would change with other videos of the same kind. "
    "Two rows whose intervals overlap may still differ, since they meet the same clips: "
    "compare them clip by clip before saying that they do not."
)
_ONE_SEED = (
    "One training seed: how much another one would change the numbers is not known, and "
    "the interval does not hold it. Give --seed several times to see it."
)
_SEVERAL_SEEDS = (
    "± is over {} training seeds on the same clips: other training runs, not other data. The seeds "
    "share every clip, so they are not independent experiments."
)
_NO_LIMIT = "No limit is known for this data, and no subsets by conflict of labels."
_DESCRIPTION = (
    "Weights and clips describe this model. They do not show why a person felt or was seen "
    "to feel something, nor that a weight causes a decision."
)


def show(subject: Subject) -> Html:
    """The section."""
    evaluation = subject.evaluation
    several = _SEVERAL_SEEDS.format(len(evaluation.seeds))
    said = (
        _SIMULATED if subject.simulated else "",
        _INTERVALS,
        several if subject.several_seeds else _ONE_SEED,
        _room_on_msi(evaluation),
        _DESCRIPTION,
    )
    return section("What may be concluded, and what not", items(filter(None, said)))


def _room_on_msi(evaluation: Evaluation) -> str:
    """How little there is."""
    if Subset.MSI not in evaluation.clips:
        return "" if evaluation.limits else _NO_LIMIT
    floor = evaluation.row(MAJORITY).cells[Subset.MSI]
    if floor is None:
        return ""
    low = floor.interval.estimate
    start = (
        f"D_msi has {evaluation.clips[Subset.MSI]} clips, and the majority class alone gets "
        f"{percent(low)} % there"
    )
    if evaluation.limits is None:
        return f"{start}: a result below that is worse than a constant."
    limit = evaluation.limits[Subset.MSI]
    return (
        f"{start}. The Bayes limit of {percent(limit)} % is {points(limit - low)} "
        "points above: that is all the room there is, and differences between methods must be read "
        "against it."
    )
