"""All experiments of the paper, by the name they are called by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tricord.experiments.reproduce import (
    figure6,
    figure7,
    figures45,
    table1,
    table4,
    table5,
    table6,
    table7,
    table8,
)

# An `Experiment` has rows to train; the others have a `run` of their own.
EXPERIMENTS: Mapping[str, Any] = {
    experiment.name: experiment
    for experiment in (
        table1.EXPERIMENT,
        table4.EXPERIMENT,
        table5.EXPERIMENT,
        table6.EXPERIMENT,
        table7.EXPERIMENT,
        table8.EXPERIMENT,
        figures45.FIGURE4,
        figures45.FIGURE5,
        figure6.Figure6(),
        figure7.Figure7(),
    )
}
