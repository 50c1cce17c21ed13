"""`train_one`, its folder, and what a run that was stopped is continued from."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_bert
import tiny_data
from tiny_data import assert_same_training
from tricord.config import RunConfig
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import ConfigError, DataError, ModelError, SealedSplitError, TricordError
from tricord.features.language import TextEncoder
from tricord.inference.predictor import predict
from tricord.training import folder, session
from tricord.training.checkpoint import load_tree
from tricord.training.cmc import TrainedCMC
from tricord.training.finetune import FinetuneStage
from tricord.training.folder import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    STAGE1_FILE,
    WEIGHTS_FILE,
)
from tricord.training.loaders import subseed
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.run import load_trained, train_one
from tricord.training.stages import clone_state

SETTINGS = {
    **tiny_data.MOVING,
    "pretrain.epochs": 4,
    "pretrain.lr": 0.1,
    # so that labels and EMA models are more than the last step's
    "modalities.label_momentum": {"initial": 0.1, "decay": 0.1},
    "modalities.model_momentum": {"initial": 0.5, "decay": 0.5},
}


def train(
    data: Dataset | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    config: RunConfig | None = None,
    seed: int = 1,
    **options: Any,
) -> TrainedCMC:
    config = config or tiny_data.config({**SETTINGS, **(settings or {})})
    options = {"checkpoint_minutes": 0, **options}
    return train_one(data or tiny_data.dataset(), config, name="cmc", seed=seed, **options)


@pytest.fixture(scope="module")
def whole() -> TrainedCMC:
    """TrainedCMC without a stop, in memory."""
    return train()


# ---------------------------------------------------------------------------------- reproducibility


def test_the_same_seed_gives_the_same_bits(whole: TrainedCMC) -> None:
    assert_same_training(train(), whole)


def test_another_seed_gives_another_model(whole: TrainedCMC) -> None:
    other = train(seed=2)
    names = tiny_data.differs(other.model.state_dict(), whole.model.state_dict())
    learned = {n for n, _ in whole.model.named_parameters()}
    assert names >= learned


def test_a_folder_changes_nothing(whole: TrainedCMC, tmp_path: Path) -> None:
    assert_same_training(train(folder=tmp_path / "run"), whole)


def test_labels_move_in_these_tests(whole: TrainedCMC) -> None:
    """Else nothing here would show that labels are kept and resumed."""
    assert sum(whole.pretrained.moved.values()) > 0


class Meddler(Observer):
    """Evaluates after each epoch, in all the ways a user might."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.seen = data, 0

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        assert isinstance(stage, PretrainStage | FinetuneStage)
        stage.model.eval()
        for loader in (stage.train, stage.valid):
            for batch in loader.epoch(progress.epoch):
                stage.model(batch)
        predict(self.finished, self.data, "test")
        self.seen += 1

    finished: TrainedCMC


def test_evaluating_in_between_changes_nothing(whole: TrainedCMC) -> None:
    meddler = Meddler(tiny_data.dataset())
    meddler.finished = whole
    assert_same_training(train(observer=meddler), whole)
    assert meddler.seen == 4 + 3


def test_global_generators_are_left_as_they_were() -> None:
    torch.manual_seed(99)  # nowhere that training itself would end
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    train()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_global_generators_have_no_influence(whole: TrainedCMC) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    assert_same_training(train(), whole)


def test_subseeds_differ_by_seed_and_purpose() -> None:
    pairs = [(s, p) for s in range(20) for p in ("row order", "weights and dropout")]
    assert len({subseed(*pair) for pair in pairs}) == len(pairs)
    assert subseed(3, "row order") == subseed(3, "row order")
    assert all(0 <= subseed(*pair) < 2**48 for pair in pairs)


# ------------------------------------------------------------------------------------ sealed test


