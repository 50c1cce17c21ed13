"""Cells: what their key depends on, in what order they are trained, what becomes of a failure."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
from tricord.config import CommonConfig
from tricord.data.derive.subset import retained
from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.simulation.simulate import simulate
from tricord.errors import ConfigError, TricordError
from tricord.experiments.reproduce import cells
from tricord.experiments.reproduce.cells import (
    ROOTS,
    Cell,
    code_version,
    duration,
    is_finished,
    load_cell,
    run_cells,
    sources_of,
)
from tricord.models import registry
from tricord.training.cmc import TrainedCMC
from tricord.training.folder import MODEL_FILE
from tricord.training.run import train_one

CMC = {**tiny_data.SETTINGS, "pretrain.epochs": 1, "finetune.epochs": 1}
EARLY = {"epochs": 1, "hidden": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def tiny() -> Dataset:
    return tiny_data.dataset()


def config(model: str, settings: dict[str, Any]) -> CommonConfig:
    found: CommonConfig = registry.get(model).config("tiny").with_settings(settings)
    return found


def cell(data: Dataset, model: str = "cmc", **changed: Any) -> Cell:
    settings = CMC if model.startswith("cmc") else EARLY
    about = {"seed": 1, "fingerprint": data.fingerprint(), **changed}
    if "config" not in about:
        about["config"] = config(model, settings)
    return Cell("tiny", model, **about)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(cells, "train_one", refuse)


# ------------------------------------------------------------------------------------------ keys


def test_the_key_is_another_for_all_that_changes_the_bits(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cell(tiny)
    others = [
        replace(one, seed=2),
        replace(one, keep=0.4),
        replace(one, base=cell(tiny, "cmc-wo-pfm")),
        replace(one, fingerprint="another"),
        replace(one, config=config("cmc", {**CMC, "pretrain.lr": 0.01})),
        cell(tiny, "early-fusion"),
    ]
    keys = {one.key, *(other.key for other in others)}
    assert len(keys) == 7
    monkeypatch.setattr(cells, "code_version", lambda: "another")
    assert one.key not in keys


def test_the_same_training_under_another_name_is_the_same_cell(tiny: Dataset) -> None:
    without = config("cmc-wo-pfm", CMC)
    assert without == config("cmc", {**CMC, "finetune.fusion": "none"})
    assert cell(tiny, config=without).key == cell(tiny, "cmc-wo-pfm", config=without).key
    assert cell(tiny).key == replace(cell(tiny), preset="elsewhere", label="CMC").key


def test_the_code_version_covers_what_training_needs_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sources_of(ROOTS)
    for name in ("nn.fusion", "plgm", "training.loop", "training.finetune", "data.batching"):
        assert f"tricord.{name}" in found
    for name in ("models.baselines.self_mm", "presets", "features.language", "config"):
        assert f"tricord.{name}" in found
    assert not [n for n in found if n.startswith(("tricord.cli.", "tricord.report", "tricord.api"))]

    def versions_with(text: str) -> str:
        (tmp_path / "a.py").write_text(text)
        code_version.cache_clear()
        return code_version()

    monkeypatch.setattr(cells, "_source", lambda name: tmp_path / "a.py" if "run" in name else None)
    try:
        assert versions_with("x = 1\n") != versions_with("x = 2\n")
        assert versions_with("x = 1\n") == versions_with("x = 1\n")
    finally:
        code_version.cache_clear()


# -------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(
    tiny: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Cell, Cell, list[str]]:
    """(folder, a cell without PFM that starts from CMC's stage 1, the latter, what was said)."""
    folder = tmp_path_factory.mktemp("cells")
    base = cell(tiny)
    variant = cell(tiny, "cmc-wo-pfm", config=config("cmc-wo-pfm", CMC), base=base)
    said: list[str] = []
    assert run_cells([variant], {"tiny": tiny}, folder, say=said.append) == {}
    return folder, variant, base, said


def test_sharing_stage_1_changes_no_bit(
    trained: tuple[Path, Cell, Cell, list[str]], tiny: Dataset
) -> None:
    """PFM has no weights, so that without it the same numbers are drawn."""
    folder, variant, _, _ = trained
    alone = train_one(tiny, variant.config, name="cmc-wo-pfm", seed=1)
    shared = load_cell(variant, folder)
    assert isinstance(alone, TrainedCMC)
    assert isinstance(shared, TrainedCMC)
    tiny_data.assert_same_training(alone, shared)


def test_what_a_cell_starts_from_is_trained_first(
    trained: tuple[Path, Cell, Cell, list[str]],
) -> None:
    folder, variant, base, said = trained
    assert is_finished(base, folder)
    ours, theirs = load_cell(variant, folder), load_cell(base, folder)
    assert isinstance(ours, TrainedCMC)
    assert isinstance(theirs, TrainedCMC)
    tiny_data.assert_same_state(ours.pretrained.unimodal, theirs.pretrained.unimodal)
    assert tiny_data.differs(
        dict(ours.model.unimodal.state_dict()), theirs.model.unimodal.state_dict()
    )
    assert said[0] == "2 cells to train"
    assert said[1].startswith("cell 1 of 2: tiny, cmc, seed 1: ")
    assert said[1].endswith("left")
    assert said[2].startswith("cell 2 of 2: tiny, cmc-wo-pfm, seed 1: ")
    assert "left" not in said[2]


@pytest.mark.usefixtures("nothing_trains")
def test_a_finished_cell_is_not_trained_again(
    trained: tuple[Path, Cell, Cell, list[str]], tiny: Dataset
) -> None:
    folder, variant, base, _ = trained
    said: list[str] = []
    assert run_cells([variant, base, variant], {"tiny": tiny}, folder, say=said.append) == {}
    assert said == []


def test_a_cell_that_fails_keeps_no_other_from_being_trained(tiny: Dataset, tmp_path: Path) -> None:
    without_unimodal = replace(
        tiny,
        splits={
            n: replace(t, scores=t.scores * [1, *[np.nan] * 3]) for n, t in tiny.splits.items()
        },
    )
    bad = cell(tiny, "cmc-gt", config=config("cmc-gt", CMC))
    after = replace(bad, config=config("cmc-gt", {**CMC, "finetune.fusion": "none"}), base=bad)
    good = cell(tiny, "early-fusion")
    said: list[str] = []
    data = {"tiny": without_unimodal}
    failed = run_cells([after, bad, good], data, tmp_path, say=said.append)
    assert set(failed) == {bad.key, after.key}
    assert "no unimodal labels for text" in failed[bad.key]
    assert failed[after.key] == failed[bad.key]
    assert is_finished(good, tmp_path)
    assert not is_finished(bad, tmp_path)
    assert sum("not run: " in line for line in said) == 2


def test_an_error_that_nobody_expected_is_a_reason_with_its_kind(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of\n  memory")

    monkeypatch.setattr(cells, "train_one", breaks)
    one = cell(tiny)
    assert run_cells([one], {"tiny": tiny}, tmp_path) == {one.key: "RuntimeError: out of memory"}


def test_a_reason_names_files_without_their_folder(tiny: Dataset, tmp_path: Path) -> None:
    somewhere = replace(tiny, source=str(tmp_path / "deep" / "tiny.pkl"))
    one = cell(somewhere, "mc-teacher", config=config("mc-teacher", {}))
    (reason,) = run_cells([one], {"tiny": somewhere}, tmp_path / "cells").values()
    assert reason.startswith("tiny.pkl: split 'unlabelled' not found")


def test_an_interruption_is_no_failure(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "train_one", stops)
    with pytest.raises(KeyboardInterrupt):
        run_cells([cell(tiny)], {"tiny": tiny}, tmp_path)


def test_fewer_consistent_clips_are_those_of_the_cells_seed(tiny: Dataset, tmp_path: Path) -> None:
    few = cell(tiny, "early-fusion", keep=0.0, seed=3)
    assert run_cells([few], {"tiny": tiny}, tmp_path) == {}
    assert load_cell(few, tmp_path).fingerprint == retained(tiny, 0.0, 3).fingerprint()
    assert load_cell(few, tmp_path).fingerprint != tiny.fingerprint()


# ------------------------------------------------------------------------------ several processes


class OneThread(ThreadPoolExecutor):
    """Stands for a pool of processes: what goes in and comes out is pickled."""

    def __init__(self, workers: int, _context: Any, start: Any, arguments: Any) -> None:
        assert workers == 2
        assert start is cells._start_worker  # which no thread but a process's first can run
        super().__init__(1, initializer=torch.set_num_threads, initargs=arguments)

    def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Any:
        return super().submit(lambda: copied(copied(function)(*copied(arguments))))


def copied(thing: Any) -> Any:
    pickle.dumps(thing)  # what cannot be pickled could not be sent
    return copy.deepcopy(thing)


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.slow)])
def _processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pretended":
        monkeypatch.setattr(cells, "ProcessPoolExecutor", OneThread)


