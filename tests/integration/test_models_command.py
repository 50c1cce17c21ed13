"""`tricord models`."""

from __future__ import annotations

import json

import pytest

from commands import Type, narrow
from tricord.models import registry


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models, one of them in the paper's table."""
    kept = {name: registry.MODELS[name] for name in ("cmc", "early-fusion")}
    monkeypatch.setattr(registry, "MODELS", kept)


def test_every_model_is_listed(user: Type) -> None:
    said = user("models")
    assert (said.code, said.err) == (0, "")
    assert narrow(said.out)
    listed = {line.split(" ")[0] for line in said.out.splitlines()}
    assert listed >= set(registry.MODELS)
    for entry in registry.MODELS.values():
        assert str(entry.year) in said.out


def test_sizes_as_json_are_counted_for_every_model_and_data_set(user: Type) -> None:
    said = user("models", "--sizes", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert list(found) == list(registry.MODELS)
    assert all(
        list(sizes) == ["ch-sims", "ch-sims-v2", "mosi", "mosei"] for sizes in found.values()
    )
    assert found["cmc"] == {
        "ch-sims": 247_096, "ch-sims-v2": 190_624, "mosi": 108_382, "mosei": 111_238
    }  # fmt: skip
    assert all(isinstance(n, int) for sizes in found.values() for n in sizes.values())


def test_counted_sizes_stand_above_the_papers(user: Type, few: None) -> None:
    said = user("models", "--sizes")
    assert said.code == 0
    assert narrow(said.out)
    lines = [line.split() for line in said.out.splitlines()]
    numbers = ["247,096", "190,624", "108,382", "111,238"]
    place = lines.index(["cmc", *numbers])
    assert lines[place + 1] == ["paper", *numbers]
    counted = [f"{n:,}" for n in registry.sizes("early-fusion").values()]
    assert lines[place + 2] == ["early-fusion", *counted]
    assert "printed in Table IV" in said.out
    assert sum(line[:1] == ["paper"] for line in lines) == 1


def test_one_model_in_full(user: Type) -> None:
    said = user("models", "early-fusion")
    assert said.code == 0
    assert narrow(said.out)
    rows = {line[:26].strip(): line[26:].strip() for line in said.out.splitlines()}
    entry = registry.get("early-fusion")
    assert entry.licence in rows["licence"]
    assert rows["hidden"] in ("64", "16, 32, 64, 128")
    assert "0.0001 to 0.01 (log)" in rows["rates.other.lr"]
    words = " ".join(said.out.split())
    for text in (entry.paper, str(entry.year), "size, the paper's -", *entry.search):
        assert text in words


def test_settings_that_differ_between_data_sets_are_given_for_each(user: Type) -> None:
    words = " ".join(user("models", "cmc").out.split())
    assert "model.output_dropout ch-sims: 0.4, ch-sims-v2: 0.3, mosi: 0.5, mosei: 0.0" in words
    assert "model.d 32" in words


def test_facts_as_json(user: Type, few: None) -> None:
    found = json.loads(user("models", "--json").out)
    assert list(found) == ["cmc", "early-fusion"]
    assert found["cmc"]["paper"] == registry.PAPER
    assert found["early-fusion"]["search"]["hidden"] == "16, 32, 64, 128"
    assert json.loads(user("models", "cmc", "--json").out) == {"cmc": found["cmc"]}


def test_a_model_that_does_not_exist_is_one_line(user: Type) -> None:
    said = user("models", "nonsense")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "model 'nonsense' does not exist; there is: cmc" in said.err
