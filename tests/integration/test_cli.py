"""The command line, as a user types it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
import tricord
from commands import QUICK, SETTINGS, Said, Type, narrow
from drawn_clips import voice, write_clip
from figures import Drawn, letters
from tricord import api
from tricord.data.readers.mmsa import write_mmsa

COMMANDS = [[], ["demo"], ["simulate"], ["data"], ["data", "show"], ["train"], ["evaluate"]]
COMMANDS += [["predict"], ["importance"]]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def tricord_command(*words: Any) -> list[str]:
    return [sys.executable, "-m", "tricord", *(str(w) for w in words)]


# --------------------------------------------------------------------------------- from end to end


def test_from_nothing_to_predictions(user: Type, tmp_path: Path) -> None:
    sim, run = tmp_path / "sim.pkl", tmp_path / "run"
    said = user("simulate", "--out", sim, "--scale", 0.03, "--length-scale", 0.1, "--seed", 1)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("SIMULATED data (41/14/14 clips) written to")

    said = user("data", "show", sim, "--preset", "ch-sims")
    assert said.code == 0
    assert narrow(said.out)
    for word in ("train", "valid", "test", "41", "14", "768", "33", "709", "SIMULATED", "D_msi"):
        assert word in said.out

    said = user("train", sim, "--preset", "tiny", "--seed", 1, "--seed", 2, "--out", run, *QUICK)
    assert said.code == 0
    assert "SIMULATED" in said.err
    assert said.err.count("stage 1, unimodal: 41 clips") == 2
    assert said.err.count("stage 2, consensus: 41 clips") == 2
    for name in ("text", "audio", "vision"):
        assert said.err.count(f"warning: {name}: no pseudo label could move in 2 epochs") == 1
    assert narrow(said.err)
    assert "acc2 on valid, % (95 % interval), 2 seeds" in said.out
    assert "the test split was not touched" in said.out
    for seed in (1, 2):
        assert (run / f"seed-{seed}" / "model.json").is_file()

    said = user("evaluate", run)
    assert said.code == 0
    assert narrow(said.out)
    for word in ("majority class", "text", "audio", "vision", "stage 1, mean of votes", "cmc"):
        assert word in said.out
    assert "Bayes limit (population)" in said.out
    assert "sign oracle" not in said.out
    assert json.loads((run / "evaluation-test.json").read_text())["split"] == "test"
    assert (run / "report.html").stat().st_size > 1000

    said = user("evaluate", run, "--split", "valid", "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert (found["split"], found["seeds"]) == ("valid", [1, 2])
    assert found == json.loads((run / "evaluation-valid.json").read_text())

    said = user("predict", run, sim, "--out", tmp_path / "p.csv")
    assert (said.code, said.out) == (0, "")
    assert "14 clips of split 'test' written to" in said.err
    with (tmp_path / "p.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 14


def test_settings_reach_the_run(run: Path) -> None:
    config = tricord.load_model(run).best.config.model_dump()
    for path, value in SETTINGS.items():
        part, name = path.split(".")
        assert config[part][name] == value


def test_train_and_test_in_one(sim: Path, user: Type, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = user("train", sim, "--preset", "tiny", "--out", run, "--test", *QUICK)
    assert said.code == 0
    assert "acc2 on valid" in said.out
    assert "acc2 on test" in said.out
    assert "not touched" not in said.out
    assert (run / "report.html").is_file()


def test_training_alone_leaves_no_figure_of_the_test_split(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == {"run.json", "seed-1", "seed-2"}


def test_a_run_on_a_store_is_evaluated_and_used(sim: Path, user: Type, tmp_path: Path) -> None:
    store, run = tmp_path / "sim.tricord", tmp_path / "run"
    assert user("data", "convert", sim, store).code == 0
    assert user("train", store, "--preset", "tiny", "--out", run, *QUICK).code == 0
    assert "acc2 on test" in user("evaluate", run).out
    from_store, from_file = (user("predict", run, path) for path in (store, sim))
    assert from_store.code == 0
    assert from_store.out == from_file.out
    shutil.rmtree(store)
    said = user("evaluate", run)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "is gone" in said.err


@pytest.mark.parametrize("model", ["cmc-variant", "cmc-gt"])
def test_other_models(model: str, sim: Path, user: Type, tmp_path: Path) -> None:
    said = user("train", sim, "--preset", "tiny", "--model", model, "--out", tmp_path / "r", *QUICK)
    assert said.code == 0
    assert model in said.out


def test_released_is_an_option(sim: Path, user: Type, tmp_path: Path) -> None:
    words = ["--set", "pretrain.batch_size=64", "--set", "finetune.batch_size=64"]
    said = user(
        *("train", sim, "--preset", "tiny", "--out", tmp_path / "r", "--released", *QUICK, *words)
    )
    assert said.code == 0
    config = tricord.load_model(tmp_path / "r").best.config
    assert config.model.padding == "ignored"
    assert config.pretrain.epochs == 2


# -------------------------------------------------------------------------------------- predicting


@pytest.fixture
def unlabelled(simulated: tuple[dict[str, dict[str, Any]], Any], tmp_path: Path) -> Path:
    """A file with one split and no label of any kind."""
    test = simulated[0]["test"]
    kept = {k: v for k, v in test.items() if "label" not in k and k != "annotations"}
    path = tmp_path / "new.pkl"
    write_mmsa(path, {"test": kept})
    return path


def test_prediction_needs_no_labels(run: Path, sim: Path, unlabelled: Path, user: Type) -> None:
    said = user("predict", run, unlabelled)
    assert said.code == 0
    rows = list(csv.DictReader(said.out.splitlines()))
    assert len(rows) == 14
    best = tricord.load_model(run).best
    from tricord.inference.predictor import predict

    expected = predict(best, tricord.load(sim), "test")
    for row, probabilities, weights in zip(
        rows, expected.probabilities, expected.weights, strict=True
    ):
        found = [float(row[f"p_{c}"]) for c in ("negative", "neutral", "positive")]
        np.testing.assert_allclose(found, probabilities, atol=1e-6)
        names = ("text", "audio", "vision")
        np.testing.assert_allclose([float(row[f"weight_{n}"]) for n in names], weights, atol=1e-6)
        votes = {row[f"vote_{n}"] for n in names}
        assert row["conflict"] == str(len(votes) > 1)


def test_csv_and_jsonl_say_the_same(
    run: Path, unlabelled: Path, user: Type, tmp_path: Path
) -> None:
    for name in ("p.csv", "p.jsonl"):
        said = user("predict", run, unlabelled, "--out", tmp_path / name)
        assert said.code == 0
        assert said.out == ""
    with (tmp_path / "p.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [{k: str(v) for k, v in line.items()} for line in lines] == table
    assert isinstance(lines[0]["conflict"], bool)


def test_another_split(run: Path, sim: Path, user: Type) -> None:
    said = user("predict", run, sim, "--split", "train")
    assert len(said.out.splitlines()) == 1 + 41


def test_the_only_split_is_taken_and_of_several_one_must_be_named(
    run: Path, simulated: tuple[dict[str, dict[str, Any]], Any], user: Type, tmp_path: Path
) -> None:
    splits = simulated[0]
    write_mmsa(tmp_path / "one.pkl", {"valid": splits["valid"]})
    assert len(user("predict", run, tmp_path / "one.pkl").out.splitlines()) == 1 + 14
    write_mmsa(tmp_path / "two.pkl", {k: splits[k] for k in ("train", "valid")})
    said = user("predict", run, tmp_path / "two.pkl")
    assert_mistake(said, "which split? --split with one of ['train', 'valid']")


def test_one_seed_can_be_used(run: Path, unlabelled: Path, user: Type) -> None:
    outputs = {user("predict", run / f"seed-{s}", unlabelled).out for s in (1, 2)}
    assert len(outputs) == 2
    assert user("predict", run, unlabelled).out in outputs


def test_evaluating_one_seed_leaves_the_runs_table_alone(run: Path, user: Type) -> None:
    for name in ("evaluation-test.json", "report.html"):
        (run / name).write_text("of both seeds")
    said = user("evaluate", run / "seed-2", "--json")
    assert said.code == 0
    assert json.loads(said.out)["seeds"] == [2]
    for name in ("evaluation-test.json", "report.html"):
        assert (run / name).read_text() == "of both seeds"


def test_evaluating_another_file_keeps_nothing(
    run: Path, simulated: tuple[dict[str, dict[str, Any]], Any], user: Type, tmp_path: Path
) -> None:
    write_mmsa(tmp_path / "other.pkl", simulated[0])  # without the record: as if it were real
    said = user("evaluate", run, "--data", tmp_path / "other.pkl")
    assert said.code == 0
    assert "sign oracle" in said.out
    assert "Bayes" not in said.out
    assert not (run / "evaluation-test.json").exists()


def test_below_the_table_stands_what_it_is_no_worse_than_and_what_it_can_show(
    run: Path, sim: Path, user: Type
) -> None:
    said = user("evaluate", run, "--data", sim)
    assert said.code == 0
    assert narrow(said.out)
    words = " ".join(said.out.split())
    assert "logistic regression on" in words
    for kind in ("best single modality, ", "plain mean of the votes (", "logistic regression ("):
        assert kind in words
    assert "Power: a difference below " in words
    found = json.loads(user("evaluate", run, "--data", sim, "--json").out)
    assert len(found["no_worse_than_simple"]["cmc"]) == 3
    assert found["power"]["n"] == 14
    rows = {row["name"]: row["D_test"] for row in found["rows"]}
    assert len(rows["cmc"]["per_seed"]) == 2
    assert rows["cmc"]["t_over_seeds"]["low"] <= rows["cmc"]["accuracy"]
    assert rows["logistic regression on time means"]["t_over_seeds"] is None


# -------------------------------------------------------------------------------------- importance


def test_importance_of_the_modalities(run: Path, user: Type, drawn: Drawn) -> None:
    said = user("importance", run, "--repeats", 2)
    assert said.code == 0, said.err
    assert narrow(said.out)
    assert said.out.startswith("SIMULATED DATA")
    assert "cmc on test: 14 clips, 2 seeds" in said.out
    assert all(name in said.out for name in ("text", "audio", "vision", "rank corr."))
    assert " ".join(said.out.split()).count("The weights ") == 1
    kept = json.loads((run / "importance-test.json").read_text())
    assert (kept["seeds"], kept["repeats"], kept["clips"]) == ([1, 2], 2, 14)
    assert kept["data_fingerprint"] == kept["about"]["data"]["fingerprint"]
    assert "SIMULATED DATA" in letters(drawn["importance-test"])

    said = user("importance", run, "--split", "valid", "--repeats", 1, "--json")
    assert said.code == 0
    assert json.loads(said.out) == json.loads((run / "importance-valid.json").read_text())


def test_importance_needs_weights(sim: Path, user: Type, tmp_path: Path) -> None:
    out = tmp_path / "run"
    tricord.train(sim, "tiny", "early-fusion", out=out, settings={"epochs": 1, "hidden": 4})
    said = user("importance", out)
    assert_mistake(said, "early-fusion: has no weights to compare with; a CMC is needed")
    assert not list(out.glob("importance*"))

    said = user("evaluate", out)  # a baseline's table has the simple row as well
    assert "logistic regression (" in said.out
    assert "plain mean of the votes" not in said.out


# --------------------------------------------------------------------------------- user's mistakes


def assert_mistake(said: Said, *words: str) -> None:
    """One line that names what was wrong; no traceback, nothing on stdout, exit code 2."""
    assert said.code == 2, said
    assert said.out == ""
    assert "Traceback" not in said.err
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said.err
    for word in words:
        assert word in lines[0]


@pytest.fixture
def folder(tmp_path: Path, sim: Path, trained: Path) -> Path:
    """sim.pkl, run, and things that are neither."""
    (tmp_path / "sim.pkl").symlink_to(sim)
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "text.pkl").write_text("this is no pickle")
    (tmp_path / "cut.pkl").write_bytes(sim.read_bytes()[:1000])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work")
    return tmp_path


TRAIN = ["train", "sim.pkl", "--preset", "tiny", "--out", "new"]
MISTAKES: list[tuple[list[str], list[str]]] = [
    (["train", "none.pkl", "--preset", "tiny", "--out", "new"], ["none.pkl: no such file"]),
    (["train", "text.pkl", "--preset", "tiny", "--out", "new"], ["text.pkl"]),
    (["train", "cut.pkl", "--preset", "tiny", "--out", "new"], ["cut.pkl", "truncated"]),
    (["train", "thesis", "--preset", "tiny", "--out", "new"], ["thesis: is a folder"]),
    (["train", "sim.pkl", "--preset", "tinny", "--out", "new"], ["'tinny'", "tiny", "ch-sims"]),
    ([*TRAIN, "--model", "cmc2"], ["'cmc2'", "cmc-variant"]),
    ([*TRAIN, "--set", "finetune.lrr=1"], ["finetune.lrr", "does not exist"]),
    ([*TRAIN, "--set", "nope.lr=1"], ["nope.lr", "does not exist"]),
    ([*TRAIN, "--set", "finetune.lr"], ["'finetune.lr'", "NAME=VALUE"]),
    ([*TRAIN, "--set", "=3"], ["'=3'", "NAME=VALUE"]),
    ([*TRAIN, "--set", "finetune.lr=fast"], ["finetune.lr", "number"]),
    ([*TRAIN, "--set", "finetune.lr=0"], ["finetune.lr", "greater than 0"]),
    ([*TRAIN, "--set", "finetune.lr=NaN"], ["finetune.lr"]),
    ([*TRAIN, "--set", "finetune.lr=Infinity"], ["finetune.lr"]),
    ([*TRAIN, "--set", "modalities.heads=5"], ["heads", "does not divide"]),
    ([*TRAIN, "--set", "modalities.smell.heads=2"], ["modalities.smell.heads", "does not exist"]),
    ([*TRAIN, "--set", "text.encoder=./no-such"], ["./no-such", "does not exist"]),
    ([*TRAIN, "--set", "text.encoder=thesis"], ["thesis", "cannot be loaded"]),
    ([*TRAIN, "--set", "labels.head=regression"], ["PLGM needs classes"]),
    ([*TRAIN, "--seed", "1", "--seed", "1"], ["seed"]),
    ([*TRAIN, "--seed", "one"], ["--seed"]),
    ([*TRAIN, "--speed", "9"], ["--speed"]),
    (["train", "sim.pkl"], ["--out"]),
    (["train", "sim.pkl", "--preset", "tiny"], ["--out"]),
    (["train", "sim.pkl", "--preset", "tiny", "--out", "run"], ["run", "already holds a run"]),
    (["train", "sim.pkl", "--preset", "tiny", "--out", "thesis"], ["thesis", "is not a run"]),
    (["train", "sim.pkl", "--preset", "tiny", "--out", "run", "--resume"], ["another seeds"]),
    (["evaluate", "none"], ["none", "run's folder expected"]),
    (["evaluate", "thesis"], ["thesis", "run's folder expected"]),
    (["evaluate", "run", "--split", "dev"], ["'dev'", "train", "valid", "test"]),
    (["evaluate", "run", "--data", "none.pkl"], ["none.pkl: no such file"]),
    (["predict", "none", "sim.pkl"], ["none", "run's folder expected"]),
    (["predict", "run", "none.pkl"], ["none.pkl: no such file"]),
    (["predict", "run", "text.pkl"], ["text.pkl"]),
    (["predict", "run", "sim.pkl", "--split", "dev"], ["'dev'"]),
    (["predict", "run", "sim.pkl", "--out", "p.xlsx"], ["p.xlsx", ".csv or .jsonl"]),
    (["predict", "run", "sim.pkl", "--out", "thesis/chapter.tex/p.csv"], ["chapter.tex"]),
    (["data", "show", "none.pkl"], ["none.pkl: no such file"]),
    (["data", "show", "sim.pkl", "--preset", "nope"], ["'nope'"]),
    (["data", "shwo", "sim.pkl"], ["shwo"]),
    (["trian"], ["trian"]),
    (["simulate"], ["--out"]),
    (["simulate", "--out", "x.pkl", "--preset", "nope"], ["nope", "ch-sims"]),
    (["simulate", "--out", "x.pkl", "--scale", "0"], ["scale"]),
    (["simulate", "--out", "x.pkl", "--conflict", "2"], ["conflict"]),
    (["simulate", "--out", "none/x.pkl", "--scale", "0.01"], ["x.pkl", "cannot be written"]),
    (["simulate", "--out", "x.pkl", "--labels", "none.csv"], ["none.csv"]),
    (["demo", "--out", "thesis"], ["thesis", "already exists"]),
]


@pytest.mark.parametrize(
    ("words", "expected"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES]
)
def test_a_mistake_is_one_line(
    words: list[str],
    expected: list[str],
    folder: Path,
    user: Type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    before = {p for p in folder.rglob("*") if p.is_file()}
    assert_mistake(user(*words), *expected)
    assert {p for p in folder.rglob("*") if p.is_file()} - before == set()
    assert (folder / "thesis/chapter.tex").read_text() == "years of work"


@pytest.mark.parametrize("words", [[], ["data"]], ids=["tricord", "tricord data"])
def test_without_a_word_there_is_help(words: list[str], user: Type) -> None:
    said = user(*words)
    assert said.code in (0, 2)
    assert "Usage: tricord" in said.out + said.err
    assert "Traceback" not in said.err


def test_data_of_other_widths_is_a_mistake(
    run: Path, simulated: tuple[dict[str, dict[str, Any]], Any], user: Type, tmp_path: Path
) -> None:
    test = dict(simulated[0]["test"])
    test["audio"] = test["audio"][..., :20]
    write_mmsa(tmp_path / "narrow.pkl", {"test": test})
    said = user("predict", run, tmp_path / "narrow.pkl")
    assert_mistake(said, "narrow.pkl", "'audio'", "20 columns", "expects 33")


def test_no_label_to_evaluate_on_is_a_mistake(
    run: Path, simulated: tuple[dict[str, dict[str, Any]], Any], user: Type, tmp_path: Path
) -> None:
    splits = {name: dict(split) for name, split in simulated[0].items()}
    scores = splits["test"]["regression_labels"].copy()
    scores[:] = np.nan
    splits["test"]["regression_labels"] = scores
    write_mmsa(tmp_path / "gaps.pkl", splits)
    said = user("evaluate", run, "--data", tmp_path / "gaps.pkl")
    assert_mistake(said, "gaps.pkl: split 'test': no clip has a label")


def test_a_file_with_the_test_split_alone_is_evaluated(
    run: Path, simulated: tuple[dict[str, dict[str, Any]], Any], user: Type, tmp_path: Path
) -> None:
    """The majority is that of the data trained on."""
    write_mmsa(tmp_path / "alone.pkl", {"test": simulated[0]["test"]})
    whole = json.loads(user("evaluate", run, "--json").out)
    alone = json.loads(user("evaluate", run, "--json", "--data", tmp_path / "alone.pkl").out)
    assert alone["rows"][0] == whole["rows"][0]


def test_data_that_is_gone_is_a_mistake(run: Path, sim: Path, user: Type, tmp_path: Path) -> None:
    shutil.copy(sim, tmp_path / "mine.pkl")
    out = tmp_path / "other"
    assert user("train", tmp_path / "mine.pkl", "--preset", "tiny", "--out", out, *QUICK).code == 0
    (tmp_path / "mine.pkl").unlink()
    assert_mistake(user("evaluate", out), "mine.pkl", "is gone")


# --------------------------------------------------------------------------------- bugs and Ctrl-C


def test_a_bug_of_ours_shows_where(user: Type, sim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the very bug")

    monkeypatch.setattr(api, "config_for", broken)
    said = user("data", "show", sim, "--preset", "tiny")
    assert said.code == 1
    assert "Traceback (most recent call last)" in said.err
    assert "RuntimeError: the very bug" in said.err
    assert said.err.splitlines()[-1].startswith("this is a bug in tricord: please report it")


def test_ctrl_c_elsewhere(user: Type, sim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tricord.data.load.load", stopped)
    said = user("data", "show", sim, "--preset", "tiny")
    assert said.code == 130
    assert "Traceback" not in said.err


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """What a shell runs in the background ignores Ctrl-C, and so would what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_while_training_and_on(sim: Path, user: Type, tmp_path: Path) -> None:
    """A process of its own, stopped by a signal after its first epoch."""
    out = tmp_path / "run [a]"
    settings = ["--set", "pretrain.epochs=400", "--set", "pretrain.patience=400"]
    words = ["train", sim, "--preset", "tiny", "--out", out, "--seed", 3, *QUICK, *settings]
    words += ["--checkpoint-minutes", 0]
    heard = []
    with subprocess.Popen(
        tricord_command(*words),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            heard.append(line)
            if line.startswith("   2"):
                process.send_signal(signal.SIGINT)
                break
        heard += process.stderr.readlines()
    assert process.returncode == 130, heard
    said = "".join(heard)
    assert "Traceback" not in said
    assert "run [a]/seed-3: stage 'pretrain', epoch" in said
    assert "is kept" in said
    assert "give the same command with --resume" in said

    kept = int(said.split("stage 'pretrain', epoch ")[1].split()[0])
    assert 2 <= kept < 400
    description = json.loads((out / "run.json").read_text())
    description["config"]["pretrain"]["epochs"] = kept + 1  # else the test would take long
    (out / "run.json").write_text(json.dumps(description))
    settings = ["--set", f"pretrain.epochs={kept + 1}", "--set", "pretrain.patience=400"]
    words = ["train", sim, "--preset", "tiny", "--out", out, "--seed", 3, *QUICK, *settings]
    resumed = user(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert f"{kept + 1:4d}" in resumed.err
    assert f"{kept:4d}  " not in resumed.err
    assert len(tricord.load_model(out).best.history["pretrain"]) == kept + 1

    longer = {**SETTINGS, "pretrain.epochs": kept + 1, "pretrain.patience": 400}
    straight = tricord.train(sim, "tiny", seed=3, settings=longer)
    tiny_data.assert_same_training(straight.best, tricord.load_model(out).best)


def test_ctrl_c_says_what_is_kept(
    sim: Path, user: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tricord.cli.live import Live

    def stop_at(stage_name: str, epoch: int, seed: int) -> None:
        seen = {"seed": 0}

        def epoch_done(self: Any, stage: Any, progress: Any) -> None:
            seen["seed"] += (stage.name, progress.epoch) == ("pretrain", 1)
            if (stage.name, progress.epoch, seen["seed"]) == (stage_name, epoch, seed):
                raise KeyboardInterrupt

        monkeypatch.setattr(Live, "epoch_done", epoch_done)

    words = ["train", sim, "--preset", "tiny", "--seed", 1, "--seed", 2, *QUICK]
    for out, minutes, kept in (
        ("a", 0, "stage 'finetune', epoch 1 is kept"),
        ("c", 10, "the result of stage 1 is kept"),
    ):
        stop_at("finetune", 1, 2)
        said = user(*words, "--out", tmp_path / out, "--checkpoint-minutes", minutes)
        assert said.code == 130
        flat = " ".join(said.err.split())
        assert "finished and kept: seed-1" in flat
        assert f"seed-2: {kept}" in flat
        assert flat.count("seed-1") == 1
    said = user(*words, "--out", tmp_path / "a", "--resume")
    assert said.code == 0

    def at_once(self: Any, *_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Live, "step_done", at_once)
    said = user(*words, "--out", tmp_path / "b")
    assert said.code == 130
    assert "stopped before anything was kept" in said.err


# -------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("words", COMMANDS, ids=lambda w: " ".join(["tricord", *w]))
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_fits_and_shows_an_example(words: list[str], option: str, user: Type) -> None:
    said = user(*words, option)
    assert (said.code, said.err) == (0, "")
    assert narrow(said.out)
    assert said.out.startswith("Usage: tricord")
    if words not in ([], ["data"], ["demo"]):
        assert f"    tricord {' '.join(words)} " in said.out
    shown = said.out.splitlines()
    assert all(line.strip() not in ("\b", "\\b") for line in shown)


def test_help_of_train_names_every_preset_and_where_the_models_are(user: Type) -> None:
    from tricord.presets import PRESETS

    shown = user("train", "--help").out
    words = set(shown.replace(",", " ").replace(":", " ").replace(".", " ").split())
    assert set(PRESETS) <= words
    assert "tricord models" in " ".join(shown.split())


def test_the_version_is_told(user: Type) -> None:
    assert user("--version").out == f"tricord {tricord.__version__}\n"


def test_commands_that_compute_no_tensor_load_no_torch(sim: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.wav", (), voice(1.0))
    small = ["--scale", "0.01", "--length-scale", "0.1"]
    commands = [
        ["clips", "init", str(tmp_path / "clips")],
        ["data", "show", str(sim)],
        ["data", "check", str(sim)],
        ["data", "convert", str(sim), str(tmp_path / "sim.tricord")],
        ["simulate", "--out", str(tmp_path / "b.pkl"), *small],
    ]
    code = (
        "import sys, tricord.cli as c\n"
        f"for words in {commands!r}:\n"
        "    assert c.run(words) == 0, words\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_help_is_quick_and_loads_no_torch() -> None:
    code = "import sys, tricord.cli as c; c.run(['train', '-h']); sys.exit('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=False
    )
    assert found.returncode == 0
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        subprocess.run(
            tricord_command("--help"), env=environment(), capture_output=True, check=True
        )
        seconds.append(time.monotonic() - start)
    assert statistics.median(seconds) < 2.0  # 0.5 s on a machine that does nothing else


def test_a_reader_that_has_seen_enough_is_no_error(trained: Path, sim: Path) -> None:
    """``tricord predict ... | head -1``"""
    words = tricord_command("predict", trained, sim, "--split", "train")
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert process.returncode == 0, said


def test_an_epoch_s_line_says_what_the_epoch_is_judged_by() -> None:
    from tricord.cli.live import describe_epoch

    for more, shown in (
        ({}, "loss 0.250"),
        ({"valid_accuracy": 0.5}, "loss 0.250 accuracy 0.500"),
        ({"valid_text": 0.5, "valid_supcon": 1.0, "moved_text": 3.0}, "text 0.500 | moved 3"),
        ({"valid_consensus": 0.5, "valid_text": 0.7, "valid_supcon": 1.0}, "consensus 0.500"),
    ):
        row = {"train_loss": 1.0, "valid_loss": 0.25, **more}
        assert describe_epoch(row) == f"loss 1.000 | valid {shown}"
    handed_over = {"valid_consensus": 0.5, "valid_loss": 0.25}
    assert describe_epoch(handed_over) == "as handed over | valid consensus 0.500"
