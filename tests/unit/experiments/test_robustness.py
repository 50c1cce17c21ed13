"""Conditions on tiny models: what each number is the mean of, and that text is encoded once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
import tiny_reader
from figures import keep_unsaved
from tiny_bert import SPECIAL, VOCABULARY, make_folder
from tricord import api
from tricord.api import Run
from tricord.data.corrupt import lose_frames, shuffle
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import ConfigError, DataError
from tricord.evaluation.table import evaluate
from tricord.experiments import robustness_conditions
from tricord.experiments.robustness import robustness
from tricord.experiments.robustness_conditions import CONDITIONS, series
from tricord.experiments.robustness_figures import draw_robustness
from tricord.experiments.robustness_models import subject
from tricord.experiments.robustness_result import Robustness, Subsets
from tricord.experiments.robustness_text import lines, markdown, remarks
from tricord.features.language import TextEncoder
from tricord.inference.predictor import predict
from tricord.types import Subset

SHORT = {**tiny_data.SETTINGS, "pretrain.epochs": 1, "finetune.epochs": 1}
EVERY = tuple(CONDITIONS)
RATES, RATIOS = (0.4, 0.9), (20.0, -5.0)


@pytest.fixture(scope="module", autouse=True)
def _few_levels() -> Iterator[None]:
    """Every level is a prediction by every model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness_conditions, "RATES", RATES)
        patch.setattr(robustness_conditions, "RATIOS", RATIOS)
        yield


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tiny_data.dataset()


@pytest.fixture(scope="module")
def run(data: Dataset) -> Run:
    return api.train(data, "tiny", seed=[1, 2], settings=SHORT)


@pytest.fixture(scope="module")
def found(run: Run, data: Dataset) -> Robustness:
    return robustness(run.trained, data, repeats=2)


def right(run: Run, table: FeatureTable) -> list[float]:
    """Accuracy by seed on this table in place of test."""
    row = evaluate({"it": run.trained}, Dataset({"test": table}, "x"), simple=False, floor=run.data)
    return list(row.row("it").right.mean(axis=1))


def per_seed(found: Subsets, subset: Subset = Subset.TEST) -> Sequence[float]:
    there = found[subset]
    assert there is not None
    return there.per_seed


# --- what the numbers are


def test_clean_is_what_evaluate_says(found: Robustness, run: Run) -> None:
    assert run.data is not None
    row = evaluate({"cmc": run.trained}, run.data, simple=False).row("cmc")
    for subset, cell in row.cells.items():
        there = found.clean[subset]
        assert cell is not None
        assert there is not None
        assert there.interval == cell.interval
        assert there.drop is None


def test_all_conditions_and_targets_are_there(found: Robustness) -> None:
    targets = {c: [row.target for row in found.of(c)] for c in EVERY}
    one_by_one = ["text", "audio", "vision"]
    assert targets == {
        "frames": [*one_by_one, "all"],
        "removal": [*one_by_one, "text+audio", "text+vision", "audio+vision"],
        "noise": one_by_one,
        "shift": ["audio", "vision"],
        "shuffle": ["audio", "vision"],
        "transcript": ["text"],
    }
    assert tuple(p.level for p in found.of("frames")[0].points) == RATES
    assert tuple(p.level for p in found.of("noise")[0].points) == RATIOS


def test_a_point_is_the_mean_over_the_protocols_seeds(found: Robustness, run: Run) -> None:
    assert run.data is not None
    table = run.data["test"]
    copies = [lose_frames(table, ["text", "audio", "vision"], 0.9, seed) for seed in (1111, 1112)]
    expected = np.mean([right(run, copy) for copy in copies], axis=0)
    (row,) = (row for row in found.of("frames") if row.target == "all")
    np.testing.assert_allclose(per_seed(row.points[-1].found), expected)
    exchanged = [right(run, shuffle(table, "text", seed)) for seed in (1111, 1112)]
    (row,) = found.of("transcript")
    np.testing.assert_allclose(per_seed(row.points[0].found), np.mean(exchanged, axis=0))


