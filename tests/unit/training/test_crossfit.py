"""Labels from what models say of clips that they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
from tiny_data import assert_same_training, without_seconds
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.training import crossfit
from tricord.training.cmc import TrainedCMC
from tricord.training.crossfit import folds
from tricord.training.folder import CROSSFIT_FILE
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.run import load_trained, train_one

# momenta by which labels would move, did stage 1 move them
SETTINGS = {
    **{k: v for k, v in tiny_data.MOVING.items() if k != "pretrain.epochs"},
    "pretrain.refine": "posterior",
    "pretrain.epochs": 2,
    "pretrain.ema_epochs": 1,
    "finetune.router": "evidence",
    "finetune.epochs": 2,
}
FOLDS = ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]


def train(
    settings: Mapping[str, Any] | None = None, data: Dataset | None = None, **options: Any
) -> TrainedCMC:
    config = tiny_data.config({**SETTINGS, **(settings or {})})
    trained = train_one(
        data or tiny_data.dataset(), config, name="cmc", seed=1, checkpoint_minutes=0, **options
    )
    assert isinstance(trained, TrainedCMC)
    return trained


class Watching(Observer):
    """Which clips each fold is trained on."""

    def __init__(self) -> None:
        self.seen: dict[str, set[int]] = {}

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        if stage.name.startswith("fold"):
            assert isinstance(stage, PretrainStage)
            rows = [b.index.tolist() for b in stage.batches(1)]
            self.seen[stage.name] = {i for row in rows for i in row}
            assert stage.config.pretrain.labels == "multimodal"


@pytest.fixture(scope="module")
def watching() -> Watching:
    return Watching()


@pytest.fixture(scope="module")
def whole(watching: Watching) -> TrainedCMC:
    return train(observer=watching)


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


@pytest.mark.parametrize("seed", range(4))
def test_a_video_larger_than_a_fold_leaves_none_empty(seed: int) -> None:
    found = folds(np.array(["a"] * 100 + ["b", "c"]), 3, seed)
    assert sorted(np.bincount(found).tolist()) == [1, 1, 100]


def test_fewer_clips_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 clips found, pretrain\.folds=3"):
        folds(np.array(["a", "b"]), 3, seed=0)


def test_no_fold_sees_its_own_clips_nor_the_others_labels(
    whole: TrainedCMC, watching: Watching
) -> None:
    assert list(watching.seen) == FOLDS
    everything = set(range(20))
    left = [everything - rows for rows in watching.seen.values()]
    assert sorted(i for rest in left for i in rest) == sorted(everything)  # each is held out once


def test_result_tells_how_labels_were_made(whole: TrainedCMC) -> None:
    found = whole.pretrained
    assert list(whole.history)[:3] == FOLDS
    assert list(found.transition) == list(whole.model.modalities)
    for chances in found.transition.values():
        torch.testing.assert_close(chances.sum(dim=1), torch.ones(3, dtype=torch.float64))
    assert set(found.labels.unique().tolist()) == {0, 1}  # a step of stage 1 would have moved them
    multimodal = torch.as_tensor(
        whole.config.labels.to_class(tiny_data.dataset()["train"].scores[:, 0])
    )
    moved = (found.labels.argmax(dim=2) != multimodal[:, None]).sum(dim=0)
    assert dict(zip(whole.model.modalities, moved.tolist(), strict=True)) == found.moved


class StopsAt(Observer):
    def __init__(self, stage: str, epoch: int) -> None:
        self.at = stage, epoch

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if (stage.name, progress.epoch) == self.at:
            raise KeyboardInterrupt


def test_a_run_stopped_again_and_again_has_the_same_bits(whole: TrainedCMC, tmp_path: Path) -> None:
    stops = [(FOLDS[0], 1), (FOLDS[1], 2), (FOLDS[2], 1), ("pretrain", 1), ("finetune", 1)]
    for at in stops:
        with pytest.raises(KeyboardInterrupt):
            train(folder=tmp_path, observer=StopsAt(*at))
    done, loaded = train(folder=tmp_path), load_trained(tmp_path)
    assert isinstance(loaded, TrainedCMC)
    for found in (done, loaded):
        assert_same_training(found, whole)
        assert list(found.history) == list(whole.history)
        for name in FOLDS:
            assert without_seconds(found.history[name]) == without_seconds(whole.history[name])
        tiny_data.assert_same_state(found.pretrained.transition, whole.pretrained.transition)
    assert not (tmp_path / CROSSFIT_FILE).exists()


def test_seconds_and_frames_are_of_the_folds_too(whole: TrainedCMC) -> None:
    rows = [row for name in (*FOLDS, "pretrain", "finetune") for row in whole.history[name]]
    assert whole.frames == sum(row["frames"] for row in rows)
    assert whole.seconds == pytest.approx(sum(row["seconds"] for row in rows))
    assert sum(row["frames"] for name in FOLDS for row in whole.history[name]) > 0


def test_stage_1_is_the_first_candidate_where_evidence_is_summed(whole: TrainedCMC) -> None:
    assert [row["epoch"] for row in whole.history["finetune"]] == [0, 1, 2]
    alone = train({"finetune.epochs": 0}, pretrained=whole)
    assert alone.selected()["epoch"] == 0
    for name, part in alone.model.parts.items():
        tiny_data.assert_same_state(part.state_dict(), dict(alone.pretrained.unimodal[name]))
    assert alone.model.evidence is not None
    plain = alone.model.evidence.scale[7]
    assert not torch.allclose(plain, torch.full((3,), 1 / 3))  # the scales were fitted


def test_unlabelled_and_missing_clips_keep_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are asked for move; vision is in one video alone, and nowhere in valid."""

    def changed(table: FeatureTable, blind: int, unknown: int) -> FeatureTable:
        vision, scores = table.sequences["vision"], table.scores.copy()
        lengths = np.where(np.arange(len(table)) < blind, 0, vision.lengths)
        scores[:unknown, 0] = np.nan
        own = {"vision": Ragged.from_padded(vision.padded(), lengths)}
        return replace(table, scores=scores, sequences={**table.sequences, **own})

    plain = tiny_data.dataset()
    train_table, valid = changed(plain["train"], 18, 2), changed(plain["valid"], 9, 1)
    monkeypatch.setattr(crossfit, "moved", lambda _, y: (y + 1) % 3)
    found = train(
        {"pretrain.epochs": 1, "finetune.epochs": 0},
        Dataset({**plain.splits, "train": train_table, "valid": valid}, "x"),
    )
    scheme, pretrained = found.config.labels, found.pretrained
    for table, soft in ((train_table, pretrained.labels), (valid, pretrained.valid_labels)):
        y = scheme.to_class(table.scores[:, 0])
        there = np.stack([s.lengths > 0 for s in table.sequences.values()], axis=1)
        expected = np.where(there, (y[:, None] + 1) % 3, y[:, None])
        labelled = y >= 0
        np.testing.assert_array_equal(soft.argmax(dim=2)[labelled], expected[labelled])
    assert found.pretrained.moved == {"text": 18, "audio": 18, "vision": 2}
