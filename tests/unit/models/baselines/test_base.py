"""What all baselines share, tried on early and late fusion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import baseline_data
import builders
import tiny_data
from tricord.baseline_config import BaselineConfig, Rate
from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.evaluation.table import evaluate
from tricord.inference.predictor import predict
from tricord.labels import nominal
from tricord.models import registry
from tricord.models.baselines.base import BaselineStage
from tricord.nn.clips import first_frames, mean_frames
from tricord.training.loop import Observer, Stage, fit
from tricord.training.run import load_trained, train_one
from tricord.types import Batch

EARLY = "early-fusion"
NO_DROPOUT = {"dropout": 0}


def train(name: str = EARLY, data: Dataset | None = None, **options: Any) -> Any:
    data = tiny_data.dataset() if data is None else data
    config = baseline_data.settings(name, options.pop("settings", {"epochs": 3}))
    return train_one(data, config, name=name, seed=1, **options)


def test_loss_is_the_mean_absolute_error_of_the_clips_with_a_label() -> None:
    model = baseline_data.build(EARLY, NO_DROPOUT).eval()
    batch = baseline_data.batch_of(model, 4)
    scores = batch.scores.clone()
    scores[1, 0] = torch.nan
    labels = batch.labels.clone()
    labels[1, 0] = -1
    batch = replace(batch, scores=scores, labels=labels)
    stage = baseline_data.first_stage(model)
    found = stage.task_loss(model(batch), batch)
    rows = [0, 2, 3]
    torch.testing.assert_close(found, (model(batch)[rows, 0] - scores[rows, 0]).abs().mean())


class Fixed(BaselineStage[Any]):
    """The gradient of every parameter is 1 in every batch."""

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": torch.stack([p.sum() for p in self.model.parameters()]).sum()}

    def update(self) -> None:
        if self._batches:
            gradients = [float(p.grad.max()) for p in self.model.parameters()]
            assert len(set(gradients)) == 1
            self.steps.append(gradients[0])
        super().update()


def steps(settings: dict[str, Any]) -> list[float]:
    """The size of each step's gradient in one epoch of 20 clips."""
    model = baseline_data.build(EARLY, {"batch_size": 4, "epochs": 1, **settings})
    loaders = baseline_data.loaders(model)
    stage = Fixed(model, *loaders.of(4, tokens=False))
    stage.steps = []
    fit(stage)
    return stage.steps


def test_gradients_of_several_batches_are_summed_and_leftovers_stepped_or_dropped() -> None:
    assert steps({}) == [1, 1, 1, 1, 1]
    assert steps({"accumulate": 2}) == [2, 2, 1]
    assert steps({"accumulate": 2, "leftovers": "drop"}) == [2, 2]


def test_the_epoch_with_the_smallest_loss_on_valid_is_kept() -> None:
    trained = train(settings={"epochs": 30, "patience": None, "rates.other.lr": 0.05})
    rows = trained.history["train"]
    best = min(rows, key=lambda row: row["valid_loss"])
    assert best["epoch"] < 30  # else the test says nothing
    assert trained.selected() == {
        "epoch": best["epoch"],
        "loss": best["valid_loss"],
        "accuracy": best["valid_accuracy"],
    }
    outputs = predict(trained, tiny_data.dataset(), "valid").outputs[:, 0]
    truth = tiny_data.dataset()["valid"].scores[:, 0]
    assert abs(outputs - truth).mean() == pytest.approx(best["valid_loss"], abs=1e-6)


def test_the_loss_that_selects_may_be_rounded() -> None:
    plain, rounded = (
        train(settings={"epochs": 1, "rounding": digits}).history["train"][0]["valid_loss"]
        for digits in (None, 2)
    )
    assert rounded == round(plain, 2) != plain


def test_training_improves_on_the_start() -> None:
    rows = train(settings={"epochs": 30, "patience": None}).history["train"]
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]


def test_a_model_comes_back_from_its_folder(tmp_path: Any) -> None:
    trained = train(folder=tmp_path)
    loaded = load_trained(tmp_path)
    assert loaded.config == trained.config
    assert loaded.about() == trained.about()
    data = tiny_data.dataset()
    assert (predict(loaded, data, "test").outputs == predict(trained, data, "test").outputs).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "history.json",
        "model.json",
        "model.safetensors",
    ]


def test_a_stopped_run_continues_with_the_same_bits(tmp_path: Any) -> None:
    class Stop(Observer):
        def epoch_done(self, stage: Stage, progress: Any) -> None:
            if progress.epoch == 2:
                raise KeyboardInterrupt

    settings = {"epochs": 5, "patience": None, "dropout": 0.5}
    whole = train(settings=settings)
    with pytest.raises(KeyboardInterrupt):
        train(settings=settings, folder=tmp_path, observer=Stop(), checkpoint_minutes=0)
    again = train(settings=settings, folder=tmp_path, checkpoint_minutes=0)
    tiny_data.assert_same_state(dict(again.model.state_dict()), dict(whole.model.state_dict()))
    assert tiny_data.without_seconds(again.history["train"]) == tiny_data.without_seconds(
        whole.history["train"]
    )


def test_frames_seen_are_those_of_all_epochs() -> None:
    table = tiny_data.dataset()["train"]
    assert train().frames == 3 * sum(int(s.lengths.sum()) for s in table.sequences.values())