def test_the_mean_is_over_the_rates_and_the_clean_split(found: Robustness) -> None:
    for row in found.of("frames"):
        assert row.mean is not None
        curve = [per_seed(found.clean), *(per_seed(point.found) for point in row.points)]
        assert len(curve) == 3
        np.testing.assert_allclose(per_seed(row.mean), np.mean(curve, axis=0))


def test_the_drop_is_the_difference_to_clean(found: Robustness) -> None:
    clean = found.clean[Subset.MSI]
    assert clean is not None
    for row in found.rows:
        for point in row.points:
            there = point.found[Subset.MSI]
            assert there is not None
            assert there.drop is not None
            difference = clean.interval.estimate - there.interval.estimate
            assert there.drop.estimate == pytest.approx(difference)
            assert there.drop.low <= difference <= there.drop.high


def test_a_removed_modality_is_one_that_the_data_lacks(found: Robustness, run: Run) -> None:
    assert run.data is not None
    table = run.data["test"]
    bare = replace(table, sequences={"audio": table.sequences["audio"]}, scores=table.scores[:, :2])
    (row,) = (row for row in found.of("removal") if row.target == "text+vision")
    np.testing.assert_allclose(per_seed(row.points[0].found), right(run, bare))
    assert row.note == ""


def test_a_model_without_positions_does_not_see_a_shift(found: Robustness) -> None:
    assert all("no output" in row.note for row in found.of("shift"))
    assert not any("no output" in row.note for row in found.of("frames"))
    assert remarks(found)[0] == "* shift: no output of the model changes."


def test_a_model_with_positions_sees_a_shift(data: Dataset) -> None:
    run = api.train(data, "tiny", settings={**SHORT, "model.positions": True})
    found = robustness(run.trained, data, conditions=["shift"])
    assert not any(row.note for row in found.rows)


def test_a_baseline_gets_zeros_for_what_is_removed(data: Dataset) -> None:
    settings = {"epochs": 1, "hidden": 4}
    run = api.train(data, "tiny", "early-fusion", settings=settings)
    found = robustness(run.trained, data, conditions=["removal"], repeats=1)
    assert {row.note for row in found.rows} == {
        "zeros in place of features: the model needs all modalities"
    }
    silent = lose_frames(data["test"], ["vision"], 1.0, 0)
    np.testing.assert_allclose(per_seed(found.rows[2].points[0].found), right(run, silent))
    assert {row.condition for row in found.rows} == {"removal"}


def test_unlabelled_clips_are_left_out(run: Run, data: Dataset, found: Robustness) -> None:
    table = data["test"]
    scores = np.vstack([table.scores, np.full((1, 4), np.nan)])
    rows = np.array([*range(12), 0])
    longer = replace(table.take(rows), ids=(*table.ids, "new$_$1"), scores=scores)
    more = Dataset({**data.splits, "test": longer}, "x")
    again = robustness(run.trained, more, conditions=["shift"])
    assert again.clips[Subset.TEST] == 12
    assert per_seed(again.clean) == per_seed(found.clean)


