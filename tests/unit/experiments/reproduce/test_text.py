"""How a result is written down: ours beside the paper's, what it may not be taken for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tricord.evaluation.power import power_note
from tricord.evaluation.statistics import Interval
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.budget import MADE_UP, TOO_SMALL
from tricord.experiments.reproduce.plan import Claim, Experiment, Row
from tricord.experiments.reproduce.result import Found, Number, Outcome, Result
from tricord.experiments.reproduce.text import as_csv, markdown, ours, verdict, write
from tricord.report.words import p_value

CMC = Row("CMC", "cmc", paper={"ch-sims": {"D_test": 84.9, "D_msi": 74.77, "Size": 247_096}})
TEXT = Row("Text|only", "cmc", output="text", note="not in the paper")
QUOTED = Row("SDRS", None, paper={"ch-sims": {"D_test": 82.79}}, note="cannot be built")
FAILED = Row("MSE", "mse", paper={"ch-sims": {"D_msi": 68.81}})
CLAIM = Claim("CMC", "Text|only", "D_test", ("ch-sims",), "fusion helps")


def interval(estimate: float, half: float = 0.02) -> Interval:
    return Interval(estimate, estimate - half, estimate + half, 0.95, "made up", 46)


def number(mean: float, spread: float | None = 0.011) -> Number:
    return Number(interval(mean), spread, [mean - 0.01, mean + 0.01])


def outcome(difference: float, p: float) -> Outcome:
    return Outcome(CLAIM, "ch-sims", interval(difference), p, p)


def result(claims: Sequence[Outcome] = (), **changed: Any) -> Result:
    numbers = {"D_test": number(0.8), "D_msi": number(0.7)}
    found = (
        Found(CMC, "ch-sims", numbers, 247_096, {"preset": "ch-sims"}, ("a", "b")),
        Found(TEXT, "ch-sims", {"D_test": number(0.7654, None)}, 247_096, {}, ("a", "b")),
        Found(QUOTED, "ch-sims", reason="quoted, not run: cannot be built"),
        Found(FAILED, "ch-sims", reason="no reader"),
    )
    rows = [one.row for one in found]
    about = Result(
        experiment=Experiment("table0", "Table 0: made up", ("ch-sims",), rows, (), "Beware."),
        found=found,
        tested=claims,
        columns={"ch-sims": ("D_test", "D_msi", "Size")},
        clips={"ch-sims": {"D_test": 46, "D_msi": 26}},
        seeds=(1, 2),
        budget="paper",
        protocol="default",
        by_hand=(),
        fingerprints={"ch-sims": "0123456789abcdef0123"},
        simulated=False,
        versions={"tricord": "0.1.0"},
    )
    return replace(about, **changed)


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_ours_stands_beside_the_papers_in_every_column() -> None:
    text = markdown(result())
    assert lines(text, "| CMC |") == [
        "| CMC | 80.0 ± 1.1 [78.0, 82.0] | 84.90 | 70.0 ± 1.1 [68.0, 72.0] | 74.77 "
        "| 247,096 | 247,096 |"
    ]
    assert lines(text, "| Text/only |") == [
        "| Text/only | 76.5 [74.5, 78.5] | - | - | - | 247,096 | - |"
    ]
    assert lines(text, "| SDRS |") == ["| SDRS | - | 82.79 | - | - | - | - |"]
    assert "## ch-sims (clips of test: D_test 46, D_msi 26)" in text


def test_what_the_test_set_can_show_stands_below_the_table() -> None:
    text = markdown(result())
    assert power_note(46) in text.split("## ch-sims")[1]
    found = result().to_json()
    assert found["power"]["ch-sims"]["note"] == power_note(46)
    t = found["rows"][0]["ours"]["D_test"]["t_over_seeds"]
    half = 12.7062  # t with 1 degree of freedom, of 79 and 81
    assert (t["low"], t["high"]) == pytest.approx((80 - half, 80 + half), abs=1e-3)


def test_rows_have_their_notes_and_reasons_once() -> None:
    text = markdown(result())
    assert lines(text, "- ") == [
        "- Text|only: not in the paper",
        "- SDRS: quoted, not run: cannot be built",
        "- MSE: not run: no reader",
    ]


def test_protocol_budget_seeds_data_and_versions_are_named() -> None:
    text = markdown(result(by_hand=("cmc.model.d=8",)))
    assert "Protocol default: the epoch that is best on valid" in text
    assert "Budget paper: published settings. Seeds: 1, 2. Set by hand: `cmc.model.d=8`." in text
    assert "Data ch-sims 0123456789abcdef; tricord 0.1.0." in text
    assert "Beware." in text
    assert "Protocol released: every option as in" in markdown(result(protocol="released"))
    assert "Set by hand" not in markdown(result())


def test_simulated_data_are_named_at_the_head_of_every_file(tmp_path: Path) -> None:
    write(result(simulated=True), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"table0.{k}" for k in ("json", "md", "csv")
    }
    assert f"**{SIMULATED}**" in (tmp_path / "table0.md").read_text().splitlines()[:3]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table0.csv").read_text())))
    assert {row["data"] for row in rows} == {"SIMULATED"}
    content = json.loads((tmp_path / "table0.json").read_text())
    assert list(content.items())[:3] == [
        ("kind", "reproduce"),
        ("head", SIMULATED),
        ("simulated", True),
    ]
    for text in (markdown(result()), as_csv(result()), json.dumps(result().to_json())):
        assert SIMULATED not in text


def test_the_json_has_ours_and_the_papers_in_percent() -> None:
    content = result([outcome(0.05, 0.01)]).to_json()
    row = content["rows"][0]
    own = row["ours"]["D_test"]
    assert [own[k] for k in ("mean", "low", "high")] == pytest.approx([80, 78, 82])
    assert own["spread_over_seeds"] == pytest.approx(1.1)
    assert own["per_seed"] == pytest.approx([79, 81])
    assert (own["level"], own["method"]) == (0.95, "made up")
    assert row["paper"] == {"D_test": 84.9, "D_msi": 74.77, "Size": 247_096}
    assert (row["size"], row["cells"], row["not_run"]) == (247_096, ["a", "b"], None)
    assert content["rows"][3]["not_run"] == "no reader"
    claim = content["claims"][0]
    assert claim["difference"]["points"] == pytest.approx(5)
    assert (claim["verdict"], claim["p_holm"]) == ("as in the paper", 0.01)
    json.dumps(content)


def test_the_csv_has_a_line_for_each_row_and_column() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(result()))))
    assert len(rows) == 4 * 3
    by_place = {(row["row"], row["column"]): row for row in rows}
    assert by_place["CMC", "D_test"] == {
        **{"data set": "ch-sims", "row": "CMC", "column": "D_test", "mean": "80.000"},
        **{"sd": "1.100", "low": "78.000", "high": "82.000", "paper": "84.9", "clips": "46"},
        **{"seeds": "2", "not run": ""},
    }
    assert by_place["CMC", "Size"]["mean"] == by_place["CMC", "Size"]["paper"] == "247096"
    assert by_place["Text|only", "D_test"]["sd"] == ""
    failed = by_place["MSE", "D_msi"]
    assert (failed["mean"], failed["paper"], failed["seeds"]) == ("", "68.81", "0")
    assert failed["not run"] == "no reader"


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [
        (0.05, 0.01, "as in the paper"),
        (-0.05, 0.01, "opposite to the paper"),
        (0.05, 0.05, "no direction shown"),
        (-0.05, 0.5, "no direction shown"),
    ],
)
def test_a_claim_is_judged_by_its_corrected_p_and_its_sign(
    difference: float, p: float, words: str
) -> None:
    claim = outcome(difference, p)
    assert claim.verdict == words
    assert words in markdown(result([claim]))
    assert replace(claim, p=0.0001).verdict == words


def test_the_quick_budget_shows_no_direction_whatever_p_is() -> None:
    claim = outcome(0.05, 0.0001)
    quick = result([claim, Outcome(CLAIM, "ch-sims", reason="MSE did not run")], budget="quick")
    assert f"**Budget quick: {TOO_SMALL}.**" in markdown(quick)
    assert [verdict(quick, one) for one in quick.tested] == [
        TOO_SMALL,
        "not tested: MSE did not run",
    ]
    assert quick.to_json()["claims"][0]["verdict"] == TOO_SMALL
    assert "as in the paper" not in markdown(quick)
    assert TOO_SMALL not in markdown(result([claim]))


def test_simulated_data_judge_no_claim_of_the_paper() -> None:
    made_up = result([outcome(0.05, 0.0001)], simulated=True)
    assert verdict(made_up, made_up.tested[0]) == MADE_UP
    assert made_up.to_json()["claims"][0]["verdict"] == MADE_UP
    assert "as in the paper" not in markdown(made_up)
    assert MADE_UP not in markdown(result([outcome(0.05, 0.0001)]))


def test_a_claim_is_told_with_its_interval_and_p() -> None:
    (line,) = lines(markdown(result([outcome(-0.05, 0.0001)])), "| fusion helps |")
    assert line == (
        "| fusion helps | CMC above Text/only | ch-sims | D_test | −5.0 [−7.0, −3.0] | <0.001 "
        "| opposite to the paper |"
    )
    assert "Holm" not in markdown(result())


def test_short_forms() -> None:
    assert ours(number(0.8), brief=True) == "80.0 ± 1.1"
    assert ours(number(0.8, None), brief=True) == "80.0"
    assert ours(None) == "-"
    assert [p_value(p) for p in (0.0009, 0.001, 1.0)] == ["<0.001", "0.001", "1.000"]
