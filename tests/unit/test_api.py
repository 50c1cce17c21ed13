"""`train`, `load_model`, `Run`: folders, several seeds, resume, data that changed."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
import tricord
from tiny_data import assert_same_training
from tricord.api import RUN_FILE, Run, config_for
from tricord.cli.train import command as train_command
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import ConfigError, DataError, ModelError
from tricord.training.checkpoint import read_json, write_json
from tricord.training.folder import CHECKPOINT_FILE, MODEL_FILE
from tricord.training.loop import Observer, Progress, Stage

SETTINGS = {**tiny_data.SETTINGS, "pretrain.epochs": 2, "finetune.epochs": 2}


def train(data: Any = None, seed: Any = 1, out: Any = None, **options: Any) -> Run:
    options = {"settings": SETTINGS, **options}
    return tricord.train(data or tiny_data.dataset(), "tiny", seed=seed, out=out, **options)


def as_arrays(table: FeatureTable) -> dict[str, object]:
    names = {"text": "T", "audio": "A", "vision": "V"}
    columns = zip(table.sequences, table.scores.T[1:], strict=True)
    return {
        "id": list(table.ids),
        "regression_labels": table.scores[:, 0],
        **{f"regression_labels_{names[k]}": column for k, column in columns},
        **{k: s.padded() for k, s in table.sequences.items()},
        **{f"{k}_lengths": table.sequences[k].lengths for k in ("audio", "vision")},
    }


def write(path: Path, data: Dataset) -> Path:
    write_mmsa(path, {name: as_arrays(data[name]) for name in data})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds, and its data, in a folder of their own."""
    place = tmp_path_factory.mktemp("api")
    write(place / "data.pkl", tiny_data.dataset())
    train(place / "data.pkl", [1, 2], place / "run")
    return place


# ----------------------------------------------------------------------------------------- training


def test_train_takes_a_file_or_a_data_set(folder: Path) -> None:
    from_file = train(str(folder / "data.pkl"))
    from_data = train(tricord.load(folder / "data.pkl"))
    assert_same_training(from_file.best, from_data.best)
    assert from_file.name == "cmc"
    assert from_file.folder is None


def test_seeds_do_not_depend_on_each_other(folder: Path) -> None:
    data = tricord.load(folder / "data.pkl")
    both = train(data, [2, 1])
    assert [t.seed for t in both.trained] == [2, 1]
    assert_same_training(both.of_seed(1), train(data, 1).best)
    assert_same_training(both.of_seed(2), tricord.load_model(folder / "run").of_seed(2))
    with pytest.raises(ConfigError, match=r"seed 3 not found, there is \[2, 1\]"):
        both.of_seed(3)


@pytest.mark.parametrize("seeds", [[], [1, 1], [1, 2, 1]])
def test_seeds_must_differ(seeds: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"seed: .* one or more different numbers expected"):
        train(seed=seeds)


@pytest.mark.parametrize("criterion", ["consensus", "loss"])
def test_best_is_the_seed_with_the_smallest_criterion(criterion: str) -> None:
    run = train(seed=[1, 2, 3], settings={**SETTINGS, "finetune.criterion": criterion})
    values = {
        t.seed: min(row[f"valid_{criterion}"] for row in t.history["finetune"]) for t in run.trained
    }
    assert run.best.seed == min(values, key=lambda s: values[s])
    assert run.model is run.best.model


def test_best_of_runs_that_kept_the_last_epoch_is_judged_by_the_last() -> None:
    """What counts is the model that was kept, not one that was thrown away."""
    run = train(seed=[1, 2], settings={**SETTINGS, "finetune.select": "last"})
    script = {1: [0.1, 0.9], 2: [0.5, 0.5]}
    for trained in run.trained:
        for row, value in zip(trained.history["finetune"], script[trained.seed], strict=True):
            row["valid_consensus"] = value
    assert run.best.seed == 2


