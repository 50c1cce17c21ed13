"""Who is best, how the others stand to it, and how that is written down."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tricord.evaluation.rows import Cell, Row
from tricord.evaluation.statistics import Interval, holm, over_seeds
from tricord.experiments.compare_figures import ticks, write_figures
from tricord.experiments.compare_plan import Plan
from tricord.experiments.compare_table import (
    RESAMPLES,
    SIMULATED,
    Compared,
    Measured,
    NotRun,
    against_best,
    best_of,
    versus,
)
from tricord.experiments.compare_text import (
    amount,
    cells,
    markdown,
    quoted,
    three_digits,
    versus_in_words,
)
from tricord.models import registry
from tricord.types import Subset

RIGHT = {  # two seeds, eight clips
    "cmc": [[1, 1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 0, 1]],
    "early-fusion": [[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0]],
    "self-mm": [[1, 1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0, 0]],
}
VIDEOS = np.array(list("aabbccdd"))
CLIPS = {Subset.TEST: 8, Subset.MSC: 4, Subset.MSI: 4}


def measured(name: str, *, size: int = 10, metrics: Mapping[str, float] | None = None) -> Measured:
    right = np.array(RIGHT[name], bool)
    mean = float(right.mean())
    cell = Cell(Interval(mean, mean - 0.1, mean + 0.05, 0.95, "made up", 8), 0.02, metrics or {})
    return Measured(
        name=name,
        row=Row(name, {Subset.TEST: cell, Subset.MSC: cell, Subset.MSI: None}, right),
        config=registry.get(name).config("ch-sims"),
        size=size,
        seconds=[1.0, 3.0],
        frames=[100, 300],
        clips_per_second=1234.5,
    )


def compared(
    names: Sequence[str] = tuple(RIGHT),
    *,
    simulated: bool = False,
    preset: str = "ch-sims",
    not_run: Sequence[NotRun] = (),
    plan: Plan | None = None,
    **options: Any,
) -> Compared:
    rows = [measured(name, **options) for name in names]
    best = best_of(rows)
    return Compared(
        plan=plan or Plan(preset, names, (1, 2)),
        rows=rows,
        not_run=not_run,
        floor=replace(measured("early-fusion").row, name="majority class"),
        best=best.name,
        against=against_best(rows, best, VIDEOS),
        metric="acc2",
        clips=CLIPS,
        limits=dict.fromkeys(CLIPS, 0.9) if simulated else None,
        source="some.pkl",
        fingerprint="f" * 64,
        simulated=simulated,
        versions={"tricord": "0"},
    )


def test_the_highest_mean_is_best_and_of_equal_ones_the_smallest() -> None:
    rows = [measured("early-fusion"), measured("cmc"), measured("self-mm")]
    assert best_of(rows).name == "cmc"
    assert best_of([measured("cmc", size=9), measured("cmc", size=3)]).size == 3


@pytest.mark.parametrize("order", list(itertools.permutations(RIGHT)))
def test_each_other_row_is_tested_against_the_best_and_corrected(order: Sequence[str]) -> None:
    rows = [measured(name) for name in order]
    found = against_best(rows, best_of(rows), VIDEOS)
    assert set(found) == {"early-fusion", "self-mm"}
    plain = {
        name: over_seeds(
            np.array(RIGHT[name]), np.array(RIGHT["cmc"]), VIDEOS, resamples=RESAMPLES
        ).decision
        for name in found
    }
    corrected = dict(zip(plain, holm([c.p for c in plain.values()]), strict=True))
    for name, against in found.items():
        assert against.difference == plain[name].difference
        assert against.p == plain[name].p
        assert against.p_holm == corrected[name]
    assert found["early-fusion"].difference.estimate == pytest.approx(0.5 - 0.875)
    assert found["self-mm"].difference.estimate == pytest.approx(0.75 - 0.875)
    smaller = min(found.values(), key=lambda a: a.p)
    assert smaller.p_holm == min(1, 2 * smaller.p)


def test_the_row_asked_for_minus_each_other_in_every_subset() -> None:
    rows = [measured(name) for name in RIGHT]
    first = np.arange(8) < 4
    masks = {Subset.TEST: first | ~first, Subset.MSC: first, Subset.MSI: np.zeros(8, bool)}
    found = versus(rows, "self-mm", masks, VIDEOS)
    assert set(found.others) == {"cmc", "early-fusion"}
    assert set(found.others["cmc"]) == {Subset.TEST, Subset.MSC}, "no clip, no comparison"
    whole = found.others["cmc"][Subset.TEST]
    best = against_best(rows, best_of(rows), VIDEOS)["self-mm"]
    assert whole.difference.estimate == best.difference.estimate
    assert found.others["early-fusion"][Subset.MSC].difference.estimate == pytest.approx(1 / 8)
    for subset in (Subset.TEST, Subset.MSC):
        p = [by_subset[subset].p for by_subset in found.others.values()]
        assert [b[subset].p_holm for b in found.others.values()] == holm(p).tolist()
    assert found.to_json()["minus"]["cmc"]["D_test"]["p"] == whole.p
    (line, _) = versus_in_words(found)
    assert line.startswith("self-mm minus cmc: D_test −12.5 (")


def test_a_single_row_has_nobody_to_stand_against() -> None:
    only = measured("cmc")
    assert against_best([only], only, VIDEOS) == {}


def test_the_cells_of_a_row() -> None:
    found = compared(metrics={"f1": 0.5, "mae": 0.25, "corr": -0.125})
    rows = {row.name: cells(found, row) for row in found.rows}
    assert rows["cmc"] == {
        "acc2": "87.5", "sd": "2.0", "95 %": "77.5-92.5", "to best": "-", "p": "best",
        "D_msc": "87.5", "D_msi": "-", "F1": "0.500", "MAE": "0.250", "Corr": "-0.125",
        "size": "10", "train s": "2", "frames": "200", "clips/s": "1,234",
    }  # fmt: skip
    assert rows["self-mm"]["to best"] == "−12.5"
    assert rows["self-mm"]["p"] == f"{found.against['self-mm'].p_holm:.3f}"


def test_what_a_model_does_not_give_is_a_dash() -> None:
    found = compared(metrics={"macro_f1": 0.25})
    row = cells(found, found.rows[0])
    assert (row["F1"], row["MAE"], row["Corr"]) == ("0.250", "-", "-")


def test_the_document_has_one_table_of_all_rows() -> None:
    reason = NotRun("av-mc", "a|reason")
    lines = markdown(compared(not_run=[reason])).splitlines()
    table = [line for line in lines if line.startswith("|")]
    head, _, *rows = table[: 2 + 5]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["majority class", *RIGHT, "av-mc"]
    assert len({row.count("|") for row in (head, *rows)}) == 1
    assert "not run: a/reason" in rows[-1]


def test_the_document_says_what_the_budget_was_and_what_was_set_by_hand() -> None:
    text = markdown(compared())
    assert "Budget: each model's own published settings.\n" in text
    assert "by hand" not in text
    text = markdown(compared(plan=Plan("ch-sims", ["cmc"], (1,), 7, {"cmc": {"model.d": 8}})))
    assert "Budget: 7 trials a model" in text
    assert "but for what was set by hand." in text
    assert "Set by hand: `cmc.model.d=8`." in text


@pytest.mark.parametrize("preset", ["ch-sims", "ch-sims-v2", "mosi", "mosei", "tiny"])
@pytest.mark.parametrize("simulated", [True, False])
def test_quoted_rows_stand_beside_real_data_of_the_papers_alone(
    preset: str, simulated: bool
) -> None:
    text = markdown(compared(preset=preset, simulated=simulated))
    for name, numbers in quoted(preset):
        assert (f"| {name} | {numbers} |" in text) == (not simulated)
    assert ("SDRS" in text) == (preset in ("ch-sims", "mosi", "mosei") and not simulated)
    assert ("Quoted from the paper, not run" in text) == (preset != "tiny" and not simulated)
    assert "Quoted" not in json.dumps(compared(preset=preset).to_json())


def test_simulated_data_is_called_so_at_the_head() -> None:
    assert markdown(compared(simulated=True)).splitlines()[2] == f"**{SIMULATED}**"
    assert "SIMULATED" not in markdown(compared())
    found = compared(simulated=True).to_json()
    assert (found["head"], found["simulated"]) == (SIMULATED, True)
    assert (compared().to_json()["head"], compared().to_json()["simulated"]) == (None, False)


@pytest.mark.parametrize("simulated", [True, False])
def test_the_figures_name_every_model_and_say_what_is_simulated(
    simulated: bool, tmp_path: Path
) -> None:
    write_figures(compared(simulated=simulated), tmp_path)
    for cost in ("size", "time"):
        drawn = (tmp_path / f"accuracy-{cost}.svg").read_text()
        assert all(f">{name}</text>" in drawn for name in RIGHT)
        assert ("SIMULATED DATA" in drawn) == simulated
        assert "acc2 on test, %" in drawn
        assert (tmp_path / f"accuracy-{cost}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([3, 40], [1, 2, 5, 10, 20, 50, 100]),
        ([3, 4000], [1, 10, 100, 1000, 10000]),
        ([0, 30], [0, 10, 20, 50, 100]),
        ([0.02], [0.01, 0.02, 0.05, 0.1]),
        ([10], [10]),
        ([0, 0], [0, 1]),
    ],
)
def test_ticks_are_round_and_hold_all_costs(costs: list[float], expected: list[float]) -> None:
    found = ticks(costs)
    assert found == pytest.approx(expected)
    assert min(found) <= min(costs)
    assert max(found) >= max(costs) * (1 - 1e-12)


def test_numbers_have_three_digits_and_no_fraction_where_they_are_large() -> None:
    assert [three_digits(v) for v in (0.01234, 1.5, 99.96, 1234.5)] == [
        *("0.0123", "1.5", "100", "1,234")
    ]
    assert [amount(v) for v in (0, 99_999, 123_456, 12_345_678)] == [
        *("0", "99,999", "0.123 M", "12.3 M")
    ]


def test_a_p_value_is_never_shown_as_zero() -> None:
    found = compared()
    name, against = next(iter(found.against.items()))
    row = next(row for row in found.rows if row.name == name)
    tiny = replace(found, against={name: replace(against, p_holm=2 / RESAMPLES)})
    assert cells(tiny, row)["p"] == "<0.001"
