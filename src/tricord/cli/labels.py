"""tricord labels: where the pseudo labels of a run went, against the true unimodal ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

LABELS_FILE = "labels.json"
TITLE = "pseudo labels of train that are true, %"
LEGEND = (
    "before: the multimodal label; after: the kept pseudo label\n"
    "oracle: the likeliest, given the modality's sequence and the multimodal label\n"
    "reached: the change as a share of what the oracle gains"
)


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Whether the pseudo labels of train moved to the true unimodal ones.

    Per modality: how many moved, the share that is right before (the multimodal label) and after,
    on all clips and on those whose labels conflict (D_msi); of simulated data also what an oracle
    gets, and the share of its gain that was reached. Keeps the numbers as labels.json.

    Example:

    \b
        tricord labels my-run
    """
    from rich.console import Console

    from tricord.api import load_model
    from tricord.cli.console import console
    from tricord.errors import ModelError
    from tricord.inference.recovery import recovery
    from tricord.training.checkpoint import write_json
    from tricord.training.cmc import TrainedCMC
    from tricord.training.trained import versions

    with console.status("comparing labels"):
        loaded = load_model(run)
        seeds = [t for t in loaded.trained if isinstance(t, TrainedCMC)]
        if not seeds or seeds[0].config.pretrain.labels == "ground_truth":
            raise ModelError(f"{run}: '{loaded.name}' has no pseudo labels")
        data = loaded.dataset()
        found = {
            "kind": "labels",
            "model": loaded.name,
            "seeds": [t.seed for t in seeds],
            "simulated": data.simulated,
            "fingerprint": seeds[0].fingerprint,
            "versions": versions(),
            "config": seeds[0].config.model_dump(mode="json"),
            **recovery(seeds, data),
        }
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        screen = Console(highlight=False)
        screen.print(f"{'SIMULATED DATA: ' if data.simulated else ''}{TITLE}", style="italic")
        screen.print(labels_table(found))
        screen.print(LEGEND, style="dim italic")
        for line in found["warnings"]:
            screen.print(f"warning: {line}")
    write_json(run / LABELS_FILE, found)
    console.print(f"numbers: {run / LABELS_FILE}", soft_wrap=True)


def labels_table(found: dict[str, Any]) -> Table:
    """The rows of `tricord.inference.recovery.recovery`, 80 columns wide."""
    from rich.table import Table

    seeds = f"{len(found['seeds'])} seeds, ± sd" if len(found["seeds"]) > 1 else ""
    table = Table(box=None, pad_edge=False)
    table.add_column(seeds)
    for name in ("clips", "moved", "before", "after", "oracle", "reached"):
        table.add_column(name, justify="right")
    for modality, row in found["modalities"].items():
        if not row["parts"]:
            table.add_row(modality, str(row["clips"]), _spread(row["moved"], 1), *"----")
        for part, numbers in row["parts"].items():
            table.add_row(
                f"{modality}, {part}",
                str(numbers["clips"]),
                _spread(numbers["moved"], 1),
                f"{100 * numbers['before']:.1f}",
                _spread(numbers["after"], 100),
                "-" if numbers["oracle"] is None else f"{100 * numbers['oracle']:.1f}",
                _spread(numbers["reached"], 100),
            )
    return table


def _spread(numbers: dict[str, Any], factor: float) -> str:
    """Mean and standard deviation, whole numbers where they are counts of one seed."""
    if numbers["mean"] is None:
        return "-"
    if numbers["spread"] is None:
        return f"{factor * numbers['mean']:.{0 if factor == 1 else 1}f}"
    return f"{factor * numbers['mean']:.1f} ± {factor * numbers['spread']:.1f}"
