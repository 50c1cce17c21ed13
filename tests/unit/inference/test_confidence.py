"""A model's calibration: fitted on valid alone, kept, read again, and used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
import tricord
from tricord import api
from tricord.data.schema import Dataset
from tricord.errors import ModelError, SealedSplitError
from tricord.evaluation.calibration import Calibration, Scaling
from tricord.inference.confidence import abstains, calibrate, sets, standing
from tricord.inference.predictor import Predictions, predict, softmax
from tricord.training.folder import CALIBRATION_FILE

SHORT = {"pretrain.epochs": 1, "finetune.epochs": 1}


def train(model: str = "cmc", data: Dataset | None = None, **options: Any) -> api.Run:
    own: Mapping[str, Any] = {**tiny_data.SETTINGS, **SHORT} if model == "cmc" else {"epochs": 1}
    own = {**own, **options.pop("settings", {})}
    return api.train(data or tiny_data.dataset(), "tiny", model, settings=own, **options)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "run"
    train(out=folder)
    return folder


@pytest.fixture(scope="module")
def run(kept: Path) -> api.Run:
    return tricord.load_model(kept)


def test_training_calibrates_on_valid_and_keeps_it(kept: Path, run: api.Run) -> None:
    found = run.best.calibration
    assert found is not None
    assert (found.method, found.split, found.clips) == ("temperature", "valid", 9)
    assert list(found.votes) == ["text", "audio", "vision"]
    assert found == calibrate(run.best, tiny_data.dataset())
    assert json.loads((kept / "seed-1" / CALIBRATION_FILE).read_text())["split"] == "valid"


def test_what_test_holds_cannot_change_it(run: api.Run) -> None:
    data = tiny_data.dataset()
    other = tiny_data.table("test", 12, seed=7)
    changed = Dataset({**data.splits, "test": other}, data.source)
    assert train(data=changed).best.calibration == run.best.calibration
    with pytest.raises(SealedSplitError, match="'test' is sealed"):
        calibrate(run.best, data, "test")


def test_what_the_calibration_never_saw_is_said(run: api.Run) -> None:
    """The clips of valid have all modalities; no scaling is fitted to those that lack one."""
    found = run.predict(tiny_data.dataset())
    assert standing(found) == ("probabilities calibrated on 9 clips of valid",)
    present = found.present.copy()
    present[3, 0] = False
    lacking = replace(found, present=present)
    assert standing(lacking)[1:] == (
        "without text: unchecked, all clips of the calibration had it",
    )
    assert run.best.calibration is not None
    few = run.best.calibration.votes["text"].model_copy(update={"clips": 7})
    votes = {**run.best.calibration.votes, "text": few}
    known = replace(lacking, calibration=run.best.calibration.model_copy(update={"votes": votes}))
    assert standing(known)[1:] == ("without text: 2 clips of the calibration lacked it, too",)
    assert standing(lacking.uncalibrated) == ("probabilities not calibrated",)


def test_probabilities_are_scaled_and_logits_are_not(run: api.Run) -> None:
    data = tiny_data.dataset()
    found = run.predict(data)
    assert found.calibration is not None
    scale = found.calibration.consensus.scale[0]
    assert scale != 1
    np.testing.assert_allclose(found.probabilities, softmax(scale * found.outputs))
    audio = found.calibration.votes["audio"].scale[0]
    np.testing.assert_allclose(found.vote_probabilities[:, 1], softmax(audio * found.votes[:, 1]))
    bare = predict(replace(run.best, calibration=None), data, "test")
    np.testing.assert_array_equal(bare.outputs, found.outputs)
    np.testing.assert_array_equal(bare.probabilities, found.uncalibrated.probabilities)
    np.testing.assert_array_equal(bare.probabilities, softmax(found.outputs))
    assert [row["label"] for row in bare.rows()] == [row["label"] for row in found.rows()]
    row = next(iter(found.rows()))
    assert row["p_negative"] == pytest.approx(found.probabilities[0, 0], abs=1e-6)
    assert row["p_audio_neutral"] == pytest.approx(found.vote_probabilities[0, 1, 1], abs=1e-6)
    assert row["conflict_score"] == pytest.approx(found.conflict_score[0], abs=1e-6)


def test_a_folder_from_before_is_loaded_without_and_resumed_with(
    kept: Path, run: api.Run, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "run")
    path = tmp_path / "run/seed-1" / CALIBRATION_FILE
    content = path.read_text()
    path.unlink()
    old = tricord.load_model(tmp_path / "run")
    assert old.best.calibration is None
    predictions = old.predict(tiny_data.dataset())
    for use in (lambda: abstains(predictions, 0.5), lambda: sets(predictions, 0.5)):
        with pytest.raises(ModelError, match=r"not calibrated: .* resume its training"):
            use()
    assert train(out=tmp_path / "run", resume=True).best.calibration == run.best.calibration
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"method": "temperature"}'])
def test_a_broken_file_is_named(content: str, kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "run")
    (tmp_path / "run/seed-1" / CALIBRATION_FILE).write_text(content)
    with pytest.raises(ModelError, match=r"calibration\.json: not ") as error:
        tricord.load_model(tmp_path / "run")
    assert "\n" not in str(error.value)


def test_baselines_with_classes_too_and_heads_with_scores_not() -> None:
    classes = train("early-fusion", settings={"labels.head": "classification"}).best
    assert classes.calibration is not None
    assert classes.calibration.votes == {}
    found = predict(classes, tiny_data.dataset(), "test")
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert found.conflict_score.tolist() == [0.0] * 12
    assert train("early-fusion", settings={"labels.head": "regression"}).best.calibration is None


def test_valid_clips_without_a_label_are_left_out(run: api.Run) -> None:
    data = tiny_data.dataset()

    def unlabelled(rows: slice) -> Dataset:
        scores = data["valid"].scores.copy()
        scores[rows] = np.nan
        valid = replace(data["valid"], scores=scores)
        return Dataset({**data.splits, "valid": valid}, data.source)

    found = calibrate(run.best, unlabelled(slice(0, 3)))
    assert found is not None
    assert found.clips == 6
    assert found == calibrate(
        run.best,
        Dataset({"valid": data["valid"].take(np.arange(3, 9))}, "x"),
    )
    assert calibrate(run.best, unlabelled(slice(None))) is None


# ------------------------------------------------------------------- answers and sets of classes


def sure(right: float, videos: int = 50) -> Predictions:
    """Two clips of probabilities .9 and .6, by a model that knew 100 clips of valid."""
    confidence = np.tile([0.9, 0.6], 50) + np.linspace(0, 0.01, 100)
    known = np.tile([True, False], 50) | (np.arange(100) < 100 * right)
    scaling = Scaling(scale=(1.0, 1.0, 1.0), shift=(0.0, 0.0, 0.0), clips=100)
    calibration = Calibration(
        method="temperature",
        split="valid",
        consensus=scaling,
        votes={},
        confidence=tuple(confidence),
        right=tuple(known.tolist()),
        own=tuple(np.where(known, confidence, 0.2)),
        videos=tuple((np.arange(100) // (100 // videos)).tolist()),
    )
    p = np.array([[0.05, 0.05, 0.92], [0.6, 0.25, 0.15]])
    return Predictions(
        ids=("a", "b"),
        modalities=(),
        scheme=tricord.presets.tiny().labels,
        outputs=np.log(p),
        votes=np.zeros((2, 0, 3)),
        weights=np.zeros((2, 0)),
        present=np.ones((2, 0), bool),
        calibration=calibration,
    )


def test_only_what_can_be_promised_is_answered() -> None:
    assert abstains(sure(right=0), 0.1, by_video=False).tolist() == [False, True]
    assert abstains(sure(right=1), 0.1, by_video=False).tolist() == [False, False]
    assert abstains(sure(right=1, videos=10), 0.1).tolist() == [True, True]  # 10 cannot promise


def test_sets_name_the_classes() -> None:
    assert sets(sure(right=0), 0.45, by_video=False) == ["positive", "negative"]
    assert sets(sure(right=0), 0.9, by_video=False) == ["positive", "negative|neutral"]
    assert sets(sure(right=1, videos=10), 0.95) == ["negative|neutral|positive"] * 2
