"""States as safetensors, JSON, generators."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from builders import repeatable
from tricord.errors import ModelError
from tricord.training.checkpoint import (
    generators,
    load_tree,
    read_json,
    restore_generators,
    save_tree,
    write_json,
)

TREE = {
    "epoch": 3,
    "done": False,
    "best": None,
    "loss": 0.1 + 0.2,
    "infinite": math.inf,
    "name": "stage",
    "empty": {},
    "nothing": [],
    "optimizer": {"state": {0: {"step": torch.tensor(5.0)}, 1: {}}, "groups": [{"lr": 1e-3}]},
    "tensors": [
        torch.arange(6, dtype=torch.int64).view(2, 3),
        torch.tensor(True),
        torch.zeros(0, 3),
        torch.tensor([1.5], dtype=torch.float64),
        torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
        torch.get_rng_state(),
    ],
    "tensor": {"tensor": 0, "dict": [], "list": {}},  # names that the format itself uses
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return (
            isinstance(other, Tensor)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and torch.equal(one.nan_to_num(9), other.nan_to_num(9))
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    save_tree(tmp_path / "s.safetensors", TREE)
    back = load_tree(tmp_path / "s.safetensors")
    assert same(TREE, back)
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.lists(st.integers(-5, 5), max_size=3).map(torch.tensor),
)
TREES = st.recursive(
    LEAVES,
    lambda t: st.one_of(
        st.lists(t, max_size=3), st.dictionaries(st.one_of(st.text(), st.integers()), t, max_size=3)
    ),
    max_leaves=8,
)


@repeatable
@given(tree=TREES)
def test_any_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    save_tree(path, tree)
    assert same(tree, load_tree(path))


def test_an_optimizer_state_comes_back(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    save_tree(tmp_path / "o", optimizer.state_dict())
    twin_weight = torch.nn.Parameter(weight.detach().clone())
    twin = torch.optim.Adam([twin_weight], lr=0.5)
    twin.load_state_dict(load_tree(tmp_path / "o"))
    for w, o in ((weight, optimizer), (twin_weight, twin)):
        w.grad = torch.tensor([1.0, -2.0, 3.0])
        o.step()
    assert torch.equal(weight, twin_weight)


def test_views_and_shared_tensors_are_saved(tmp_path: Path) -> None:
    base = torch.arange(6.0).view(2, 3)
    save_tree(tmp_path / "v", {"a": base.T, "b": base, "c": base[0], "g": base.requires_grad_()})
    back = load_tree(tmp_path / "v")
    assert torch.equal(back["a"], base.T)
    assert torch.equal(back["c"], base[0])
    assert not back["g"].requires_grad


def test_a_tensor_is_written_from_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A language model with its optimiser must not be copied to be saved."""

    def copied(*_: Any) -> Tensor:
        raise AssertionError("copied")

    tree = {"a": torch.arange(6.0), "b": torch.nn.Parameter(torch.ones(2, 2)), "c": torch.ones(3)}
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "clone", copied)
        save_tree(tmp_path / "s", tree)
    assert same({k: v.detach() for k, v in tree.items()}, load_tree(tmp_path / "s"))


def test_a_loaded_tree_may_be_changed_and_the_file_replaced(tmp_path: Path) -> None:
    save_tree(tmp_path / "s", {"a": torch.ones(3)})
    first = load_tree(tmp_path / "s")
    first["a"] += 1
    assert torch.equal(load_tree(tmp_path / "s")["a"], torch.ones(3))
    save_tree(tmp_path / "s", {"a": torch.zeros(3)})
    assert torch.equal(first["a"], torch.full((3,), 2.0))


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_tree(path, {"a": 1})
    with pytest.raises(TypeError, match="object cannot be saved"):
        save_tree(path, {"a": object()})
    assert load_tree(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, part: float) -> None:
    path = tmp_path / "s.safetensors"
    save_tree(path, TREE)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ModelError, match=f"{path}: not a state that tricord wrote"):
        load_tree(path)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: file not found"):
        load_tree(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="not a state"):
        load_tree(tmp_path)
    for content in (b"\x80\x04N.", b"text", b"\xff" * 100):
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(ModelError, match="not a state"):
            load_tree(tmp_path / "f")


@pytest.mark.parametrize(
    "outline",
    [
        None,
        "",
        "{",
        '{"tensor": "1"}',
        '{"a": 1}',
        '{"dict": 5}',
        '{"list": 5}',
        '{"dict": [[{}, 1]]}',
    ],
)
def test_an_outline_that_makes_no_sense_is_refused(tmp_path: Path, outline: str | None) -> None:
    metadata = None if outline is None else {"tree": outline}
    save_file({"0": torch.zeros(1)}, tmp_path / "f", metadata=metadata)
    with pytest.raises(ModelError, match="not a state"):
        load_tree(tmp_path / "f")


def test_json_round_trip_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    content = {"name": "情感", "values": [1, 0.1, None, True]}
    write_json(path, content)
    assert read_json(path) == content
    assert "情感" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"loss": math.nan})
    assert read_json(path) == content
    with pytest.raises(ModelError, match=r"b\.json: file not found"):
        read_json(tmp_path / "b.json")
    for broken in (b"{", b"\xff\xfe", json.dumps(content).encode()[:-3]):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match=r"a\.json: not JSON"):
            read_json(path)


def test_generators_continue_where_they_were(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.rand(3)
    save_tree(tmp_path / "g", generators())
    expected = torch.rand(5)
    torch.manual_seed(99)
    restore_generators(load_tree(tmp_path / "g"))
    assert torch.equal(torch.rand(5), expected)