def test_a_configuration_is_used_as_it_is() -> None:
    config = tiny_data.config({"pretrain.epochs": 1, "finetune.epochs": 1})
    run = tricord.train(tiny_data.dataset(), "tiny", config=config)
    assert run.best.config == config


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"preset": "nope"}, r"preset 'nope' does not exist; there is: ch-sims, .*tiny"),
        ({"preset": "tiny", "model": "nope"}, r"model 'nope' does not exist; there is: cmc, "),
        ({"preset": "tiny", "settings": {"finetune.lrr": 1}}, r"'finetune\.lrr' does not exist"),
        ({"preset": "tiny", "settings": {"finetune.lr": -1}}, r"finetune\.lr: .*greater than 0"),
        ({"preset": "tiny", "settings": {"finetune.router": "x"}}, r"finetune\.router: "),
    ],
)
def test_options_that_do_not_exist_are_named(options: Mapping[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        tricord.train(tiny_data.dataset(), **options)


# ------------------------------------------------------------------------------------------ folders


class StopSecondSeed(Observer):
    """Ctrl-C in the second seed, stage 2, after its first epoch."""

    def __init__(self) -> None:
        self.finetuned = 0

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if stage.name == "finetune" and progress.epoch == 1:
            self.finetuned += 1
            if self.finetuned == 2:
                raise KeyboardInterrupt


def test_resume_of_several_seeds(folder: Path, tmp_path: Path) -> None:
    source = folder / "data.pkl"
    with pytest.raises(KeyboardInterrupt):
        train(source, [1, 2], tmp_path / "run", observer=StopSecondSeed(), checkpoint_minutes=0)
    assert (tmp_path / "run/seed-1" / MODEL_FILE).is_file()
    assert (tmp_path / "run/seed-2" / CHECKPOINT_FILE).is_file()
    partial = tricord.load_model(tmp_path / "run")
    assert [t.seed for t in partial.trained] == [1]
    resumed = train(source, [1, 2], tmp_path / "run", resume=True)
    whole = tricord.load_model(folder / "run")
    for seed in (1, 2):
        assert_same_training(resumed.of_seed(seed), whole.of_seed(seed))
    assert not list(tmp_path.rglob(CHECKPOINT_FILE))


def test_the_command_writes_checkpoints_as_often_as_the_function() -> None:
    defaults = [
        inspect.signature(f).parameters["checkpoint_minutes"].default
        for f in (tricord.train, train_command)
    ]
    assert defaults[0] == defaults[1] > 0


def test_resume_of_a_finished_run_loads_it(folder: Path) -> None:
    class Never(Observer):
        def stage_started(self, stage: Stage, progress: Progress) -> None:
            raise AssertionError("trained again")

    run = train(folder / "data.pkl", [1, 2], folder / "run", resume=True, observer=Never())
    assert [t.seed for t in run.trained] == [1, 2]


def test_resume_where_there_is_nothing_yet_starts(tmp_path: Path) -> None:
    assert train(out=tmp_path / "run", resume=True).best.seed == 1


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"model": "cmc-wo-pfm"}, "model"),
        ({"seed": [1, 2, 3]}, "seeds"),
        ({"seed": 1}, "seeds"),
        ({"settings": {**SETTINGS, "finetune.lr": 0.5}}, "config"),
        ({"settings": {**SETTINGS, "labels.high": 2.0}}, "config"),
        ({"data": "other.pkl"}, "data"),
    ],
    ids=lambda c: str(c)[:30],
)
def test_resume_with_something_else_is_refused(
    change: dict[str, Any], part: str, folder: Path
) -> None:
    write(folder / "other.pkl", tiny_data.dataset(seed=5))
    options = {"data": "data.pkl", "seed": [1, 2], "out": folder / "run", **change}
    options["data"] = folder / options["data"]
    before = (folder / "run" / RUN_FILE).read_bytes()
    with pytest.raises(ConfigError, match=rf"run: holds a run with another {part}; it cannot be"):
        train(**options, resume=True)
    assert (folder / "run" / RUN_FILE).read_bytes() == before