def test_scores_and_classes_stand_in_one_table() -> None:
    data = tiny_data.dataset()
    cmc = train_one(data, tiny_data.config(), name="cmc", seed=1)
    table = evaluate({EARLY: [train()], "cmc": [cmc]}, data)
    names = [row.name for row in table.rows]
    assert names.index("text") > names.index(EARLY)  # single modalities come with CMC
    early, ours = (table.row(n).cells["D_test"].metrics for n in (EARLY, "cmc"))
    assert {"mae", "corr", "acc2", "acc3", "acc5", "f1"} == set(early)
    assert "mae" not in ours
    assert table.metric == "acc2"


def test_models_of_other_labels_are_refused_in_one_table() -> None:
    data = tiny_data.dataset()
    other = train()
    other.config = other.config.with_settings({"labels.low": -2})
    with pytest.raises(Exception, match="'other' was trained for other labels"):
        evaluate({EARLY: [train()], "other": [other]}, data)


def test_groups_have_their_own_rates_and_hold_every_parameter_once() -> None:
    config = baseline_data.settings(EARLY, {"rates": {"other": {"lr": 1}, "hidden": {"lr": 2}}})
    model = registry.get(EARLY).build(config, tiny_data.WIDTHS)
    model.parts = lambda: {"hidden": model.hidden}
    model.norm.weight.requires_grad_(False)
    groups = model.groups()
    assert {id(p) for p in groups["hidden"]} == {id(p) for p in model.hidden.parameters()}
    found = [id(p) for group in groups.values() for p in group]
    assert sorted(found) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    optimizer = baseline_data.first_stage(model).optimizers[0]
    assert [group["lr"] for group in optimizer.param_groups] == [2, 1]


@pytest.mark.parametrize(
    ("choice", "encoder", "expected"),
    [
        ("auto", None, mean_frames),
        ("auto", "some-model", first_frames),
        ("first", None, first_frames),
        ("mean", "some-model", mean_frames),
    ],
)
def test_what_stands_for_a_sentence(choice: str, encoder: str | None, expected: Any) -> None:
    model = baseline_data.build(EARLY, {"text_vector": choice, "text.encoder": encoder})
    batch = baseline_data.batch_of(model, 5)
    assert torch.equal(model.sentence(batch), expected(batch.frames["text"]))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"rates\.other: is needed"):
        baseline_data.settings(EARLY, {"rates": {"text": {"lr": 1}}})
    with pytest.raises(ConfigError, match="no settings for 'eeg'"):
        baseline_data.settings(EARLY).only(["text", "eeg"])
    with pytest.raises(ConfigError, match="reads audio; the data has text, vision"):
        baseline_data.settings("audio-only").only(["text", "vision"])
    moods = nominal(("calm", "angry"))
    assert baseline_data.settings(EARLY).with_labels(moods).labels == moods

    class Scores(BaselineConfig):
        pass

    config = Scores(
        preset="tiny", labels=baseline_data.settings(EARLY).labels, rates={"other": Rate(lr=1)}
    )
    with pytest.raises(ConfigError, match="no 'classification', it needs scores"):
        config.with_labels(moods)


@pytest.mark.parametrize("name", ["av-mc", "mc-teacher"])
def test_models_with_frozen_text_do_not_train_it(name: str) -> None:
    with pytest.raises(ConfigError, match="language model is frozen, as published"):
        baseline_data.settings(name, {"text.encoder": "some-model", "text.finetune": True})


def test_late_fusion_by_hand() -> None:
    model = baseline_data.build("late-fusion-learned").eval()
    batch = baseline_data.batch_of(model, 3)
    present = batch.present.clone()
    present[1] = torch.tensor([True, False, True])
    batch = replace(batch, present=present)
    with torch.no_grad():
        model.logits.copy_(torch.tensor([1.0, 2.0, 3.0]).log())
    votes = model.vote(batch)[:, :, 0]
    weights = torch.tensor([[1, 2, 3], [1, 0, 3], [1, 2, 3]]) / torch.tensor([[6.0], [4], [6]])
    torch.testing.assert_close(model(batch)[:, 0], (votes * weights).sum(dim=1))


def test_learned_weights_do_not_change_what_each_modality_learns() -> None:
    settings = {**builders.NO_DROPOUT, "epochs": 1}
    mean, learned = (baseline_data.build(f"late-fusion-{k}", settings) for k in ("mean", "learned"))
    for model in (mean, learned):
        fit(baseline_data.first_stage(model))
    tiny_data.assert_same_state(mean.unimodal.state_dict(), learned.unimodal.state_dict())
    assert learned.logits.all()
    assert not mean.logits.any()


def test_one_modality_reads_no_other() -> None:
    data = tiny_data.dataset()
    trained = train("vision-only", settings={"epochs": 2})
    assert set(trained.widths) == {"vision"}
    table = data["test"]
    alone = replace(table, sequences={"vision": table.sequences["vision"]}, scores=table.scores)
    alone = replace(alone, scores=table.scores[:, [0, 3]])
    some = Dataset({"test": alone}, source="vision.pkl")
    assert (predict(trained, some, "test").outputs == predict(trained, data, "test").outputs).all()