def test_progress_counts_every_prediction(run: Run, data: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    robustness(
        run.trained,
        data,
        conditions=["shuffle", "removal"],
        repeats=2,
        tick=lambda done, total: seen.append((done, total)),
    )
    total = 2 * (1 + 2 * 2 + 6)
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_what_cannot_be_asked_is_named(run: Run, data: Dataset) -> None:
    with pytest.raises(ConfigError, match="condition 'fog' does not exist; there is: frames, remo"):
        robustness(run.trained, data, conditions=["fog"])
    with pytest.raises(ConfigError, match="no condition: nothing that can be done to text, audio"):
        robustness(run.trained, data, conditions=[])
    with pytest.raises(DataError, match="split 'dev' not found"):
        robustness(run.trained, data, "dev")


# --- text through a language model


@pytest.fixture(scope="module")
def spoken(data: Dataset) -> Dataset:
    """With tokens; no ready features."""

    def told(table: FeatureTable) -> FeatureTable:
        text = table.sequences["text"]
        rng = np.random.default_rng(len(table))
        ids = rng.integers(len(SPECIAL), VOCABULARY, len(text.values))
        tokens = Ragged(ids, text.offsets, text.padded_length)
        bare = replace(text, values=text.values[:, :0])
        return replace(table, tokens=tokens, sequences={**table.sequences, "text": bare})

    return Dataset({name: told(table) for name, table in data.splits.items()}, "spoken.pkl")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens the language model was given, call by call."""
    calls: list[int] = []
    forward = TextEncoder.forward

    def counting(self: TextEncoder, tokens: Any) -> Any:
        calls.append(len(tokens.values))
        return forward(self, tokens)

    monkeypatch.setattr(TextEncoder, "forward", counting)
    return calls


@pytest.mark.parametrize("finetune", [False, True])
def test_text_is_encoded_once_where_it_does_not_change(
    finetune: bool, spoken: Dataset, encoded: list[int], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    settings = {
        **SHORT,
        "text.encoder": str(make_folder(tmp_path / "b")),
        "text.finetune": finetune,
    }
    run = api.train(spoken, "tiny", seed=[1, 2], settings=settings)
    plain = predict(run.best, spoken, "test")
    encoded.clear()
    found = robustness(run.trained, spoken, conditions=["noise", "shuffle", "removal"], repeats=1)
    # a frozen model's states are kept since training; finetuned, each seed has its own
    assert len(encoded) == (2 if finetune else 0)
    assert [row.target for row in found.of("noise")] == ["audio", "vision"]
    ready = subject([run.best], spoken["test"], "spoken.pkl")
    assert ready.unknown == SPECIAL.index("[UNK]")
    again = predict(ready.models[0], Dataset({"test": ready.table}, "x"), "test")
    np.testing.assert_allclose(again.outputs, plain.outputs, rtol=1e-4, atol=1e-5)
    encoded.clear()
    robustness(run.trained, spoken, conditions=["transcript"], repeats=3)
    assert len(encoded) == (2 * (1 + 3) if finetune else 3)


def test_a_model_that_reads_words_loses_words(tmp_path: Path) -> None:
    data = tiny_reader.with_words_in_all(tiny_data.dataset((12, 6, 6)))
    settings = {"reader": str(tiny_reader.make_folder(tmp_path / "r", kind="qwen2")), "epochs": 1}
    run = api.train(data, "tiny", "mse-adapter-qwen-1.8b", settings=settings)
    ready = subject(run.trained, data["test"], "x")
    assert ready.reads == "words"
    plan = series(ready, EVERY, 1, lambda: {"audio": np.ones(3), "vision": np.ones(4)})
    assert {one.condition for one in plan if "text" in one.target} == {
        *("frames", "removal", "transcript")
    }
    (lost,) = (one for one in plan if (one.condition, one.target) == ("removal", "text"))
    silent = lost.levels[0].breaks[0](data["test"])
    assert silent.raw_text == ("",) * 6
    assert len(predict(run.best, Dataset({"test": silent}, "x"), "test").outputs) == 6


# --- how it looks


def test_the_result_is_plain_and_complete(found: Robustness) -> None:
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (plain["seeds"], plain["repeats"], plain["simulated"]) == ([1, 2], 2, False)
    assert plain["trained"]["config"]["preset"] == "tiny"
    assert len(plain["rows"]) == len(found.rows)
    assert plain["rows"][0]["points"][0]["D_test"]["drop"]["level"] == 0.95


def test_the_screen_shows_means_and_worst_levels(found: Robustness) -> None:
    names = [name for name, _ in lines(found)]
    assert names[:3] == ["clean", "frames text, mean 0-90 %", "frames text, 90 %"]
    assert "noise vision, -5 dB" in names
    assert "shift audio*, 50 %" in names
    assert "removal text+audio" in names


def test_the_document_has_every_level_and_says_simulated(found: Robustness) -> None:
    text = markdown(replace(found, simulated=True))
    assert "**SIMULATED DATA" in text
    assert text.count("| vision | 40 % |") == 1
    assert text.count("## ") == len(EVERY)
    assert "SIMULATED" not in markdown(found)


def test_the_title_of_a_single_panel_is_not_cut(
    found: Robustness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = keep_unsaved(monkeypatch)
    draw_robustness(tmp_path / "one", replace(found, rows=found.of("removal"), simulated=True))
    figure = drawn["one"]
    (title,) = figure.texts
    assert title.get_text().startswith("SIMULATED DATA")
    assert title.get_window_extent().x1 <= figure.bbox.x1
