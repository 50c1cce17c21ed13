"""The report, and the data set that gives rise to nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import checked_data
from conftest import ROOT
from tricord.data.check import KNOWN, Severity, Where, check
from tricord.data.check.findings import of_many
from tricord.data.schema import LazySequence, LazySequences, Ragged
from tricord.errors import ConfigError

PACKAGE = ROOT / "src" / "tricord" / "data" / "check"


def test_a_clean_data_set_gives_no_finding() -> None:
    report = check(checked_data.clean())
    assert report.findings == ()
    assert not report.has_errors
    assert report.recognised["name"] is None


def test_the_report_is_json_and_counts_by_severity() -> None:
    clean = checked_data.clean()
    train = clean.splits["train"]
    broken = checked_data.with_split(clean, "valid", ids=train.ids[:150])
    report = check(broken)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["verdict"]["error"] == len(report.of(Severity.ERROR)) > 0
    assert {"rule", "severity", "where", "found", "means", "do"} == set(content["findings"][0])
    assert content["counts"]["splits"]["train"]["clips"] == 300
    ranks = [list(Severity).index(f.severity) for f in report.findings]
    assert ranks == sorted(ranks)


def test_the_fingerprint_is_that_of_the_data() -> None:
    clean = checked_data.clean()
    assert check(clean).fingerprint == clean.fingerprint()


def test_every_sequence_is_read_once() -> None:
    reads: list[tuple[str, str]] = []

    def lazy(split: str, name: str, ragged: Ragged) -> LazySequence:
        def read() -> Ragged:
            reads.append((split, name))
            return ragged

        return LazySequence(name, ragged.lengths, ragged.width, read)

    clean = checked_data.clean()
    on_demand = checked_data.everywhere(
        clean,
        lambda table: replace(
            table,
            sequences=LazySequences(lazy(table.name, n, s) for n, s in table.sequences.items()),
        ),
    )
    assert check(on_demand).findings == ()
    assert sorted(reads) == sorted((s, m) for s in clean for m in clean.modalities)


def test_examples_are_few() -> None:
    where = Where.at(["train", "train"], "audio", columns=range(99), ids=map(str, range(99)))
    assert where.splits == ("train",)
    assert len(where.ids) < 10
    assert len(where.columns) < 20


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="mosie"):
        check(checked_data.clean(), known="mosie")
    assert "mosei" in KNOWN


def test_progress_ends_at_the_total() -> None:
    seen: dict[str, tuple[int, int]] = {}
    check(
        checked_data.clean(), progress=lambda what, done, total: seen.update({what: (done, total)})
    )
    assert set(seen) == {f"{s}, {m}" for s in checked_data.SIZES for m in checked_data.WIDTHS}
    assert all(done == total > 0 for done, total in seen.values())


def test_every_rule_stands_in_the_documentation() -> None:
    sources = "".join(path.read_text("utf-8") for path in PACKAGE.glob("*.py"))
    rules = set(re.findall(r'(?:Finding|across|within)[(,]\n? *"([a-z-]+)",', sources))
    assert {"clip-leak", "clip-duplicate", "not-finite", "shape"} <= rules
    assert len(rules) > 35
    documented = (ROOT / "docs" / "data.md").read_text("utf-8")
    assert not [rule for rule in sorted(rules) if f"`{rule}`" not in documented]


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0.0 %"), (1, "under 0.1 %"), (49, "under 0.1 %"), (50, "0.1 %"), (99_960, "100.0 %")],
)
def test_a_few_are_not_none(count: int, said: str) -> None:
    assert of_many(count, 100_000, "cells") == f"{count} of 100000 cells ({said})"
