"""The demonstration: simulated data, CMC and CMC-variant, on full counts and short sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tricord.api import Run, checked, config_for, train
from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.simulation.simulate import simulate
from tricord.evaluation.statistics import mean_t_interval, over_datasets
from tricord.evaluation.table import Evaluation, evaluate
from tricord.training.loop import Observer
from tricord.training.trained import versions
from tricord.types import Subset

LENGTH_SCALE = 0.1
# Short enough for a laptop: fewer epochs than the paper's 100, all else is the preset. Chosen for
# time, on valid, before any test.
SETTINGS: Mapping[str, float] = {"pretrain.epochs": 10, "finetune.epochs": 12}


@dataclass(frozen=True)
class Demo:
    """data: what was simulated. runs: name -> run. evaluation: the table on its test split."""

    data: Dataset
    runs: Mapping[str, Run]
    evaluation: Evaluation


def make_data(path: Path, seed: int) -> Dataset:
    """Simulate CH-SIMS at full counts into a file, and read it back as a user's file is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    splits, record = simulate(length_scale=LENGTH_SCALE, seed=seed)
    write_mmsa(path, splits, record)
    return load(path)


def run_demo(folder: Path, data: Dataset, seed: int, observer: Observer | None = None) -> Demo:
    """Train CMC, then CMC-variant from the same stage 1; evaluate both."""
    cmc = train(data, "ch-sims", "cmc", seed, folder / "cmc", settings=SETTINGS, observer=observer)
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


def compare_over_seeds(demos: Sequence[Demo]) -> dict[str, Any]:
    """CMC against every single modality and floor, over several simulated data sets.

    Each demo has its own data set, so data sets are the blocks: the t test over their differences
    decides, resampling data sets and videos within stands beside it (see `statistics`).
    Returns plain values: per row and subset the mean and its 95 % t interval, CMC's difference to
    the row with both p values, and the Bayes limit on the same clips.
    """
    first = demos[0].evaluation
    return {
        "simulated": True,
        "data_fingerprints": [d.evaluation.fingerprint for d in demos],
        "seeds": [d.evaluation.seeds[0] for d in demos],
        "settings": dict(SETTINGS) | {"length_scale": LENGTH_SCALE},
        "versions": versions(),
        "rows": {
            row.name: {str(s): _against_cmc(demos, row.name, s) for s in first.clips}
            for row in first.rows
        },
        "bayes_limit": {
            str(s): {
                rule: mean_of([_own_limit(d, s, rule) for d in demos])
                for rule in ("pos>neg", "pos>neg+neutral")
            }
            for s in first.clips
        },
    }


def _against_cmc(demos: Sequence[Demo], name: str, subset: Subset) -> dict[str, Any]:
    blocks = []
    for demo in demos:
        mask = demo.evaluation.masks[subset]
        ours, theirs = (demo.evaluation.row(n).right[0, mask] for n in ("cmc", name))
        blocks.append((ours.astype(float), theirs.astype(float), demo.evaluation.videos[mask]))
    result = mean_of([float(theirs.mean()) for _, theirs, _ in blocks])
    if name == "cmc":
        return result
    compared = over_datasets(blocks)
    assert compared.t_test is not None
    difference = compared.t_test.difference
    return {
        **result,
        "cmc_minus_this": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "p": compared.t_test.p,
        "p_resampled": compared.resampled.p,
    }


def mean_of(values: Sequence[float]) -> dict[str, Any]:
    """Mean, its t interval and the values themselves."""
    interval = mean_t_interval(values)
    assert interval is not None
    return {
        "mean": interval.estimate,
        "mean_low": interval.low,
        "mean_high": interval.high,
        "values": [round(v, 6) for v in values],
    }


def _own_limit(demo: Demo, subset: Subset, rule: str) -> float:
    """The Bayes limit's accuracy on the very clips of this data set's test split."""
    assert demo.data.simulation is not None
    return float(demo.data.simulation["bayes_limit"]["test"]["all"][str(subset)][rule])