class Untouchable:
    """A table that may not even be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"test table: {name} was looked at")

    def __len__(self) -> int:
        raise AssertionError("test table: its length was looked at")


class Known(Dataset):
    """A data set whose fingerprint was taken before its test table was locked away."""

    def fingerprint(self) -> str:
        return "known"


def test_training_never_looks_at_the_test_table(whole: TrainedCMC) -> None:
    data = tiny_data.dataset()
    locked: Any = {**data.splits, "test": Untouchable()}
    with pytest.raises(AssertionError, match="was looked at"):
        _ = locked["test"].scores
    trained = train(Known(locked, "tiny.pkl"))
    assert_same_training(trained, whole)
    assert trained.fingerprint == "known"


def test_nobody_within_training_gets_at_the_test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Curious(session.Loaders):
        def of(self, batch_size: int, *, tokens: bool) -> Any:
            with pytest.raises(SealedSplitError, match="split 'test' is sealed"):
                self.table("test", tokens=tokens)
            asked.append(batch_size)
            return super().of(batch_size, tokens=tokens)

    monkeypatch.setattr(session, "Loaders", Curious)
    train()
    assert len(asked) == 2


def test_the_test_split_makes_no_difference_but_the_fingerprint(whole: TrainedCMC) -> None:
    data = tiny_data.dataset()
    other = {**data.splits, "test": tiny_data.table("test", 5, seed=9)}
    trained = train(Dataset(other, data.source))
    assert_same_training(trained, whole)
    assert trained.fingerprint != whole.fingerprint
    none = {k: v for k, v in data.splits.items() if k != "test"}
    assert_same_training(train(Dataset(none, data.source)), whole)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_both_other_splits_are_needed(split: str) -> None:
    data = tiny_data.dataset()
    rest = {k: v for k, v in data.splits.items() if k != split}
    with pytest.raises(DataError, match=rf"^tiny.pkl: split '{split}' not found"):
        train(Dataset(rest, data.source))


# ------------------------------------------------------------------------------------------ resume


class Stop(Observer):
    """Ctrl-C in a stage: after the second batch of an epoch, or at its end."""

    def __init__(self, stage: str, epoch: int, *, at_end: bool = False) -> None:
        self.stage, self.epoch, self.at_end = stage, epoch, at_end
        self.steps = 0

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        if not self.at_end and (stage.name, epoch) == (self.stage, self.epoch):
            self.steps += 1
            if self.steps == 2:
                raise KeyboardInterrupt

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if self.at_end and (stage.name, progress.epoch) == (self.stage, self.epoch):
            raise KeyboardInterrupt


class After(Observer):
    """Ctrl-C between the stages, or after the last one."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def stage_finished(self, stage: Stage, progress: Progress) -> None:
        if stage.name == self.stage:
            raise KeyboardInterrupt


STOPS: dict[str, Callable[[], Observer]] = {
    "stage 1, first epoch": lambda: Stop("pretrain", 1),
    "stage 1, in epoch 2": lambda: Stop("pretrain", 2),
    "stage 1, after epoch 3": lambda: Stop("pretrain", 3, at_end=True),
    "stage 1, after the last": lambda: Stop("pretrain", 4, at_end=True),
    "between the stages": lambda: After("pretrain"),
    "stage 2, first epoch": lambda: Stop("finetune", 1),
    "stage 2, in epoch 2": lambda: Stop("finetune", 2),
    "stage 2, after the last": lambda: Stop("finetune", 3, at_end=True),
    "after stage 2": lambda: After("finetune"),
}


@pytest.mark.parametrize("minutes", [0, 10])
@pytest.mark.parametrize("stop", STOPS)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    stop: str, minutes: float, whole: TrainedCMC, tmp_path: Path
) -> None:
    """From the last epoch, or from the start of the stage where no checkpoint was due."""
    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, observer=STOPS[stop](), checkpoint_minutes=minutes)
    assert not (tmp_path / MODEL_FILE).exists()
    watch = Watch(tmp_path)
    trained = train(folder=tmp_path, observer=watch, checkpoint_minutes=minutes)
    assert_same_training(trained, whole)
    assert_same_training(load_trained(tmp_path), whole)
    assert set(watch.files_at_end()) == COMPLETE
    if minutes:
        stage = "finetune" if "stage 2" in stop else "pretrain"
        assert watch.started[0] == (stage, 0)


COMPLETE = {MODEL_FILE, HISTORY_FILE, WEIGHTS_FILE, STAGE1_FILE}