def test_a_run_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"run: already holds a run; name a new folder, or"):
        train(folder / "data.pkl", [1, 2], folder / "run")


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="exists and is not a run; name a new folder"):
        train(out=tmp_path, resume=resume)
    with pytest.raises(ConfigError, match="exists and is not a run; name a new folder"):
        train(out=tmp_path / "thesis.tex", resume=resume)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert train(out=tmp_path).folder == tmp_path


def test_the_description_says_what_and_with_what(folder: Path) -> None:
    about = read_json(folder / "run" / RUN_FILE)
    assert (about["model"], about["seeds"]) == ("cmc", [1, 2])
    assert about["data"]["source"] == str((folder / "data.pkl").resolve())
    assert about["data"]["fingerprint"] == tricord.load(folder / "data.pkl").fingerprint()
    assert set(about["versions"]) >= {"tricord", "torch"}


# ------------------------------------------------------------------------------------------ loading


def test_load_model_of_a_run_and_of_a_seed(folder: Path) -> None:
    run = tricord.load_model(folder / "run")
    assert [t.seed for t in run.trained] == [1, 2]
    one = tricord.load_model(str(folder / "run/seed-2"))
    assert [t.seed for t in one.trained] == [2]
    assert_same_training(one.best, run.of_seed(2))
    assert one.evaluate("valid").seeds == [2]


