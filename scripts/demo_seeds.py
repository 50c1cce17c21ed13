"""CMC on several simulated data sets: writes docs/results/demo_seeds.json.

python scripts/demo_seeds.py [NUMBER_OF_SEEDS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from tricord.experiments.demo import compare_over_seeds, make_data, run_demo
from tricord.training.checkpoint import write_json

RESULT = Path(__file__).parent.parent / "docs" / "results" / "demo_seeds.json"


def main(seeds: int) -> None:
    """Seeds 1 to ``seeds``, each with its own data set."""
    torch.set_num_threads(1)  # as `tricord demo`
    demos = []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            data = make_data(Path(folder) / "simulated.pkl", seed)
            demos.append(run_demo(Path(folder), data, seed))
        row = demos[-1].evaluation.row("cmc")
        print(
            seed,
            {
                str(s): round(float(row.right[0, m].mean()), 4)
                for s, m in demos[-1].evaluation.masks.items()
            },
            flush=True,
        )
    write_json(RESULT, compare_over_seeds(demos))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
