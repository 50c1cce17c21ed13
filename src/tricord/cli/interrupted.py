"""Ctrl-C in the middle of training: say what is kept and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tricord.cli.console import console
from tricord.training.folder import CHECKPOINT_FILE, MODEL_FILE, STAGE1_FILE


@contextmanager
def say_what_is_kept(folder: Path) -> Iterator[None]:
    """Print what the run's folder can be continued from before the interruption goes on."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(_kept(folder), markup=False, soft_wrap=True)
        raise


def _kept(folder: Path) -> str:
    from tricord.training.checkpoint import load_tree

    finished = [p.parent.name for p in sorted(folder.glob(f"seed-*/{MODEL_FILE}"))]
    lines = [f"finished and kept: {', '.join(finished)}"] if finished else []
    for seed in sorted(folder.glob("seed-*")):
        if (seed / CHECKPOINT_FILE).is_file():
            state = load_tree(seed / CHECKPOINT_FILE)
            lines.append(f"{seed}: stage '{state['stage']}', epoch {state['epoch']} is kept")
        elif (seed / STAGE1_FILE).is_file() and seed.name not in finished:
            lines.append(f"{seed}: the result of stage 1 is kept")
    if not lines:
        lines = ["stopped before anything was kept (see --checkpoint-minutes)"]
    return "\n".join([*lines, "to go on, give the same command with --resume"])
