"""tricord demo: from nothing to a trained model, a table and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[
        Path | None, typer.Option(help="The folder to make; the first free of demo, demo-2, ...")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another data set.")] = 1,
) -> None:
    """Simulate data, train CMC, print an honest table and write a report.

    Needs no download and no file of yours; about two minutes on two cores.
    """
    import itertools
    import time

    import torch
    from rich.console import Console

    from tricord.cli.console import SIMULATED, console, evaluation_table
    from tricord.cli.live import Live
    from tricord.errors import ConfigError
    from tricord.experiments.demo import make_data, run_demo
    from tricord.report import write_report
    from tricord.training.checkpoint import write_json

    started = time.monotonic()
    torch.set_num_threads(1)  # at these lengths a second thread costs more than it gives
    if out is None:
        out = next(
            p
            for i in itertools.count(1)
            if not (p := Path(f"demo-{i}" if i > 1 else "demo")).exists()
        )
    if out.exists():
        raise ConfigError(f"{out}: already exists; name another folder with --out")
    with console.status("simulating"):
        data = make_data(out / "simulated.pkl", seed)
    counts = "/".join(str(len(data[split])) for split in data)
    console.print(f"[bold]{SIMULATED}[/bold]")
    console.print(f"{counts} clips in the shape of CH-SIMS, sequences shortened")
    with Live() as live:
        demo = run_demo(out, data, seed, live)
    with console.status("writing the report"):
        write_json(out / "evaluation-test.json", demo.evaluation.to_json())
        write_report(
            out / "report.html",
            evaluation=demo.evaluation,
            models={name: run.trained for name, run in demo.runs.items()},
            data=demo.data,
            split="test",
        )
    Console(highlight=False).print(evaluation_table(demo.evaluation))
    typer.echo(f"report: {out / 'report.html'} ({time.monotonic() - started:.0f} s)")
