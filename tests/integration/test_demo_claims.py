"""Is CMC better than its parts on simulated data? Five data sets, blocks of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricord.experiments.demo import compare_over_seeds, make_data, run_demo
from tricord.types import MODALITIES


@pytest.mark.slow
def test_cmc_is_above_every_single_modality_and_text_where_modalities_conflict(
    tmp_path: Path,
) -> None:
    demos = []
    for seed in range(1, 6):
        folder = tmp_path / str(seed)
        demos.append(run_demo(folder, make_data(folder / "simulated.pkl", seed), seed))
    rows = compare_over_seeds(demos)["rows"]
    # above each of the three, hence above the best, whichever that is
    claims = [rows[modality]["D_test"] for modality in MODALITIES] + [rows["text"]["D_msi"]]
    for claim in claims:
        assert claim["cmc_minus_this"] > 0
        assert claim["p"] < 0.05
        assert claim["p_resampled"] < 0.05
