"""What options of fidelity change, on valid: writes docs/results/options.json.

Several simulated data sets, the settings of the demonstration, one option changed at a time, and
the consensus' accuracy on valid against the default's on the same clips. The test split is not
looked at: these numbers choose a default.

    python scripts/measure_options.py [NUMBER_OF_SEEDS]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tricord.api import train
from tricord.evaluation.statistics import mean_t_interval, over_datasets
from tricord.experiments.demo import LENGTH_SCALE, SETTINGS, make_data
from tricord.training.checkpoint import write_json
from tricord.training.trained import versions
from tricord.types import Subset

RESULT = Path(__file__).parent.parent / "docs" / "results" / "options.json"
DEFAULT = "default"
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "supcon.form=outside": {"supcon.form": "outside"},
    "supcon.labels=classes": {"supcon.labels": "classes"},
    "supcon.form=outside, supcon.labels=classes": {
        "supcon.form": "outside",
        "supcon.labels": "classes",
    },
    "model.padding=ignored": {"model.padding": "ignored"},
    "pretrain.schedule=recursive": {"pretrain.schedule": "recursive"},
    "pretrain.ema_buffers=false": {"pretrain.ema_buffers": False},
    "finetune.select=last": {"finetune.select": "last"},
    "model.attention_dropout=0.1": {"model.attention_dropout": 0.1},
}


def right_on_valid(name: str, seed: int) -> dict[str, Any]:
    """The clips decided rightly under an option, for one data set; subsets and videos of all."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder) / "simulated.pkl", seed)
        run = train(data, "ch-sims", seed=seed, settings={**SETTINGS, **OPTIONS[name]})
        evaluation = run.evaluate("valid")
    right = evaluation.row("cmc").right[0].astype(float)
    print(name, seed, round(float(np.mean(right)), 4), flush=True)
    return {"right": right, "masks": evaluation.masks, "videos": evaluation.videos}


def compare(found: Mapping[str, list[dict[str, Any]]], name: str, subset: Subset) -> dict[str, Any]:
    """Mean accuracy of an option and its difference to the default."""
    blocks = []
    for ours, default in zip(found[name], found[DEFAULT], strict=True):
        mask = default["masks"][subset]
        blocks.append((ours["right"][mask], default["right"][mask], default["videos"][mask]))
    own = mean_t_interval([float(ours.mean()) for ours, _, _ in blocks])
    assert own is not None
    result = {"mean": own.estimate, "low": own.low, "high": own.high}
    if name == DEFAULT:
        return result
    test = over_datasets(blocks).t_test
    assert test is not None
    difference = test.difference
    return {
        **result,
        "difference": difference.estimate,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p": test.p,
    }


def main(seeds: int) -> None:
    """Seeds 1 to ``seeds``, each with its own data set; two runs at a time."""
    pairs = [(name, seed) for name in OPTIONS for seed in range(1, seeds + 1)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(right_on_valid, *zip(*pairs, strict=True)))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in OPTIONS}
    for (name, _), result in zip(pairs, results, strict=True):
        found[name].append(result)
    write_json(
        RESULT,
        {
            "kind": "options",
            "simulated": True,
            "split": "valid",
            "seeds": list(range(1, seeds + 1)),
            "settings": dict(SETTINGS) | {"length_scale": LENGTH_SCALE},
            "versions": versions(),
            "options": {
                name: {str(s): compare(found, name, s) for s in Subset} for name in OPTIONS
            },
        },
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