def test_a_seed_by_itself_can_be_moved(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run/seed-1", tmp_path / "mine")
    run = tricord.load_model(tmp_path / "mine")
    assert len(run.predict(folder / "data.pkl").ids) == 12
    with pytest.raises(DataError, match="no data given to evaluate on"):
        run.evaluate()


@pytest.mark.parametrize("place", ["nowhere", "data.pkl", "."])
def test_what_is_no_run_is_refused(folder: Path, place: str) -> None:
    with pytest.raises(ModelError, match=r"no run\.json or model\.json found, a run's folder"):
        tricord.load_model(folder / place)


def test_a_run_without_a_finished_seed_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "run" / RUN_FILE, tmp_path / RUN_FILE)
    with pytest.raises(ModelError, match="no seed of this run is finished; resume it first"):
        tricord.load_model(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[]", '{"seeds": [1]}', "not JSON", ""])
def test_a_broken_run_file_is_refused(folder: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / RUN_FILE).write_text(content)
    with pytest.raises(ModelError, match=r"run\.json"):
        tricord.load_model(tmp_path / "run")
    with pytest.raises((ConfigError, ModelError), match=r"run"):
        train(folder / "data.pkl", [1, 2], tmp_path / "run", resume=True)


# --------------------------------------------------------------------------- evaluating, predicting


def test_a_run_evaluates_on_what_it_was_trained_on(folder: Path) -> None:
    run = tricord.load_model(folder / "run")
    found = run.evaluate("test").to_json()
    again = run.evaluate("test", folder / "data.pkl").to_json()
    assert found == again
    assert found["seeds"] == [1, 2]
    assert run.evaluate("valid").clips["D_test"] == 9


def test_data_that_has_changed_since_is_refused(folder: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "data.pkl", tiny_data.dataset())
    train(source, 1, tmp_path / "run")
    write(source, tiny_data.dataset(seed=3))
    with pytest.raises(DataError, match=r"data\.pkl: not the data this run was trained on"):
        tricord.load_model(tmp_path / "run").evaluate()
    source.unlink()
    with pytest.raises(DataError, match=r"data\.pkl: the file this run was trained on is gone"):
        tricord.load_model(tmp_path / "run").evaluate()
    assert tricord.load_model(tmp_path / "run").evaluate("test", folder / "data.pkl").rows


def test_a_run_file_without_data_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    about = read_json(tmp_path / "run" / RUN_FILE)
    del about["data"]
    write_json(tmp_path / "run" / RUN_FILE, about)
    with pytest.raises(ModelError, match=r"run\.json"):
        tricord.load_model(tmp_path / "run").evaluate()


def test_a_split_that_does_not_exist(folder: Path) -> None:
    run = tricord.load_model(folder / "run")
    with pytest.raises(DataError, match=r"split 'dev' not found, expected one of \['train', "):
        run.evaluate("dev")
    with pytest.raises(DataError, match=r"split 'dev' not found, expected one of \['train', "):
        run.predict(folder / "data.pkl", "dev")


def test_prediction_needs_no_labels(folder: Path) -> None:
    run = tricord.load_model(folder / "run")
    data = tiny_data.dataset()
    bare = replace(data["test"], scores=np.full((12, 4), np.nan))
    outputs = run.predict(Dataset({"test": bare}, "new.pkl")).outputs
    assert np.array_equal(outputs, run.predict(data).outputs)


# -------------------------------------------------------------------------------- data and settings


def test_the_configuration_follows_the_datas_modalities() -> None:
    data = tiny_data.dataset(widths={"text": 5, "vision": 4})
    config = config_for(data, "ch-sims")
    assert list(config.modalities) == ["text", "vision"]
    strange = tiny_data.dataset(widths={"smell": 5})
    with pytest.raises(ConfigError, match="no settings for 'smell'"):
        config_for(strange, "ch-sims")


def words(data: Dataset, names: tuple[str, ...]) -> Dataset:
    def labelled(table: FeatureTable) -> FeatureTable:
        rows = len(table)
        return replace(
            table,
            scores=np.full((rows, 4), np.nan),
            label_names=tuple(names[i % len(names)] for i in range(rows)),
        )

    return Dataset({k: labelled(t) for k, t in data.splits.items()}, data.source)


def test_words_without_scores_become_nominal_labels() -> None:
    data = words(tiny_data.dataset(), ("calm", "angry", "sad", "happy"))
    config = config_for(data, "tiny")
    assert config.labels.classes == ("angry", "calm", "happy", "sad")
    assert config.labels.polarity is None
    assert config.supcon.labels == "classes"


def test_words_beside_scores_change_nothing() -> None:
    data = tiny_data.dataset()
    both = {k: replace(t, label_names=("Positive",) * len(t)) for k, t in data.splits.items()}
    assert config_for(Dataset(both, "x"), "tiny") == config_for(data, "tiny")


def test_train_checks_labels_before_anything_else(tmp_path: Path) -> None:
    data = tiny_data.dataset()
    scores = data["valid"].scores.copy()
    scores[0, 0] = 7.0
    bad = {**data.splits, "valid": replace(data["valid"], scores=scores)}
    with pytest.raises(DataError, match=r"tiny\.pkl: split 'valid', key 'regression_labels': "):
        train(Dataset(bad, data.source), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_stage_1_may_come_from_another_run() -> None:
    data = tiny_data.dataset()
    first = train(data, [1, 2])
    second = train(data, [2, 1], model="cmc-variant", pretrained=first)
    for seed in (1, 2):
        tiny_data.assert_same_state(
            second.of_seed(seed).pretrained.unimodal, first.of_seed(seed).pretrained.unimodal
        )
    with pytest.raises(ConfigError, match="seed 3 not found"):
        train(data, 3, pretrained=first)


def test_a_run_from_before_a_setting_existed_is_resumed_with_its_default(
    folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    about = dict(read_json(run / RUN_FILE))
    del about["config"]["model"]["score_head"]
    write_json(run / RUN_FILE, about)
    train(folder / "data.pkl", [1, 2], run, resume=True)
    about["config"]["model"]["d"] = 16
    write_json(run / RUN_FILE, about)
    with pytest.raises(ConfigError, match="another config"):
        train(folder / "data.pkl", [1, 2], run, resume=True)


def test_what_is_wrong_in_a_model_s_file_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    shutil.copytree(folder / "run" / "seed-1", seed)
    about = dict(read_json(seed / MODEL_FILE))
    about["config"]["nonsense"] = 1
    write_json(seed / MODEL_FILE, about)
    with pytest.raises(
        ModelError, match=r"no description of a model \(setting nonsense: [\w ]+\)$"
    ):
        tricord.load_model(seed)