class Watch(Observer):
    """Where each stage starts, and the folder's files (name -> inode) after each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[tuple[str, int]] = []
        self.files: dict[str, list[dict[str, int]]] = {"pretrain": [], "finetune": []}

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        self.started.append((stage.name, progress.epoch))

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        self.files[stage.name].append(self.files_at_end())

    def files_at_end(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.folder.glob("*")}


def test_a_short_run_writes_nothing_but_what_it_results_in(tmp_path: Path) -> None:
    """The best state goes where the finished model is read from, and is not written again."""
    watch = Watch(tmp_path)
    trained = train(folder=tmp_path, observer=watch, checkpoint_minutes=10)
    assert watch.files["pretrain"] == [{}] * 4
    after_epoch, end = watch.files["finetune"], watch.files_at_end()
    assert [set(files) for files in after_epoch] == [{STAGE1_FILE, WEIGHTS_FILE}] * len(after_epoch)
    best = int(trained.selected()["epoch"]) - 1
    assert all(files.items() <= end.items() for files in after_epoch[best:])
    assert set(end) == COMPLETE


@pytest.mark.parametrize("settings", [{"finetune.select": "last"}, {"finetune.epochs": 0}])
def test_a_model_that_no_epoch_was_best_of_is_written_at_the_end(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    trained = train(settings=settings, folder=tmp_path)
    assert_same_training(load_trained(tmp_path), trained)


def test_a_state_is_written_when_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(folder.time, "monotonic", lambda: clock[-1])
    checkpoint = folder.FolderCheckpoint(tmp_path, minutes=2)
    kept = []
    for epoch, now in enumerate([1000.0, 1119.0, 1120.0, 1125.0, 1239.0, 1241.0, 1241.0], 1):
        clock.append(now)
        checkpoint.save({"epoch": epoch})
        kept.append((checkpoint.load() or {"epoch": 0})["epoch"])
    assert kept == [0, 0, 3, 3, 3, 6, 6]


@pytest.mark.parametrize("minutes", [-1, float("nan")])
def test_a_time_that_makes_no_sense_is_refused(minutes: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint_minutes: .* found, 0 or more expected"):
        train(folder=tmp_path, checkpoint_minutes=minutes)
    assert list(tmp_path.iterdir()) == []


def test_a_run_may_be_stopped_again_and_again(whole: TrainedCMC, tmp_path: Path) -> None:
    for stop in STOPS.values():
        with pytest.raises(KeyboardInterrupt):
            train(folder=tmp_path, observer=stop())
    assert_same_training(train(folder=tmp_path), whole)


@pytest.mark.parametrize("model", ["router_only", "all"])
def test_resume_with_stage_1_from_elsewhere(model: str, whole: TrainedCMC, tmp_path: Path) -> None:
    settings = {"finetune.train": model, "finetune.lr": 0.01}
    straight = train(settings=settings, pretrained=whole)
    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(
                settings=settings,
                pretrained=whole,
                folder=tmp_path,
                observer=Stop("finetune", epoch),
            )
    resumed = train(settings=settings, pretrained=whole, folder=tmp_path)
    assert_same_training(resumed, straight)
    assert resumed.history["pretrain"] == whole.history["pretrain"]


def test_the_last_good_epoch_is_kept_where_the_loss_explodes(tmp_path: Path) -> None:
    class Poison(Observer):
        def epoch_done(self, stage: Stage, progress: Progress) -> None:
            assert isinstance(stage, PretrainStage)
            if progress.epoch == 2:
                with torch.no_grad():
                    next(stage.model.parameters()).fill_(float("nan"))

    with pytest.raises(TricordError, match=r"stage 'pretrain', epoch 3: the loss is not finite"):
        train(folder=tmp_path, observer=Poison())
    saved = load_tree(tmp_path / CHECKPOINT_FILE)
    assert saved["epoch"] == 2
    states = saved["state"]["members"]["model"]
    assert all(torch.isfinite(value).all() for value in states.values())


def test_weights_that_explode_in_the_last_step_are_no_result(tmp_path: Path) -> None:
    """The loss of the last batch was finite; what the step made of the weights is not."""
    settings = {"finetune.epochs": 1, "finetune.batch_size": 64, "finetune.lr": 1e30}
    with pytest.raises(TricordError, match=r"stage 'finetune', epoch 1: the loss is not finite"):
        train(settings=settings, folder=tmp_path)
    assert not (tmp_path / MODEL_FILE).exists()


# ------------------------------------------------------------------------- stage 1 from elsewhere


def test_stage_1_from_another_model_is_not_trained_again(whole: TrainedCMC) -> None:
    started = []

    class Watch(Observer):
        def stage_started(self, stage: Stage, progress: Progress) -> None:
            started.append(stage.name)

    late = {"finetune.fusion": "none", "model.modality_dropout": 0.5}
    trained = train(settings=late, pretrained=whole, observer=Watch())
    assert started == ["finetune"]
    tiny_data.assert_same_state(trained.pretrained.unimodal, whole.pretrained.unimodal)
    assert torch.equal(trained.pretrained.labels, whole.pretrained.labels)
    tiny_data.assert_same_state(clone_state(trained.stage1), clone_state(whole.stage1))


def test_stage_1_of_other_settings_is_refused(whole: TrainedCMC) -> None:
    with pytest.raises(ConfigError, match="stage 1 can only be taken from a model with the same"):
        train(settings={"pretrain.lr": 0.5}, pretrained=whole)


@pytest.mark.parametrize(
    "settings",
    [{"model.d": 16}, {"supcon.temperature": 0.5}, {"modalities.layers": 2}],
    ids=lambda s: next(iter(s)),
)
def test_stage_1_of_another_network_or_loss_is_refused(
    settings: dict[str, Any], whole: TrainedCMC
) -> None:
    with pytest.raises(ConfigError, match="stage 1 can only be taken from a model with the same"):
        train(settings=settings, pretrained=whole)


def test_stage_1_of_other_data_is_refused(whole: TrainedCMC) -> None:
    with pytest.raises(ConfigError, match="from a model trained on the same data"):
        train(tiny_data.dataset(seed=7), pretrained=whole)


# ------------------------------------------------------------------------------- a language model


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert.make_folder(tmp_path_factory.mktemp("models") / "bert"))


@pytest.fixture
def tuned(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[TrainedCMC, list[TextEncoder]]]:
    """Trains with the language model finetuned; gives the encoders that were loaded too."""
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    loaded: list[TextEncoder] = []
    load = TextEncoder.from_pretrained

    def counting(*args: Any, **options: Any) -> TextEncoder:
        loaded.append(load(*args, **options))
        return loaded[-1]

    monkeypatch.setattr(TextEncoder, "from_pretrained", counting)

    def run(labels: str, **options: Any) -> tuple[TrainedCMC, list[TextEncoder]]:
        settings = {
            **{"text.encoder": bert, "text.finetune": True, "text.lr": 1e-2},
            **{"pretrain.labels": labels, "pretrain.epochs": 2, "finetune.epochs": 2},
        }
        return train(spoken(), settings, **options), loaded

    return run


def spoken() -> Dataset:
    """With tokens of the tiny vocabulary."""

    def speak(table: FeatureTable) -> FeatureTable:
        text = table.sequences["text"]
        tokens = np.random.default_rng(len(table)).integers(5, 25, len(text.values))
        return replace(table, tokens=replace(text, values=tokens))

    data = tiny_data.dataset()
    return replace(data, splits={name: speak(t) for name, t in data.splits.items()})


@pytest.mark.parametrize("labels", ["pseudo", "ground_truth"])
def test_the_frozen_language_model_becomes_the_one_that_trains(labels: str, tuned: Any) -> None:
    """Not a second one beside it; who asks for the frozen one afterwards gets it as it was."""
    trained, loaded = tuned(labels)
    assert len(loaded) == 1
    assert trained.model.language["text"] is loaded[0]
    frozen = trained.text_source().encoder
    assert frozen is not None
    changed = tiny_data.differs(frozen.state_dict(), loaded[0].state_dict())
    assert any("attention" in name for name in changed)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("labels", ["pseudo", "ground_truth"])
def test_a_finetuned_run_goes_on_to_the_same_bits(
    labels: str, stage: str, tuned: Any, tmp_path: Path
) -> None:
    whole, _ = tuned(labels)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        tuned(labels, folder=out, observer=Stop(stage, 1, at_end=True))
    assert (out / CHECKPOINT_FILE).is_file()
    watch = Watch(out)
    assert_same_training(tuned(labels, folder=out, observer=watch)[0], whole)
    assert watch.started[0] == (stage, 1)
    assert_same_training(load_trained(out), whole)
    assert set(watch.files_at_end()) == COMPLETE


# ------------------------------------------------------------------------------------ the folder


def test_a_saved_model_is_the_same_model(whole: TrainedCMC, tmp_path: Path) -> None:
    whole.save(tmp_path)
    loaded = load_trained(tmp_path)
    assert_same_training(loaded, whole)
    assert loaded.config == whole.config
    assert loaded.widths == whole.widths
    assert (loaded.name, loaded.seed) == ("cmc", 1)
    assert loaded.fingerprint == tiny_data.dataset().fingerprint()
    assert not loaded.model.training
    assert not loaded.stage1.training


def test_a_folder_holds_safetensors_and_json_alone(whole: TrainedCMC, tmp_path: Path) -> None:
    whole.save(tmp_path)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {MODEL_FILE, HISTORY_FILE, WEIGHTS_FILE, STAGE1_FILE}
    about = json.loads((tmp_path / MODEL_FILE).read_text())
    assert set(about["versions"]) >= {"tricord", "torch", "numpy", "transformers", "python"}
    assert about["data"]["fingerprint"] == whole.fingerprint
    assert about["widths"] == tiny_data.WIDTHS
    assert about["size"] == sum(p.numel() for p in whole.model.parameters())


def test_loading_draws_no_random_numbers(whole: TrainedCMC, tmp_path: Path) -> None:
    whole.save(tmp_path)
    before = torch.get_rng_state()
    load_trained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [MODEL_FILE, HISTORY_FILE, WEIGHTS_FILE, STAGE1_FILE])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "cut"])
def test_a_broken_folder_says_which_file(
    name: str, damage: str, whole: TrainedCMC, tmp_path: Path
) -> None:
    whole.save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        new = {"empty": b"", "garbage": b"\x80\x04 nothing", "cut": content[: len(content) // 2]}
        path.write_bytes(new[damage])
    with pytest.raises(ModelError) as error:
        load_trained(tmp_path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a: a.pop("config"), r"model\.json"),
        (lambda a: a.pop("widths"), r"model\.json"),
        (lambda a: a.pop("name"), r"model\.json"),
        (lambda a: a.pop("versions"), r"model\.json"),
        (lambda a: a["data"].pop("fingerprint"), r"model\.json"),
        (lambda a: a["config"].update(preset=None), r"model\.json"),
        (lambda a: a["config"]["model"].update(d=16), "shape|size"),
        (lambda a: a["widths"].update(audio=99), "shape|size"),
        (lambda a: a["config"]["finetune"].update(router="mean"), "router"),
    ],
    ids=range(9),
)
def test_a_description_that_does_not_fit_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], Any], match: str, whole: TrainedCMC, tmp_path: Path
) -> None:
    whole.save(tmp_path)
    about = json.loads((tmp_path / MODEL_FILE).read_text())
    change(about)
    (tmp_path / MODEL_FILE).write_text(json.dumps(about))
    with pytest.raises(ModelError, match=match) as error:
        load_trained(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_description_that_is_a_list_is_refused(whole: TrainedCMC, tmp_path: Path) -> None:
    whole.save(tmp_path)
    (tmp_path / MODEL_FILE).write_text("[1, 2]")
    with pytest.raises(ModelError, match=r"model\.json"):
        load_trained(tmp_path)


def test_unimodal_labels_are_needed_for_cmc_gt() -> None:
    def strip(table: FeatureTable) -> FeatureTable:
        scores = table.scores.copy()
        scores[:, 2] = np.nan
        return replace(table, scores=scores)

    data = tiny_data.dataset()
    bare = Dataset({k: strip(t) for k, t in data.splits.items()}, data.source)
    with pytest.raises(DataError, match=r"^tiny.pkl: no unimodal labels for audio found"):
        train(bare, {"pretrain.labels": "ground_truth"})


def test_valid_needs_a_label_since_it_chooses_the_epoch() -> None:
    data = tiny_data.dataset()
    valid = replace(data["valid"], scores=np.full_like(data["valid"].scores, np.nan))
    with pytest.raises(DataError, match="split 'valid': no clip has a multimodal label"):
        train(replace(data, splits={**data.splits, "valid": valid}))
