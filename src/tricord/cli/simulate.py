"""tricord simulate: a data set whose best possible accuracy is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    out: Annotated[Path, typer.Option(help="The file to write, in the MMSA format (.pkl).")],
    preset: Annotated[str, typer.Option(help="ch-sims, or weak-audio.")] = "ch-sims",
    scale: Annotated[float, typer.Option(help="Factor on 1368/456/457 clips.")] = 1.0,
    length_scale: Annotated[float, typer.Option(help="Factor on all sequence lengths.")] = 1.0,
    labels: Annotated[
        Path | None, typer.Option(help="Take labels, ids and splits from this label.csv.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another data set.")] = 1,
    conflict: Annotated[
        float | None,
        typer.Option(help="Share of clips whose four signs disagree; as in CH-SIMS if not given."),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="smooth, bursts, white, balance, useless or shift.")
    ] = "smooth",
) -> None:
    """Write SIMULATED data in the shape of CH-SIMS, with its Bayes limit.

    For trying things out and for checking implementations; it says nothing about people.

    Example:

    \b
        tricord simulate --out sim.pkl --length-scale 0.2
    """
    from tricord.cli.console import console
    from tricord.data.readers.mmsa import write_mmsa
    from tricord.data.simulation.simulate import simulate

    with console.status("simulating"):
        splits, record = simulate(
            preset=preset,
            scale=scale,
            length_scale=length_scale,
            labels=labels,
            seed=seed,
            conflict=conflict,
            kind=kind,
        )
        write_mmsa(out, splits, record)
    counts = "/".join(str(len(s["id"])) for s in splits.values())  # type: ignore[arg-type]
    typer.echo(f"SIMULATED data ({counts} clips) written to {out}")
    typer.echo(f"Bayes limit of test's population, %: {_limit(record, 'bayes_limit')}")
    if "unaware_limit" in record["simulation"]:
        typer.echo(f"of what train can tell of it, %: {_limit(record, 'unaware_limit')}")


def _limit(record: dict[str, Any], which: str) -> str:
    """By subset, the best decision between non-positive and positive."""
    found = record["simulation"][which]["population"]["all"]
    shares = {subset: numbers["pos>neg+neutral"] for subset, numbers in found.items()}
    return ", ".join(f"{k} {100 * v:.1f}" for k, v in shares.items() if v is not None)
