"""Table VIII: the temperature of PFM."""

from __future__ import annotations

from collections.abc import Mapping

from tricord.experiments.reproduce.plan import Claim, Experiment, Printed, Row
from tricord.experiments.reproduce.printed import CMU, ONE_SEED, SIMS, TEXT, printed

DEFAULT = "0.07 (default)"

PAPER: Mapping[float, Printed] = {
    0.07: printed((84.90, 94.14, 74.77), (84.43, 94.25, 75.69), (84.40, 84.32), (84.46, 84.32)),
    0.05: printed((84.68, 92.47, 76.15), (81.62, 90.97, 73.31), (82.80, 82.72), (84.33, 84.20)),
    0.1: printed((82.06, 92.05, 71.10), (82.11, 91.58, 73.67), (83.38, 83.24), (84.14, 84.18)),
    0.2: printed((81.18, 87.87, 73.85), (82.21, 92.40, 73.13), (83.38, 83.25), (83.67, 83.75)),
    0.3: printed((83.15, 89.96, 75.69), (82.69, 91.79, 74.59), (81.20, 81.17), (82.38, 82.54)),
    0.4: printed((82.71, 90.79, 73.85), (82.40, 92.40, 73.49), (83.38, 83.33), (83.52, 83.38)),
    0.5: printed((81.84, 89.96, 72.94), (81.33, 89.73, 73.86), (82.51, 82.22), (83.07, 83.02)),
    0.6: printed((78.99, 89.54, 67.43), (83.08, 91.79, 75.32), (83.24, 83.15), (82.85, 83.05)),
    0.7: printed((82.71, 92.05, 72.48), (83.95, 92.40, 76.42), (83.24, 83.17), (83.19, 83.35)),
    0.8: printed((81.18, 89.96, 71.56), (82.21, 90.76, 74.59), (83.24, 83.22), (83.86, 84.01)),
    0.9: printed((81.18, 90.38, 71.10), (82.01, 90.76, 74.22), (83.67, 83.61), (83.22, 83.37)),
    1.0: printed((81.40, 89.54, 72.48), (82.79, 91.17, 75.32), (81.49, 81.50), (84.27, 84.31)),
}


def _name(temperature: float) -> str:
    return DEFAULT if DEFAULT.startswith(f"{temperature} ") else str(temperature)


ROWS = tuple(
    Row(_name(temperature), "cmc", settings={"finetune.temperature": temperature}, paper=paper)
    for temperature, paper in PAPER.items()
)
_LOWER = "temperatures below 1.0, 0.07 above all, are better"

EXPERIMENT = Experiment(
    name="table8",
    title="Table VIII: analysis of temperatures in PFM",
    presets=(*SIMS, *CMU),
    rows=ROWS,
    claims=(
        Claim(DEFAULT, "1.0", "D_test", SIMS, _LOWER),
        Claim(DEFAULT, "1.0", "Acc2", CMU, _LOWER),
        Claim("0.05", DEFAULT, "D_msi", ("ch-sims",), "the best on D_msi is at 0.05"),
        Claim("0.7", DEFAULT, "D_msi", ("ch-sims-v2",), "the best on D_msi is at 0.7"),
    ),
    caution=(
        f"{ONE_SEED} {TEXT} The best of twelve is always above the others on the clips it was "
        "chosen on; that 0.07 is the best is not tested against each. In the paper's own column "
        "of CMU-MOSEI only 0.07 and 0.05 are above 1.0."
    ),
)
