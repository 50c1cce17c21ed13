"""The paper's numbers: all there, possible on its test sets, the same wherever printed twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from tricord.experiments.compare_text import quoted
from tricord.experiments.reproduce.catalogue import EXPERIMENTS
from tricord.experiments.reproduce.measure import SUBSETS, check_claims
from tricord.experiments.reproduce.plan import Experiment, Printed, Row
from tricord.experiments.reproduce.printed import CMU, COLUMNS, SIMS, printed
from tricord.experiments.reproduce.table1 import COUNTS
from tricord.models import registry

TABLES = {name: e for name, e in EXPERIMENTS.items() if isinstance(e, Experiment)}
ACCURACIES = tuple(SUBSETS)
# table -> rows, cells that hold a number
COMPLETE = {
    "table4": (18, 144),
    "table5": (7, 70),
    "table6": (3, 8),
    "table7": (2, 12),
    "table8": (12, 120),
}
# The paper's own three accuracies do not add up here, by one clip.
ODD = {("table4", "MSE-Qwen-1.8B*", "ch-sims-v2")}


@cache
def row(table: str, name: str) -> Row:
    return next(row for row in TABLES[table].rows if row.name == name)


def places() -> Iterator[tuple[str, Row, str, Mapping[str, float]]]:
    for table, experiment in TABLES.items():
        for one in experiment.rows:
            for preset, numbers in one.paper.items():
                yield table, one, preset, numbers


def clips(preset: str) -> dict[str, int]:
    """Of test, by column."""
    columns = ("D_test", "D_msc", "D_msi") if preset in SIMS else ("Acc2",)
    return dict(zip(columns, COUNTS[preset]["test"], strict=True))


def test_every_table_and_figure_of_the_paper_is_there() -> None:
    tables = ("table1", *COMPLETE)
    assert set(EXPERIMENTS) == {*tables, "fig4", "fig5", "fig6", "fig7"}
    assert all(experiment.title for experiment in EXPERIMENTS.values())


@pytest.mark.parametrize("name", COMPLETE)
def test_every_cell_is_there(name: str) -> None:
    rows = TABLES[name].rows
    assert len({row.name for row in rows}) == len(rows)
    cells = sum(len(numbers) for row in rows for numbers in row.paper.values())
    assert (len(rows), cells) == COMPLETE[name]


@pytest.mark.parametrize("name", ["table5", "table7", "table8"])
def test_rows_without_sizes_are_full(name: str) -> None:
    for one in TABLES[name].rows:
        assert set(one.paper) == set(TABLES[name].presets)
        for preset, numbers in one.paper.items():
            assert tuple(numbers) == tuple(c for c in COLUMNS[preset] if c != "Size")


def test_reproduced_rows_of_table_4_are_full() -> None:
    full = [one for one in TABLES["table4"].rows if one.name.endswith("*") or one.name == "CMC"]
    assert len(full) == 8
    for one in full:
        assert {preset: tuple(own) for preset, own in one.paper.items()} == COLUMNS


@pytest.mark.parametrize(
    ("table", "name", "preset", "column", "number"),
    [
        ("table4", "Self-MM", "mosi", "F1", 84.42),
        ("table4", "SDRS", "mosei", "Acc2", 84.37),
        ("table4", "EMT-DLFR*", "ch-sims", "D_msi", 65.60),
        ("table4", "AV-MC*", "mosei", "F1", 81.32),
        ("table4", "MSE-Qwen-1.8B*", "mosi", "F1", 30.42),
        ("table5", "w/o MCR", "ch-sims-v2", "D_msc", 89.94),
        ("table5", "single-task w/o PFM", "mosei", "F1", 83.46),
        ("table5", "CMC-variant", "ch-sims-v2", "D_msi", 78.43),
        ("table6", "Audio", "mosei", "Acc2", 71.15),
        ("table6", "Vision", "ch-sims", "D_test", 78.56),
        ("table7", "CMC-GT", "ch-sims", "D_msc", 92.89),
        ("table8", "0.05", "ch-sims", "D_msi", 76.15),
        ("table8", "0.6", "ch-sims", "D_msi", 67.43),
        ("table8", "1.0", "mosi", "F1", 81.50),
    ],
)
def test_cells_from_here_and_there(
    table: str, name: str, preset: str, column: str, number: float
) -> None:
    assert row(table, name).paper[preset][column] == number


def test_accuracies_are_shares_of_the_test_clips() -> None:
    """A wrong digit is hardly ever a possible number; quoted rows have other test sets."""
    wrong = [
        (table, one.name, preset, column)
        for table, one, preset, numbers in places()
        for column, total in clips(preset).items()
        if one.model not in (None, "mc-teacher") and column in numbers
        if abs(100 * round(numbers[column] * total / 100) / total - numbers[column]) > 0.0051
    ]
    assert wrong == []


def test_both_parts_of_a_test_set_add_up_to_it() -> None:
    odd = set()
    for table, one, preset, numbers in places():
        if not {"D_test", "D_msc", "D_msi"} <= set(numbers):
            continue
        right = {c: round(numbers[c] * n / 100) for c, n in clips(preset).items()}
        if right["D_msc"] + right["D_msi"] != right["D_test"]:
            odd.add((table, one.name, preset))
    assert odd == ODD


@pytest.mark.parametrize("table", ["table4", "table5", "table7"])
def test_the_row_of_cmc_is_the_same_everywhere(table: str) -> None:
    ours, theirs = row(table, "CMC").paper, row("table8", "0.07 (default)").paper
    for preset, numbers in ours.items():
        assert {c: n for c, n in numbers.items() if c != "Size"} == theirs[preset]


@pytest.mark.parametrize(
    ("higher", "lower", "preset", "column", "points"),
    [
        ("CMC", "SDRS", "ch-sims", "D_test", 2.11),
        ("CMC", "AV-MC*", "ch-sims", "D_msc", 2.93),
        ("CMC", "SFTTR*", "ch-sims", "D_msi", 4.59),
        ("CMC", "MC-Teacher", "ch-sims-v2", "D_test", 0.10),
        ("CMC", "MSE-ChatGLM3-6B*", "ch-sims-v2", "D_msc", 0.82),
        ("CMC", "MSE-ChatGLM3-6B*", "ch-sims-v2", "D_msi", 1.65),
        ("SDRS", "CMC", "mosi", "Acc2", 0.37),
        ("SDRS", "CMC", "mosi", "F1", 0.38),
        ("MSE-ChatGLM3-6B", "CMC", "mosei", "Acc2", 2.45),
        ("MSE-ChatGLM3-6B", "CMC", "mosei", "F1", 2.45),
    ],
)
def test_differences_are_those_of_the_text(
    higher: str, lower: str, preset: str, column: str, points: float
) -> None:
    """Section IV-B."""
    a, b = (row("table4", name).paper[preset][column] for name in (higher, lower))
    assert a - b == pytest.approx(points, abs=1e-6)


def test_sizes_are_those_of_the_registry() -> None:
    for one in TABLES["table4"].rows:
        sizes = {preset: own["Size"] for preset, own in one.paper.items() if "Size" in own}
        if sizes:
            assert one.model is not None
            assert sizes == registry.get(one.model).published


def test_the_comparison_of_models_quotes_what_nobody_can_build() -> None:
    assert quoted("ch-sims") == [["SDRS (2025)", "82.79"]]
    assert quoted("ch-sims-v2") == [["TriagedMSA (2025)", "83.75"]]
    assert quoted("mosi") == [["SDRS (2025)", "84.77, F1 84.70"]]
    assert quoted("tiny") == []


@pytest.mark.parametrize("name", COMPLETE)
def test_rows_are_models_whose_settings_exist(name: str) -> None:
    for one in TABLES[name].rows:
        if one.model is None:
            assert one.note
            continue
        for preset in TABLES[name].presets:
            config = registry.get(one.model).config(preset)
            settings = {**one.settings, **one.for_preset.get(preset, {})}
            changed = config.with_settings(settings)
            assert settings == {} or changed != config or "default" in one.name


def test_the_default_temperature_is_the_presets_own() -> None:
    for preset in TABLES["table8"].presets:
        config = registry.get("cmc").config(preset)
        assert config.with_settings(row("table8", "0.07 (default)").settings) == config


@pytest.mark.parametrize(("preset", "shape"), [("ch-sims", (1, 2)), ("ch-sims-v2", (4, 8))])
def test_cmc_gt_has_the_released_settings(preset: str, shape: tuple[int, int]) -> None:
    own = row("table7", "CMC-GT").for_preset[preset]
    config = registry.get("cmc-gt").config(preset).with_settings(own).model_dump()
    assert {(e["layers"], e["heads"]) for e in config["modalities"].values()} == {shape}
    assert config["model"]["output_dropout"] == 0.1
    assert config["pretrain"]["labels"] == "ground_truth"


@pytest.mark.parametrize("name", COMPLETE)
def test_claims_are_those_of_the_paper(name: str) -> None:
    """The paper's own numbers have the direction that its text states, and can be tested."""
    experiment = TABLES[name]
    assert experiment.claims
    assert experiment.caution
    check_claims(experiment.claims, [one.name for one in experiment.rows if one.model])
    for claim, preset in ((c, p) for c in experiment.claims for p in c.presets):
        assert preset in experiment.presets
        assert claim.column in COLUMNS[preset]
        higher, lower = (row(name, n).paper.get(preset, {}) for n in (claim.higher, claim.lower))
        if higher and lower:
            assert higher[claim.column] > lower[claim.column], claim.text


def test_on_mosei_few_temperatures_are_above_the_last() -> None:
    """What the caution of Table VIII says."""
    numbers = {one.name: one.paper["mosei"]["Acc2"] for one in TABLES["table8"].rows}
    assert [n for n, a in numbers.items() if a > numbers["1.0"]] == ["0.07 (default)", "0.05"]


def test_the_grid_of_the_paper_has_120_settings() -> None:
    """Section IV-A-4: layers, heads, dropout; tuning tries these."""
    grid = [choice.values for choice in registry.GRID.values()]
    assert [len(values) for values in grid] == [5, 4, 6]
    assert len(list(itertools.product(*grid))) == 120
    assert registry.get("cmc").search == registry.GRID


def test_printed_leaves_out_dashes() -> None:
    found: Printed = printed((None, 2.0), (), (3.0,), (None, 5.0, 6))
    assert found == {
        "ch-sims": {"D_msc": 2.0},
        "mosi": {"Acc2": 3.0},
        "mosei": {"F1": 5.0, "Size": 6},
    }
    assert set(COLUMNS) == {*SIMS, *CMU}
