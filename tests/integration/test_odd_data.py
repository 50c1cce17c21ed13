"""Data that is not three modalities with three signs for every clip, from file to table."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
import tricord
from tricord.api import Run
from tricord.cli.console import evaluation_table
from tricord.data.readers.mmsa import write_mmsa
from tricord.errors import ConfigError, DataError
from tricord.types import Subset

Splits = dict[str, dict[str, Any]]
Change = Callable[[dict[str, Any]], None]
QUICK = {
    **tiny_data.SETTINGS,
    "pretrain.epochs": 1,
    "finetune.epochs": 1,
    "model.attention_dropout": 0.0,
}


@pytest.fixture
def write(simulated: tuple[Splits, Any], tmp_path: Path) -> Callable[[Change], Path]:
    """Writes the simulated data, each split changed."""

    def change_and_write(change: Change) -> Path:
        splits = copy.deepcopy(simulated[0])
        for split in splits.values():
            change(split)
        path = tmp_path / "odd.pkl"
        write_mmsa(path, splits)
        return path

    return change_and_write


def train(path: Path, settings: Mapping[str, Any] | None = None, preset: str = "tiny") -> Run:
    run = tricord.train(path, preset, settings={**QUICK, **(settings or {})})
    assert all(torch.isfinite(v).all() for v in run.model.state_dict().values())
    for rows in run.best.history.values():
        assert rows
        assert all(math.isfinite(v) for row in rows for v in row.values())
    return run


def rendered(run: Run) -> str:
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as capture:
        console.print(evaluation_table(run.evaluate()))
    return capture.get()


@pytest.mark.parametrize("size", [1, 8], ids=lambda n: f"batches of {n}")
def test_a_batch_of_one(size: int, sim: Path) -> None:
    """41 clips: with 8 the last batch has one."""
    settings = {f"{stage}.batch_size": size for stage in ("pretrain", "finetune")}
    assert train(sim, settings).evaluate().rows


def one_frame(split: dict[str, Any]) -> None:
    for name in ("text", "audio", "vision"):
        split[name] = split[name][:, :1]
        split.pop(f"{name}_lengths", None)
    del split["text_bert"]


@pytest.mark.parametrize("size", [1, 20])
def test_a_batch_of_one_with_one_frame(size: int, write: Callable[[Change], Path]) -> None:
    settings = {f"{stage}.batch_size": size for stage in ("pretrain", "finetune")}
    assert train(write(one_frame), settings).evaluate().rows


def some_unknown(split: dict[str, Any]) -> None:
    if len(split["id"]) > 20:  # train
        split["regression_labels"][::3] = np.nan


def test_unknown_multimodal_labels_are_left_out(write: Callable[[Change], Path]) -> None:
    run = train(write(some_unknown))
    assert set(run.evaluate().clips) == {*Subset}


def some_unimodal_unknown(split: dict[str, Any]) -> None:
    split["regression_labels_A"][::2] = np.nan
    split["regression_labels_T"][1::3] = np.nan


def test_unknown_unimodal_labels_are_left_out_of_cmc_gt(write: Callable[[Change], Path]) -> None:
    run = train(write(some_unimodal_unknown), {"pretrain.labels": "ground_truth"})
    assert set(run.evaluate().clips) == {Subset.TEST}


def test_unknown_labels_in_the_split_that_is_evaluated(write: Callable[[Change], Path]) -> None:
    def change(split: dict[str, Any]) -> None:
        split["regression_labels"][:2] = np.nan

    run = train(write(change))
    evaluation = run.evaluate()
    assert run.data is not None
    assert evaluation.clips[Subset.TEST] == len(run.data["test"]) - 2


def absent_audio(split: dict[str, Any]) -> None:
    split["audio_lengths"][::2] = 0


def test_absent_modalities(write: Callable[[Change], Path]) -> None:
    run = train(write(absent_audio))
    found = run.predict(run.dataset())
    assert (found.weights[::2, 1] == 0).all()
    assert (found.weights[1::2] > 0).all()
    assert run.evaluate().rows


@pytest.mark.parametrize("gone", ["text", "audio", "vision"])
def test_two_modalities(gone: str, write: Callable[[Change], Path]) -> None:
    def change(split: dict[str, Any]) -> None:
        for key in (gone, f"{gone}_lengths", f"regression_labels_{gone[0].upper()}"):
            split.pop(key, None)
        if gone == "text":
            del split["text_bert"]

    run = train(write(change))
    left = [m for m in ("text", "audio", "vision") if m != gone]
    assert list(run.model.modalities) == left
    found = run.predict(run.dataset())
    assert found.votes.shape == (14, 2, 3)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-6)
    assert [row.name for row in run.evaluate().rows if row.name in (*left, gone)] == left


MOODS = ("angry", "calm", "happy", "sad")


def moods(split: dict[str, Any]) -> None:
    for key in [k for k in split if k.startswith(("regression", "classification"))]:
        del split[key]
    split["annotations"] = [MOODS[(i * 7 + i // 3) % 4] for i in range(len(split["id"]))]


def test_words_for_labels(write: Callable[[Change], Path]) -> None:
    run = train(write(moods))
    assert run.best.config.labels.classes == MOODS
    evaluation = run.evaluate()
    assert evaluation.metric == "accuracy"
    assert set(evaluation.clips) == {Subset.TEST}
    cell = evaluation.row("cmc").cells[Subset.TEST]
    assert cell is not None
    assert {"accuracy", "macro_f1"} <= set(cell.metrics)
    assert cell.interval.estimate == pytest.approx(cell.metrics["accuracy"])
    assert "cmc: macro_f1 0." in rendered(run)
    row = next(run.predict(run.dataset()).rows())
    assert row["label"] in MOODS
    assert sum(row[f"p_{m}"] for m in MOODS) == pytest.approx(1, abs=1e-5)


def test_words_beside_their_numbers(write: Callable[[Change], Path]) -> None:
    """As CH-SIMS files have both; here the numbers are those of no sentiment."""

    def change(split: dict[str, Any]) -> None:
        moods(split)
        numbers = [MOODS.index(word) for word in split["annotations"]]
        split["classification_labels"] = np.array(numbers)

    run = train(write(change))
    assert run.best.config.labels.classes == MOODS


def test_a_word_that_train_has_not(write: Callable[[Change], Path]) -> None:
    def change(split: dict[str, Any]) -> None:
        moods(split)
        if len(split["id"]) < 20:
            split["annotations"][2] = "bored"

    with pytest.raises(DataError, match=r"odd\.pkl: split 'valid', key 'annotations': .*'bored'"):
        train(write(change))


REGRESSION = {"labels.head": "regression", "pretrain.labels": "multimodal"}


def test_a_regression_head(sim: Path) -> None:
    run = train(sim, REGRESSION)
    cell = run.evaluate().row("cmc").cells[Subset.TEST]
    assert cell is not None
    assert {"mae", "corr"} <= set(cell.metrics)
    assert run.predict(run.dataset()).outputs.shape == (14, 1)
    shown = rendered(run)
    assert "cmc: mae 0." in shown
    assert "corr" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_regression_head_on_unimodal_scores(sim: Path) -> None:
    assert train(sim, {**REGRESSION, "pretrain.labels": "ground_truth"}).evaluate().rows


def test_a_regression_head_has_no_pseudo_labels(sim: Path) -> None:
    with pytest.raises(ConfigError, match="PLGM needs classes; use 'multimodal' or 'ground_truth'"):
        train(sim, {"labels.head": "regression"})


def wider(split: dict[str, Any]) -> None:
    for key in [k for k in split if k.startswith("regression")]:
        split[key] = split[key] * 3


def test_cmu_polarity(write: Callable[[Change], Path]) -> None:
    path = write(wider)
    with pytest.raises(DataError, match=r"split 'train', key 'regression_labels': label .*-1 to 1"):
        train(path)
    run = train(path, {"modalities.layers": 1}, preset="mosi")
    found = run.predict(run.dataset()).outputs
    truth = run.dataset()["test"].scores[:, 0] >= 0
    cell = run.evaluate().row("cmc").cells[Subset.TEST]
    assert cell is not None
    assert cell.interval.estimate == pytest.approx(((found[:, 2] > found[:, 0]) == truth).mean())
    assert "acc2_non0" in cell.metrics


# the released SupCon divides by a rounded 0 in a batch of one
WHOLE = {"pretrain.batch_size": 64, "finetune.batch_size": 64}


def test_released_options_train_too(sim: Path) -> None:
    data = tricord.load(sim)
    config = tricord.presets.get("tiny").released().with_settings({**QUICK, **WHOLE})
    run = tricord.train(data, "tiny", config=config)
    assert run.model.padding == "ignored"
    assert run.evaluate().rows
