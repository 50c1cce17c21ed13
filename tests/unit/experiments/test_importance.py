"""What is concluded from weights and effects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from figures import Drawn, letters
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.importance import Result, rank_correlation, summarise, write
from tricord.inference.importance import Importance

N = 60
NAMES = ("text", "audio")
ABOUT: dict[str, Any] = {
    "model": "cmc", "split": "test", "seeds": [1], "repeats": 5, "fingerprint": "f",
    "simulated": True, "about": {"versions": {}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tricord.experiments.importance.RESAMPLES", 100)


def one(weights: Any, change: Any, *, loss: Sequence[float] = (0.1, 0.2)) -> Importance:
    weights = np.asarray(weights, float)
    n = len(weights)
    return Importance(
        modalities=NAMES,
        videos=np.array([f"v{i // 2}" for i in range(n)]),
        present=np.ones((n, 2), bool),
        weights=weights,
        accuracy_lost=np.zeros((n, 2)),
        loss_gained=np.tile(loss, (n, 1)),
        change=np.asarray(change, float),
        right=np.arange(n) % 2 == 0,
        log_loss=np.full(n, 0.5),
    )


def spread_out(seed: int = 0) -> np.ndarray:
    """(N, 2) weights that differ from clip to clip."""
    text = np.random.default_rng(seed).uniform(0.1, 0.9, N)
    return np.column_stack([text, 1 - text])


def of(weights: Any, change: Any, **options: Any) -> Result:
    return summarise([one(weights, change, **options)], **ABOUT)


def test_weights_that_order_clips_and_modalities_as_the_effects_do_tell() -> None:
    weights = spread_out()
    found = of(weights, -(weights**2))  # the sign of the change is not its size
    assert found.finding == "tell"
    assert found.agreement is not None
    assert found.top is not None
    assert (found.agreement.estimate, found.top.estimate, found.chance) == (1, 1, 0.5)
    for modality in found.modalities:
        assert modality.spearman is not None
        assert modality.spearman.estimate == pytest.approx(1)
        assert modality.change.estimate == pytest.approx(-modality.size.estimate)
    assert found.verdict.startswith("The weights tell what a prediction depends on.")


def test_weights_the_wrong_way_round_mislead() -> None:
    weights = spread_out()
    found = of(weights, 1 - weights)
    assert found.finding == "mislead"
    assert found.verdict.startswith("The weights mislead.")
    assert "For text and audio: the wrong way round." in found.verdict


def test_weights_that_have_nothing_to_do_with_it_do_not_tell() -> None:
    found = of(spread_out(), spread_out(1))
    assert found.finding == "do not tell"
    assert "For text and audio: nothing shown." in found.verdict


def test_the_right_order_within_clips_alone_tells_in_part() -> None:
    """Text always weighs and matters more, but not more where it weighs more."""
    rng = np.random.default_rng(2)
    text = rng.uniform(0.6, 0.9, N)
    change = np.column_stack([rng.uniform(0.5, 0.6, N), rng.uniform(0.1, 0.2, N)])
    found = of(np.column_stack([text, 1 - text]), change)
    assert found.finding == "tell in part"
    assert found.agreement is not None
    assert found.agreement.estimate == 1


def test_equal_weights_cannot_tell() -> None:
    found = of(np.full((N, 2), 0.5), spread_out())
    assert found.finding == "do not tell"
    assert (found.agreement, found.top) == (None, None)
    assert "they are the same for every clip" in found.verdict


def test_the_average_is_said_as_well() -> None:
    weights = np.column_stack([np.full(N, 0.7), np.full(N, 0.3)]) + 0.1 * (spread_out() - 0.5)
    assert of(weights, weights).verdict.endswith(
        "On average text weighs most, but shuffling audio costs most."
    )
    assert of(weights, weights, loss=(0.3, 0.1)).verdict.endswith(
        "On average text weighs most, and shuffling it costs most."
    )


def test_a_modality_that_the_data_lacks_says_nothing_of_the_others() -> None:
    weights = spread_out()
    found = one(np.column_stack([weights, np.zeros(N)]), np.zeros((N, 3)))
    present = np.tile([True, True, False], (N, 1))
    change = np.column_stack([weights, np.full(N, np.nan)])
    more = {name: np.tile([-0.1, -0.2, 0], (N, 1)) for name in ("accuracy_lost", "loss_gained")}
    names = (*NAMES, "vision")
    whole = summarise(
        [replace(found, modalities=names, present=present, change=change, **more)], **ABOUT
    )
    assert whole.finding == of(weights, weights).finding == "tell"
    assert "vision" not in whole.verdict


def test_what_cannot_be_removed_is_left_out() -> None:
    weights = spread_out()
    change = weights.copy()
    change[:10, 1] = np.nan  # text is alone there, or audio absent
    change[:10, 0] = np.nan
    found = of(weights, change)
    assert found.modalities[0].size.n == N - 10
    assert found.modalities[0].size.estimate == pytest.approx(weights[10:, 0].mean())
    assert found.agreement is not None
    assert found.agreement.n == N - 10


def test_seeds_are_averaged() -> None:
    a, b = spread_out(3), spread_out(4)
    found = summarise([one(a, a), one(b, 1 - b)], **{**ABOUT, "seeds": [1, 2]})
    (text, _) = found.modalities
    assert text.weight.estimate == pytest.approx((a[:, 0].mean() + b[:, 0].mean()) / 2)
    assert text.spearman is not None
    assert text.spearman.estimate == pytest.approx(0)  # one seed +1, the other -1
    assert found.agreement is not None
    assert found.agreement.estimate == pytest.approx(0)


def test_the_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(5)
    a = rng.integers(0, 9, (1, 40)).astype(float)  # with ties
    b = a + rng.normal(0, 3, (1, 40))
    found = rank_correlation(a, b, np.arange(40).astype(str))
    assert found is not None
    assert found.estimate == pytest.approx(spearmanr(a[0], b[0]).statistic)
    assert found.low < found.estimate < found.high
    assert rank_correlation(a[:, :2], b[:, :2], np.array(["a", "b"])) is None


def test_the_files_say_what_they_are(tmp_path: Path, drawn: Drawn) -> None:
    weights = spread_out()
    path = write(of(weights, weights), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        f"importance-test.{kind}" for kind in ("json", "png", "svg")
    }
    found = json.loads(path.read_text())
    assert (found["head"], found["simulated"], found["seeds"]) == (SIMULATED, True, [1])
    assert found["finding"] == "tell"
    assert [m["name"] for m in found["modalities"]] == list(NAMES)
    assert found["accuracy"] == 0.5
    written = letters(drawn["importance-test"])
    assert "SIMULATED DATA" in written
    assert all(name in written.split("\n") for name in NAMES)
