"""Labels from what models say of clips that they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
from tiny_data import assert_same_training
from tricord.training import crossfit
from tricord.training.cmc import TrainedCMC
from tricord.training.crossfit import folds
from tricord.training.folder import CROSSFIT_FILE
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.run import load_trained, train_one

SETTINGS = {"pretrain.refine": "posterior", "pretrain.epochs": 2, "pretrain.ema_epochs": 1}


def train(settings: Mapping[str, Any] | None = None, **options: Any) -> TrainedCMC:
    config = tiny_data.config({**SETTINGS, **(settings or {})})
    trained = train_one(
        tiny_data.dataset(), config, name="cmc", seed=1, checkpoint_minutes=0, **options
    )
    assert isinstance(trained, TrainedCMC)
    return trained


@pytest.fixture(scope="module")
def whole() -> TrainedCMC:
    return train()


@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_video_is_in_one_fold_and_folds_are_about_equal(number: int) -> None:
    videos = np.repeat([f"v{i}" for i in range(30)], np.random.default_rng(0).integers(1, 9, 30))
    found = folds(videos, number, seed=1)
    assert all(len(set(found[videos == v])) == 1 for v in set(videos))
    sizes = np.bincount(found, minlength=number)
    assert sizes.sum() == len(videos)
    assert sizes.max() - sizes.min() <= 8
    assert not np.array_equal(found, folds(videos, number, seed=2))


def test_clips_are_dealt_out_where_videos_are_too_few() -> None:
    assert sorted(np.bincount(folds(np.array(["a"] * 6), 3, seed=0)).tolist()) == [2, 2, 2]


def test_no_fold_sees_its_own_clips_nor_the_others_labels() -> None:
    seen: dict[str, set[int]] = {}

    class Watching(Observer):
        def stage_started(self, stage: Stage, progress: Progress) -> None:
            if stage.name.startswith("fold"):
                assert isinstance(stage, PretrainStage)
                rows = [b.index.tolist() for b in stage.batches(1)]
                seen[stage.name] = {i for row in rows for i in row}
                assert stage.config.pretrain.labels == "multimodal"

    train(observer=Watching())
    assert list(seen) == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    everything = set().union(*seen.values())
    left = [everything - rows for rows in seen.values()]
    assert sorted(i for rest in left for i in rest) == sorted(everything)  # each is held out once


def test_result_tells_how_labels_were_made(whole: TrainedCMC) -> None:
    found = whole.pretrained
    assert list(whole.history)[:3] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    assert list(found.transition) == list(whole.model.modalities)
    for chances in found.transition.values():
        torch.testing.assert_close(chances.sum(dim=1), torch.ones(3, dtype=torch.float64))
    assert set(found.labels.unique().tolist()) == {0, 1}
    multimodal = torch.as_tensor(
        whole.config.labels.to_class(tiny_data.dataset()["train"].scores[:, 0])
    )
    moved = (found.labels.argmax(dim=2) != multimodal[:, None]).sum(dim=0)
    assert dict(zip(whole.model.modalities, moved.tolist(), strict=True)) == found.moved


def test_labels_do_not_move_in_stage_1(whole: TrainedCMC) -> None:
    counts = {
        k: {row[f"moved_{k}"] for row in whole.history["pretrain"]} for k in ("text", "audio")
    }
    assert all(len(found) == 1 for found in counts.values())


class StopsAt(Observer):
    def __init__(self, stage: str, epoch: int) -> None:
        self.at = stage, epoch

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if (stage.name, progress.epoch) == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "at", [("fold 1 of 3", 1), ("fold 2 of 3", 2), ("fold 3 of 3", 1), ("pretrain", 1)]
)
def test_a_stopped_run_continues_with_the_same_bits(
    at: tuple[str, int], whole: TrainedCMC, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, observer=StopsAt(*at))
    assert_same_training(train(folder=tmp_path), whole)
    assert not (tmp_path / CROSSFIT_FILE).exists()


def test_folder_and_memory_agree(whole: TrainedCMC, tmp_path: Path) -> None:
    train(folder=tmp_path)
    loaded = load_trained(tmp_path)
    assert isinstance(loaded, TrainedCMC)
    assert_same_training(loaded, whole)
    assert loaded.pretrained.transition.keys() == whole.pretrained.transition.keys()


def test_stage_1_is_the_first_candidate_where_evidence_is_summed() -> None:
    rows = train({"finetune.router": "evidence", "finetune.epochs": 2}).history["finetune"]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    alone = train({"finetune.router": "evidence", "finetune.epochs": 0})
    assert alone.selected()["epoch"] == 0
    for name, part in alone.model.parts.items():
        tiny_data.assert_same_state(part.state_dict(), dict(alone.pretrained.unimodal[name]))
    assert alone.model.evidence is not None
    plain = alone.model.evidence.scale[7]
    assert not torch.allclose(plain, torch.full((3,), 1 / 3))  # the scales were fitted


def test_unlabelled_and_missing_clips_keep_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        crossfit, "transition", lambda q, y: asked.append((len(q), y.min())) or np.eye(q.shape[1])
    )
    train()
    assert all(least >= 0 for _, least in asked)
    assert len(asked) == 3
