"""The demonstration: simulated data, CMC and CMC-variant, on full counts and short sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tricord.api import Run, checked, config_for, train
from tricord.data.load import load
from tricord.data.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.simulate import simulate
from tricord.evaluation.table import Evaluation, evaluate
from tricord.training.loop import Observer

LENGTH_SCALE = 0.1
# Short enough for a laptop: fewer epochs than the paper's 100, and no dropout inside attention,
# which forces a slow path; all else is the preset. Chosen for time, on valid, before any test.
SETTINGS: Mapping[str, float] = {
    "pretrain.epochs": 10,
    "finetune.epochs": 12,
    "model.attention_dropout": 0.0,
}


@dataclass(frozen=True)
class Demo:
    """data: what was simulated. runs: name -> run. evaluation: the table on its test split."""

    data: Dataset
    runs: Mapping[str, Run]
    evaluation: Evaluation


def make_data(path: Path, seed: int) -> Dataset:
    """Simulate CH-SIMS at full counts into a file, and read it back as a user's file is read."""
    splits, record = simulate(length_scale=LENGTH_SCALE, seed=seed)
    write_mmsa(path, splits, record)
    return load(path)


def run_demo(folder: Path, data: Dataset, seed: int, observer: Observer | None = None) -> Demo:
    """Train CMC, then CMC-variant from the same stage 1; evaluate both."""
    cmc = train(
        data, "ch-sims", "cmc", seed, folder / "cmc", settings=SETTINGS, observer=observer
    )
    variant = train(
        data,
        "ch-sims",
        "cmc-variant",
        seed,
        folder / "cmc-variant",
        settings=SETTINGS,
        pretrained=cmc,
        observer=observer,
    )
    runs = {run.name: run for run in (cmc, variant)}
    data = checked(data, config_for(data, "ch-sims"))
    evaluation = evaluate({name: run.trained for name, run in runs.items()}, data)
    return Demo(data, runs, evaluation)