@pytest.mark.usefixtures("_processes")
def test_processes_give_the_same_bits_and_the_same_reasons(tmp_path: Path) -> None:
    source = tmp_path / "sim.pkl"
    write_mmsa(source, *simulate(scale=0.02, length_scale=0.02))
    data = {"tiny": load(source)}
    base = cell(data["tiny"])
    variant = cell(data["tiny"], "cmc-wo-mcr", config=config("cmc-wo-mcr", CMC), base=base)
    good = [variant, *(cell(data["tiny"], "early-fusion", seed=seed) for seed in (1, 2))]
    bad = cell(data["tiny"], "early-fusion", fingerprint="of other data")
    here, there = tmp_path / "here", tmp_path / "there"
    assert run_cells(good, data, here) == {}
    failed = run_cells([*good, bad], data, there, workers=2)
    assert list(failed) == [bad.key]
    assert "has changed since" in failed[bad.key]
    for one in good:
        a, b = (load_cell(one, folder) for folder in (here, there))
        tiny_data.assert_same_state(dict(a.model.state_dict()), dict(b.model.state_dict()))


class Fragile(OneThread):
    """A pool of which a process is killed where there are several."""

    def __init__(self, workers: int, *others: Any) -> None:
        self.workers = workers
        super().__init__(2, *others)

    def submit(self, function: Any, /, *arguments: Any, **others: Any) -> Any:
        if self.workers == 1:
            return super().submit(function, *arguments, **others)
        broken: Future[str] = Future()
        broken.set_exception(BrokenProcessPool("killed"))
        return broken


