"""Find the simulator's noise levels and write src/tricord/data/simulation/simulation_levels.json.

A level is the accuracy (non-positive against positive) of the oracle of one modality: the best
that can be said of M from this modality's sequence alone, in the population of the packaged joint
table. The accuracy is summed exactly (text, all counts of words) or integrated on a fine grid
(audio, vision), without random numbers: running this again writes the same file.

    python scripts/calibrate_simulation.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

from tricord.data.simulation import model
from tricord.data.simulation.model import MAX_EVIDENCE_WORDS, MEANS, PRESETS
from tricord.data.simulation.speakers import Floats
from tricord.types import MODALITIES

TARGET = Path(model.__file__).with_name("simulation_levels.json")
GRID = 801
DIGITS = 6


def best_accuracy(joint: Floats, likelihood: Floats) -> float:
    """joint (3, 3) of M and one modality; likelihood (X, 3), each column sums to 1 over X."""
    mass = likelihood @ joint.T
    return float(np.maximum(mass[:, 2], mass[:, 0] + mass[:, 1]).sum())


def gaussian_accuracy(joint: Floats, noise: float) -> float:
    """Oracle of audio or vision by the midpoint rule on a square of seven deviations."""
    side = np.linspace(-1 - 7 * noise, 1 + 7 * noise, GRID)
    first, second = (np.exp(-0.5 * ((side[:, None] - m) / noise) ** 2) for m in MEANS.T)
    density = (first[:, None, :] * second[None, :, :]).reshape(-1, 3)
    return best_accuracy(joint, density / density.sum(axis=0))


def text_accuracy(joint: Floats, words: int, weight: float) -> float:
    """Oracle of a text with so many evidence words, summed over all counts."""
    table = model.text_likelihoods(np.full(words, weight))
    counts = np.moveaxis(np.indices(table.shape[:3]), 0, -1)
    possible = counts.sum(axis=-1) == words
    ways = np.exp(gammaln(words + 1) - gammaln(counts[possible] + 1).sum(axis=-1))
    return best_accuracy(joint, ways[:, None] * table[possible])


def calibrate_text(joint: Floats, target: float) -> dict[str, object]:
    """w_n for every number of evidence words."""
    numbers = range(1, MAX_EVIDENCE_WORDS + 1)
    weights = [
        round(
            cast(float, brentq(lambda w, n=n: text_accuracy(joint, n, w) - target, 0.01, 8)), DIGITS
        )
        for n in numbers
    ]
    reached = [
        round(text_accuracy(joint, n, w), DIGITS) for n, w in zip(numbers, weights, strict=True)
    ]
    return {"weights": weights, "oracle": reached}


def calibrate_gaussian(joint: Floats, target: float) -> dict[str, object]:
    """s of audio or vision."""
    noise = round(
        cast(float, brentq(lambda s: gaussian_accuracy(joint, s) - target, 0.2, 20)), DIGITS
    )
    return {"noise": noise, "oracle": round(gaussian_accuracy(joint, noise), DIGITS)}


def calibrate() -> dict[str, dict[str, dict[str, object]]]:
    """Modality -> level with two digits -> parameters and the accuracy that they reach."""
    population = model.ch_sims_joint()
    levels: dict[str, dict[str, dict[str, object]]] = {}
    for axis, modality in enumerate(MODALITIES, start=1):
        others = tuple(i for i in (1, 2, 3) if i != axis)
        pair = population.sum(axis=others)
        find = calibrate_text if modality == "text" else calibrate_gaussian
        targets = sorted({preset[modality] for preset in PRESETS.values()})
        levels[modality] = {f"{target:.2f}": find(pair, target) for target in targets}
    return levels


def main() -> None:
    content = {
        "about": "Written by scripts/calibrate_simulation.py. Per modality and level (oracle "
        "accuracy for M, non-positive against positive): the parameters of "
        "tricord.data.simulation.model and the accuracy that they reach. Text: one weight and one "
        "accuracy for each number of evidence words, 1 to 16.",
        "levels": calibrate(),
    }
    temporary = TARGET.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, TARGET)
    print(f"written: {TARGET}")


if __name__ == "__main__":
    main()
