"""The honest table: its rows, floors, subsets and numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.splits import subset_masks
from tricord.errors import DataError, SealedSplitError
from tricord.evaluation import table as tables
from tricord.evaluation.floors import majority, outputs_of_counts, sign_oracle
from tricord.evaluation.rows import Judge, Row
from tricord.evaluation.table import MAJORITY, MEAN_OF_STAGE1, ORACLE, Evaluation, bayes_limits
from tricord.inference import linear
from tricord.inference.predictor import predict, predict_stage1
from tricord.labels import LabelScheme, nominal, sentiment
from tricord.training.cmc import TrainedCMC
from tricord.training.run import train_one
from tricord.types import Polarity, Subset

SIMS, CMU = sentiment(Polarity.NON_POSITIVE, 1.0), sentiment(Polarity.NON_NEGATIVE, 3.0)
NAMES = ("text", "audio", "vision")
SHORT = {"pretrain.epochs": 1, "finetune.epochs": 1}


def train(
    data: Dataset, settings: Mapping[str, Any] | None = None, seeds: Sequence[int] = (1,)
) -> list[TrainedCMC]:
    config = tiny_data.config({**SHORT, **(settings or {})})
    return [train_one(data, config, name="cmc", seed=s) for s in seeds]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tiny_data.dataset((20, 9, 40))


@pytest.fixture(scope="module")
def trained(data: Dataset) -> list[TrainedCMC]:
    return train(data, seeds=(1, 2))


@pytest.fixture(scope="module")
def evaluation(trained: list[TrainedCMC], data: Dataset) -> Evaluation:
    return tables.evaluate({"cmc": trained}, data)


def scored(scores: Mapping[str, Any], simulation: Mapping[str, Any] | None = None) -> Dataset:
    """Labels given by split, features of width 1 that say nothing."""

    def bare(name: str, rows: Any) -> FeatureTable:
        values = np.array(rows, dtype=np.float64)
        n = len(values)
        frames = Ragged(np.zeros((n, 1), np.float32), np.arange(n + 1), 1)
        ids = tuple(f"{name}{i}$_$0" for i in range(n))
        sequences = dict.fromkeys(NAMES[: values.shape[1] - 1], frames)
        return FeatureTable(name, ids, sequences, values)

    return Dataset({k: bare(k, v) for k, v in scores.items()}, "x.pkl", simulation=simulation)


def judged(data: Dataset, outputs: Any, scheme: LabelScheme, split: str = "test") -> Row:
    truth = scheme.to_class(data[split].scores[:, 0])
    return Judge(data[split], truth, scheme).row("x", [outputs])


def shares(row: Row) -> dict[str, float]:
    return {str(s): cell.interval.estimate for s, cell in row.cells.items() if cell is not None}


# --------------------------------------------------------------------------------------- the rows


def test_rows_of_one_model(evaluation: Evaluation) -> None:
    names = [row.name for row in evaluation.rows]
    assert names == [
        MAJORITY,
        ORACLE,
        linear.NAME,
        *NAMES,
        MEAN_OF_STAGE1,
        "cmc, mean of votes",
        "cmc",
    ]
    assert evaluation.row("cmc") is evaluation.rows[-1]
    assert "not a bound" in evaluation.row(ORACLE).note


def test_rows_of_several_models(trained: list[TrainedCMC], data: Dataset) -> None:
    settings = {"finetune.train": "router_only", "finetune.fusion": "none"}
    config = tiny_data.config({**SHORT, **settings, "finetune.tasks": "single"})
    variant = [
        train_one(data, config, name="cmc-variant", seed=t.seed, pretrained=t) for t in trained
    ]
    found = tables.evaluate({"cmc": trained, "cmc-variant": variant}, data)
    names = [row.name for row in found.rows]
    assert names == [
        *(MAJORITY, ORACLE, linear.NAME, *NAMES, MEAN_OF_STAGE1),
        *("cmc, mean of votes", "cmc", "cmc-variant"),  # its votes are stage 1's
    ]


def test_the_numbers_are_those_of_the_predictions(
    evaluation: Evaluation, trained: list[TrainedCMC], data: Dataset
) -> None:
    positive = data["test"].scores[:, 0] > 0
    found = [predict(t, data, "test") for t in trained]
    alone = [predict_stage1(t, data, "test") for t in trained]
    for name, outputs in {
        "cmc": [p.outputs for p in found],
        "cmc, mean of votes": [p.votes.mean(axis=1) for p in found],
        MEAN_OF_STAGE1: [votes.mean(axis=1) for votes in alone],
        **{m: [votes[:, k] for votes in alone] for k, m in enumerate(NAMES)},
    }.items():
        row = evaluation.row(name)
        right = np.stack([(o[:, 2] > o[:, 0]) == positive for o in outputs])
        np.testing.assert_array_equal(row.right, right)
        for subset, mask in subset_masks(data["test"].scores).items():
            cell = row.cells[subset]
            assert cell is not None
            assert cell.interval.estimate == pytest.approx(right[:, mask].mean())
            assert cell.spread == pytest.approx(right[:, mask].mean(axis=1).std(ddof=1))
            assert cell.metrics["acc2"] == pytest.approx(right[:, mask].mean())
            assert cell.interval.low <= cell.interval.estimate <= cell.interval.high


def test_one_seed_has_no_spread(trained: list[TrainedCMC], data: Dataset) -> None:
    cell = tables.evaluate({"cmc": trained[:1]}, data).row("cmc").cells[Subset.TEST]
    assert cell is not None
    assert cell.spread is None


def test_subsets_and_their_counts(evaluation: Evaluation, data: Dataset) -> None:
    signs = np.sign(data["test"].scores)
    same = (signs == signs[:, :1]).all(axis=1)
    assert evaluation.clips == {Subset.TEST: 40, Subset.MSC: same.sum(), Subset.MSI: (~same).sum()}
    assert 0 < same.sum() < 40
    np.testing.assert_array_equal(evaluation.masks[Subset.MSC], same)


def test_absent_modalities_are_left_out_of_the_mean_of_votes(
    trained: list[TrainedCMC], data: Dataset
) -> None:
    table = data["test"]
    lengths = table.sequences["audio"].lengths.copy()
    lengths[::2] = 0
    audio = Ragged.from_padded(table.sequences["audio"].padded(), lengths)
    some = replace(table, sequences={**table.sequences, "audio": audio})
    other = Dataset({**data.splits, "test": some}, data.source)
    present = predict(trained[0], other, "test").present
    alone = predict_stage1(trained[0], other, "test")
    two = alone[0, [0, 2]].mean(axis=0)
    np.testing.assert_allclose(tables._mean(alone, present)[0], two)
    row = tables.evaluate({"cmc": trained[:1]}, other).row(MEAN_OF_STAGE1)
    assert row.right[0, 0] == ((two[2] > two[0]) == (table.scores[0, 0] > 0))


def test_other_splits_can_be_evaluated(trained: list[TrainedCMC], data: Dataset) -> None:
    found = tables.evaluate({"cmc": trained}, data.seal("test"), "valid")
    assert found.split == "valid"
    assert found.clips[Subset.TEST] == 9
    with pytest.raises(SealedSplitError):
        tables.evaluate({"cmc": trained}, data.seal("test"), "test")


def test_as_json_it_is_plain(evaluation: Evaluation, data: Dataset) -> None:
    found = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert found["clips"] == {str(s): n for s, n in evaluation.clips.items()}
    assert found["data_fingerprint"] == data.fingerprint()
    assert found["seeds"] == [1, 2]
    assert found["simulated"] is False
    assert found["bayes_limit"] is None
    by_name = {row["name"]: row for row in found["rows"]}
    cell = evaluation.row("cmc").cells[Subset.MSI]
    assert cell is not None
    assert by_name["cmc"]["D_msi"]["accuracy"] == cell.interval.estimate
    assert by_name["cmc"]["D_msi"]["level"] == 0.95
    assert by_name["cmc"]["D_msi"]["metrics"] == dict(cell.metrics)
    seeds = by_name["cmc"]["D_msi"]["per_seed"]
    assert np.mean(seeds) == pytest.approx(cell.interval.estimate)
    half = 12.7062 * abs(seeds[0] - seeds[1]) / 2  # t with 1 degree of freedom
    over = by_name["cmc"]["D_msi"]["t_over_seeds"]
    assert over["high"] - over["low"] == pytest.approx(2 * half, rel=1e-4)
    assert by_name[MAJORITY]["D_msi"]["t_over_seeds"] is None
    assert (found["power"]["n"], found["power"]["measured"]) == (40, True)


# --------------------------------------------------------------------------------------- the floors


def test_majority_by_hand() -> None:
    """Train has 3 of 5 that are not positive; of the classes, positive is the commonest."""
    train = [[-0.2] * 2, [0.0] * 2, [0.4] * 2, [0.6] * 2, [-0.8] * 2]
    data = scored({"train": train, "test": [[0.0] * 2, [0.2] * 2, [-1.0] * 2, [0.8] * 2]})
    outputs = majority(data, SIMS, 4)
    assert shares(judged(data, outputs, SIMS))["D_test"] == 0.5  # says: not positive
    cmu = majority(data, CMU, 4)
    assert shares(judged(data, cmu, CMU))["D_test"] == 0.75  # 3 of 5 are not negative


@pytest.mark.parametrize(
    ("counts", "side", "argmax"),
    [
        ([5, 0, 4], 0, 0),
        ([3, 0, 4], 2, 2),
        ([3, 2, 4], 0, None),  # the commonest class is on the other side
        ([0, 5, 4], 0, 1),
        ([2, 2, 4], 0, None),  # a tie is negative
    ],
)
def test_outputs_of_counts_decide_for_the_commonest_side(
    counts: list[int], side: int, argmax: int | None
) -> None:
    outputs = outputs_of_counts(np.array(counts, float), SIMS)
    assert (outputs[2] > outputs[0]) == (side == 2)
    if argmax is not None:
        assert outputs.argmax() == argmax


def test_outputs_of_counts_for_labels_without_sign() -> None:
    moods = nominal(("a", "b", "c", "d"))
    outputs = outputs_of_counts(np.array([[1, 5, 2, 0], [0, 0, 1, 7]], float), moods)
    assert outputs.argmax(axis=-1).tolist() == [1, 3]


def test_majority_of_a_regression_is_the_median_of_train() -> None:
    scheme = SIMS.model_copy(update={"head": "regression"})
    data = scored({"train": [[-0.2, 0], [0.4, 0], [1.0, 0], [np.nan, 0]], "test": [[0.0, 0]]})
    assert majority(data, scheme, 2).tolist() == [[0.4], [0.4]]


def test_unknown_labels_of_train_are_left_out_of_the_majority() -> None:
    data = scored({"train": [[0.2, 0]] + [[np.nan, 0]] * 5, "test": [[0.2, 0]]})
    outputs = majority(data, SIMS, 1)
    assert outputs[0, 2] > outputs[0, 0]


def test_sign_oracle_by_hand() -> None:
    """A lookup from train, not the test labels themselves; unseen combinations: the majority."""
    train = [
        [0.8, 0.2, -0.2],  # text positive, audio negative -> positive
        [0.6, 0.4, -0.6],
        [-0.2, -0.2, 0.4],  # text negative, audio positive -> negative
        [0.2, 0.6, 0.6],
    ]
    test = [
        [-0.4, 1.0, -1.0],  # says positive, wrong
        [0.4, 0.2, -0.2],  # says positive, right
        [-0.6, -0.4, 0.2],  # says negative, right
        [0.2, 0.0, 0.0],  # never seen: train's majority is positive, right
    ]
    data = scored({"train": train, "test": test})
    outputs = sign_oracle(data, "test", SIMS)
    assert outputs is not None
    assert judged(data, outputs, SIMS).right[0].tolist() == [False, True, True, True]


@pytest.mark.parametrize(("split", "column"), [("train", 0), ("train", 1), ("test", 2)], ids=str)
def test_no_sign_oracle_where_labels_are_unknown(split: str, column: int) -> None:
    scores = {s: np.full((3, 3), 0.2) for s in ("train", "test")}
    scores[split][0, column] = np.nan
    assert sign_oracle(scored(scores), "test", SIMS) is None


def test_no_sign_oracle_without_sign_or_with_a_regression() -> None:
    data = scored({s: np.zeros((3, 3)) for s in ("train", "test")})
    assert sign_oracle(data, "test", nominal(("a", "b", "c"))) is None
    regression = SIMS.model_copy(update={"head": "regression"})
    assert sign_oracle(data, "test", regression) is None
    assert sign_oracle(data, "test", SIMS) is not None


RECORD = {
    "bayes_limit": {
        "population": {
            "all": {
                str(s): {"pos>neg": 0.1, "pos>neg+neutral": 0.9 - i / 10}
                for i, s in enumerate(Subset)
            }
        }
    }
}


def test_bayes_limits_are_those_of_the_simulation(trained: list[TrainedCMC], data: Dataset) -> None:
    assert bayes_limits(data) is None
    simulated = replace(data, simulation=RECORD)
    found = tables.evaluate({"cmc": trained}, simulated)
    assert found.simulated
    assert found.limits == {Subset.TEST: 0.9, Subset.MSC: 0.8, Subset.MSI: pytest.approx(0.7)}
    assert ORACLE not in [row.name for row in found.rows]  # for real data only
    assert found.to_json()["bayes_limit"]["D_msi"] == pytest.approx(0.7)


# ----------------------------------------------------------------------------------- other labels


def test_clips_without_a_label_are_left_out_and_none_at_all_is_an_error(
    trained: list[TrainedCMC], data: Dataset
) -> None:
    scores = data["test"].scores.copy()
    scores[:3, 0] = np.nan
    other = Dataset({**data.splits, "test": replace(data["test"], scores=scores)}, "some/file.pkl")
    kept = tables.evaluate({"cmc": trained}, other).row("cmc").right
    whole = tables.evaluate({"cmc": trained}, data).row("cmc").right
    assert np.array_equal(kept, whole[:, 3:])
    scores[:, 0] = np.nan
    with pytest.raises(DataError) as error:
        tables.evaluate({"cmc": trained}, other)
    assert (
        str(error.value) == "some/file.pkl: split 'test': no clip has a label, needed to evaluate"
    )


def test_a_label_beyond_the_scale_names_file_and_split(
    trained: list[TrainedCMC], data: Dataset
) -> None:
    scores = data["test"].scores + 5
    other = Dataset({**data.splits, "test": replace(data["test"], scores=scores)}, "file.pkl")
    with pytest.raises(DataError, match=r"^file\.pkl: split 'test': label .* expected a number"):
        tables.evaluate({"cmc": trained}, other)


def test_unknown_unimodal_labels_leave_the_whole_alone(
    trained: list[TrainedCMC], data: Dataset
) -> None:
    scores = data["test"].scores.copy()
    scores[0, 2] = np.nan
    other = Dataset({**data.splits, "test": replace(data["test"], scores=scores)}, "x.pkl")
    found = tables.evaluate({"cmc": trained}, other)
    assert set(found.clips) == {Subset.TEST}
    assert ORACLE not in [row.name for row in found.rows]


def test_an_empty_subset_is_a_dash(trained: list[TrainedCMC], data: Dataset) -> None:
    scores = np.repeat(data["test"].scores[:, :1], 4, axis=1)
    other = Dataset({**data.splits, "test": replace(data["test"], scores=scores)}, "x.pkl")
    found = tables.evaluate({"cmc": trained}, other)
    assert found.clips[Subset.MSI] == 0
    assert found.row("cmc").cells[Subset.MSI] is None
    assert found.to_json()["rows"][-1]["D_msi"] is None


def test_cmu_polarity_counts_zero_as_positive(data: Dataset) -> None:
    wide = {k: replace(t, scores=t.scores * 3) for k, t in data.splits.items()}
    settings = {"labels.polarity": "non_negative", "labels.low": -3, "labels.high": 3}
    found = tables.evaluate({"cmc": train(Dataset(wide, "x"), settings)}, Dataset(wide, "x"))
    outputs = predict(train(Dataset(wide, "x"), settings)[0], Dataset(wide, "x"), "test").outputs
    truth = wide["test"].scores[:, 0] >= 0
    assert (wide["test"].scores[:, 0] == 0).any()
    right = (outputs[:, 2] > outputs[:, 0]) == truth
    assert shares(found.row("cmc"))["D_test"] == pytest.approx(right.mean())


def test_the_metric_named_is_the_one_shown(data: Dataset) -> None:
    """A regression is right or wrong in sign; error and correlation stand beside it."""
    settings = {"labels.head": "regression", "pretrain.labels": "multimodal"}
    trained = train(data, settings)
    found = tables.evaluate({"cmc": trained}, data)
    cell = found.row("cmc").cells[Subset.TEST]
    assert cell is not None
    assert found.metric == "acc2"
    assert cell.interval.estimate == pytest.approx(cell.metrics["acc2"])
    scores = predict(trained[0], data, "test").outputs[:, 0]
    truth = data["test"].scores[:, 0]
    clipped = scores.clip(-1, 1)
    assert cell.metrics["mae"] == pytest.approx(np.abs(clipped - truth).mean(), rel=1e-5)
    assert cell.metrics["corr"] == pytest.approx(np.corrcoef(clipped, truth)[0, 1], rel=1e-4)


# --------------------------------------------------------------------------- the real label table


@pytest.fixture(scope="module")
def ch_sims(shared: Path) -> Dataset:
    with (shared / "data/ch_sims_v1/label.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("label", "label_T", "label_A", "label_V")
    return scored(
        {
            split: [[float(r[c]) for c in columns] for r in rows if r["mode"] == split]
            for split in ("train", "valid", "test")
        }
    )


def points(row: Row) -> dict[str, float]:
    return {name: round(100 * value, 1) for name, value in shares(row).items()}


def test_majority_of_ch_sims(ch_sims: Dataset) -> None:
    outputs = majority(ch_sims, SIMS, len(ch_sims["test"]))
    assert points(judged(ch_sims, outputs, SIMS)) == {"D_test": 69.4, "D_msc": 73.6, "D_msi": 64.7}


def test_sign_oracle_of_ch_sims(ch_sims: Dataset) -> None:
    outputs = sign_oracle(ch_sims, "test", SIMS)
    assert points(judged(ch_sims, outputs, SIMS))["D_test"] == 90.8


@pytest.mark.parametrize(("modality", "expected"), [(0, 83.6), (1, 87.1), (2, 86.7)])
def test_one_true_sign_of_ch_sims(modality: int, expected: float, ch_sims: Dataset) -> None:
    scores = ch_sims["test"].scores[:, 1 + modality]
    outputs = np.eye(3)[SIMS.to_class(scores)]
    assert points(judged(ch_sims, outputs, SIMS))["D_test"] == expected


def test_clips_of_ch_sims(ch_sims: Dataset) -> None:
    masks = Judge(ch_sims["test"], np.zeros(457, np.int64), SIMS).subsets
    assert sum(masks[Subset.TEST]) == 457
    assert sum(masks[Subset.MSC]) + sum(masks[Subset.MSI]) == 457