def test_a_killed_process_keeps_no_other_cell_from_being_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "ProcessPoolExecutor", Fragile)
    trained: list[int] = []
    monkeypatch.setattr(cells, "train_one", lambda *_, seed, **__: trained.append(seed))
    source = tmp_path / "sim.pkl"
    write_mmsa(source, *simulate(scale=0.02, length_scale=0.02))
    data = {"tiny": load(source)}
    several = [cell(data["tiny"], "early-fusion", seed=seed) for seed in (1, 2)]
    assert run_cells(several, data, tmp_path / "cells", workers=2) == {}
    assert sorted(trained) == [1, 2]


@pytest.mark.usefixtures("nothing_trains")
def test_a_cell_that_another_process_trains_is_waited_for(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def locked(folder: Path) -> Iterator[None]:
        (folder / MODEL_FILE).touch()  # by the time that the other lets it go
        yield

    monkeypatch.setattr(cells, "locked", locked)
    assert run_cells([cell(tiny)], {"tiny": tiny}, tmp_path) == {}


def test_processes_need_a_file_and_there_is_at_least_one(tiny: Dataset, tmp_path: Path) -> None:
    two = [cell(tiny, "early-fusion", seed=seed) for seed in (1, 2)]
    with pytest.raises(ConfigError, match=r"workers: .*tiny\.pkl is no file"):
        run_cells(two, {"tiny": tiny}, tmp_path, workers=2)
    with pytest.raises(ConfigError, match="workers: 0 found, 1 or more expected"):
        run_cells(two, {"tiny": tiny}, tmp_path, workers=0)
    assert not list(tmp_path.iterdir())


def test_a_cell_that_is_not_there_cannot_be_loaded(tiny: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TricordError, match=r"no model\.json found"):
        load_cell(cell(tiny), tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_a_time_is_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
