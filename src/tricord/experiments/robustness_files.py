"""A robustness result in a run's folder."""

from __future__ import annotations

from pathlib import Path

from tricord.experiments.robustness_figures import draw_robustness
from tricord.experiments.robustness_result import Robustness
from tricord.experiments.robustness_text import markdown
from tricord.files import write_atomically
from tricord.training.checkpoint import write_json


def write_robustness(folder: Path, found: Robustness) -> None:
    """``robustness-SPLIT`` as .json, .md, .png and .svg; the JSON last."""
    path = folder / f"robustness-{found.split}"
    text = markdown(found)
    write_atomically(path.with_suffix(".md"), lambda p: p.write_text(text, encoding="utf-8"))
    draw_robustness(path, found)
    write_json(path.with_suffix(".json"), found.to_json())
