"""Recorded metrics of the released implementation, both polarity rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tricord.evaluation.metrics import classification_metrics
from tricord.labels import sentiment
from tricord.types import Polarity

# The recorded Non0 entries are wrong by design (fidelity 16) and are not compared.
NAMES = {
    "Has0_acc_2": "acc2",
    "Has0_F1_score": "f1",
    "Acc_3": "accuracy",
    "F1_score_3": "f1_weighted",
}
RULES = {
    "sims": sentiment(Polarity.NON_POSITIVE, 1),
    "mosi": sentiment(Polarity.NON_NEGATIVE, 3),
}


def test_recorded_metrics_match(shared: Path) -> None:
    recorded = np.load(shared / "golden" / "cmc" / "metrics.npz", allow_pickle=False)
    cases = {key.split("/")[0] for key in recorded.files}
    assert cases
    for case in sorted(cases):
        labels = recorded[f"{case}/label"][:, 0].astype(int)
        for rule, scheme in RULES.items():
            ours = classification_metrics(recorded[f"{case}/pred"], labels, scheme)
            found = {key: round(ours[name], 4) for key, name in NAMES.items()}
            expected = {key: float(recorded[f"{case}/{rule}/{key}"]) for key in NAMES}
            assert found == expected, (case, rule)
