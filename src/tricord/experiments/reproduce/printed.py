"""The paper's numbers, in the columns that its tables have for each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tricord.experiments.reproduce.plan import Printed

SIMS = ("ch-sims", "ch-sims-v2")
CMU = ("mosi", "mosei")
SIZE = "Size"
# What Tables IV to VIII print of a data set, from left to right; accuracies in percent.
COLUMNS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(SIMS, ("D_test", "D_msc", "D_msi", SIZE)),
    **dict.fromkeys(CMU, ("Acc2", "F1", SIZE)),
}
ONE_SEED = (
    "The paper's numbers are those of one seed, and its released implementation chooses settings "
    "by test accuracy. On the test clips of CH-SIMS the 95 % half-width of one accuracy near "
    "85 % is about 3.3 points."
)
TEXT = (
    "The paper trains BERT along in stage 2; where our text is ready features, that alone may "
    "make a difference."
)

Numbers = Sequence[float | None]


def printed(
    ch_sims: Numbers = (), ch_sims_v2: Numbers = (), mosi: Numbers = (), mosei: Numbers = ()
) -> Printed:
    """A row of a table, data set after data set; None where it has a dash, at the end left out."""
    parts = zip(COLUMNS, (ch_sims, ch_sims_v2, mosi, mosei), strict=True)
    return {
        preset: {
            column: number
            for column, number in zip(COLUMNS[preset], numbers, strict=False)
            if number is not None
        }
        for preset, numbers in parts
        if any(number is not None for number in numbers)
    }
