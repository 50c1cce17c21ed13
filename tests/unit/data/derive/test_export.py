"""The written pickle: read back as it was, by us and by what other tools use."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from tricord.data.derive import export
from tricord.data.derive.export import export_mmsa
from tricord.data.derive.pickle_stream import Rows, dump
from tricord.data.gather import deferred
from tricord.data.load import load
from tricord.data.schema import UNLABELLED, UNSPLIT, Dataset, FeatureTable, Ragged
from tricord.data.store import read_store, write_store
from tricord.errors import DataError, TricordError


def with_words(table: FeatureTable) -> FeatureTable:
    """Tokens as long as the text, words, and label words."""
    text = table.sequences["text"]
    rng = np.random.default_rng(len(table))
    signs = np.sign(table.scores[:, 0]).astype(int) + 1
    return replace(
        table,
        tokens=Ragged(rng.integers(0, 21128, len(text.values)), text.offsets, text.padded_length),
        raw_text=tuple(f"很好 {i}" for i in range(len(table))),
        label_names=tuple(np.array(["Negative", "Neutral", "Positive"])[signs].tolist()),
    )


@pytest.fixture
def data() -> Dataset:
    made = tiny_data.dataset((7, 3, 4))
    splits = {name: with_words(table) for name, table in made.splits.items()}
    return replace(made, splits=splits, recipe={"audio": {"tool": "x", "columns": [1, 2]}})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.pkl"


def plain(path: Path) -> dict[str, Any]:
    """As any other tool reads it; the file is our own."""
    return dict(pickle.loads(path.read_bytes()))


def test_the_same_data_come_back(data: Dataset, out: Path) -> None:
    assert export_mmsa(data, out) == ()
    back = load(out)
    assert back.fingerprint() == data.fingerprint()
    assert [t.label_names for t in back.splits.values()] == [
        t.label_names for t in data.splits.values()
    ]
    assert back.recipe["audio"] == {"tool": "x", "columns": [1, 2]}
    assert back.notices == ()
    for name, table in back.splits.items():
        for modality, ragged in table.sequences.items():
            assert ragged.padded_length == data[name].sequences[modality].padded_length


def test_what_other_tools_find(data: Dataset, out: Path) -> None:
    export_mmsa(data, out)
    content = plain(out)
    assert list(content) == ["train", "valid", "test", "config"]
    split, table = content["train"], data["train"]
    assert split["id"] == list(table.ids)
    assert split["raw_text"] == list(table.raw_text or ())
    assert split["annotations"] == list(table.label_names or ())
    for name in ("text", "audio", "vision"):
        assert type(split[name]) is np.ndarray
        assert split[name].dtype == np.float32
        np.testing.assert_array_equal(split[name], table.sequences[name].padded())
    for name in ("audio", "vision"):
        np.testing.assert_array_equal(split[f"{name}_lengths"], table.lengths[name])
    assert table.tokens is not None
    ids, mask, types = split["text_bert"].transpose(1, 0, 2)
    assert split["text_bert"].dtype == np.float32
    np.testing.assert_array_equal(ids, table.tokens.padded())
    np.testing.assert_array_equal(mask.sum(axis=1), table.tokens.lengths)
    assert (mask[:, :-1] >= mask[:, 1:]).all()
    assert not types.any()
    for key, column in zip(["", "_T", "_A", "_V"], table.scores.T, strict=True):
        np.testing.assert_array_equal(split[f"regression_labels{key}"], column)
    np.testing.assert_array_equal(split["classification_labels"], np.sign(table.scores[:, 0]) + 1)
    assert "text_lengths" not in split


def test_no_objects_and_names_that_every_numpy_knows(data: Dataset, out: Path) -> None:
    export_mmsa(data, out)
    program = list(pickletools.genops(out.read_bytes()))
    assert (program[0][0].name, program[0][1]) == ("PROTO", 4)
    names = {argument for op, argument, _ in program if op.name == "GLOBAL"}
    assert names == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
    assert not [op.name for op, *_ in program if op.name == "STACK_GLOBAL"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_from_a_store(data: Dataset, out: Path, tmp_path: Path, dtype: Any) -> None:
    write_store(data, tmp_path / "x.tricord", dtypes=dict.fromkeys(data.modalities, dtype))
    store = read_store(tmp_path / "x.tricord")
    export_mmsa(store, out)
    back = load(out)
    assert (back.fingerprint() == data.fingerprint()) is (dtype == "float32")
    for name, table in back.splits.items():
        for modality, ragged in table.sequences.items():
            assert ragged.values.dtype == np.float32
            rounded = data[name].sequences[modality].values.astype(dtype).astype(np.float32)
            np.testing.assert_array_equal(ragged.values, rounded)


def test_block_by_block_is_the_same_and_is_counted(
    data: Dataset, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_mmsa(data, out)
    whole = out.read_bytes()
    monkeypatch.setattr(export, "_BLOCK_BYTES", 100)
    ticks: list[tuple[int, int]] = []
    export_mmsa(deferred(data), out, lambda done, total: ticks.append((done, total)))
    assert out.read_bytes() == whole
    assert len(ticks) > 20
    assert ticks[-1][0] == ticks[-1][1]
    assert ticks == sorted(ticks)


def test_what_the_layout_lacks_is_said(data: Dataset, out: Path) -> None:
    table = data["train"]
    scores = table.scores.copy()
    scores[0, 2] = scores[1, 0] = np.nan
    split = replace(table, scores=scores, raw_text=None, tokens=None, label_names=None)
    notes = export_mmsa(Dataset({"train": split}, "x"), out)
    assert notes == (
        "not in the data, but expected by MMSA's loader: valid, test, raw_text, text_bert",
        "train: 1 clips without a label, NaN in the file",
        "train: regression_labels_A left out: unknown for 1 clips",
    )
    content = plain(out)["train"]
    assert np.isnan(content["regression_labels"]).tolist() == [False, True] + [False] * 5
    for key in ("regression_labels_A", "classification_labels", "annotations", "raw_text"):
        assert key not in content


def test_words_that_are_no_signs_are_not_numbered(data: Dataset, out: Path) -> None:
    names = ("angry",) * 7
    scores = np.full_like(data["train"].scores, np.nan)
    table = replace(data["train"], label_names=names, scores=scores)
    export_mmsa(Dataset({"train": table}, "x"), out)
    assert not [key for key in plain(out)["train"] if "labels" in key]
    assert load(out)["train"].label_names == names


def test_tokens_without_features_and_absent_modalities(data: Dataset, out: Path) -> None:
    table = data["valid"]
    assert table.tokens is not None
    nothing = np.zeros((len(table.tokens.values), 0), np.float32)
    text = Ragged(nothing, table.tokens.offsets, table.tokens.padded_length)
    audio = table.sequences["audio"].take(np.array([0, 2]))
    gap = Ragged(
        audio.values, np.array([0, audio.offsets[1], audio.offsets[1], audio.offsets[2]]), 4
    )
    table = replace(table, sequences={**table.sequences, "text": text, "audio": gap})
    made = Dataset({"valid": table}, "x")
    export_mmsa(made, out)
    assert "text" not in plain(out)["valid"]
    assert plain(out)["valid"]["audio_lengths"][1] == 0
    assert load(out).fingerprint() == made.fingerprint()


def test_labels_alone_have_no_absent_text(data: Dataset, out: Path) -> None:
    nothing = {
        name: Ragged(np.zeros((0, 0), np.float32), np.zeros(len(data["valid"]) + 1, np.int64), 0)
        for name in data.modalities
    }
    made = Dataset({"valid": replace(data["valid"], sequences=nothing, tokens=None)}, "x")
    assert not any("without text" in note for note in export_mmsa(made, out))


def test_simulation_stays_marked(data: Dataset, out: Path) -> None:
    export_mmsa(replace(data, simulation={"seed": 3, "limits": {"D_test": 0.7}}), out)
    assert load(out).simulation == {"seed": 3, "limits": {"D_test": 0.7}}


def test_what_has_no_place_is_refused(data: Dataset, out: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split 'all' found.*tricord data split"):
        export_mmsa(Dataset({UNSPLIT: replace(data["train"], name=UNSPLIT)}, "x"), out)
    odd = tiny_data.dataset((2, 2, 2), widths={"text": 2, "pulse": 1})
    with pytest.raises(DataError, match=r"key 'pulse' found"):
        export_mmsa(odd, out)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(TricordError, match="cannot be written"):
        export_mmsa(data, tmp_path / "file" / "x.pkl")


def test_a_failure_half_way_leaves_the_old_file(data: Dataset, out: Path, tmp_path: Path) -> None:
    out.write_bytes(b"old")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_mmsa(data, out, stop)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


# --------------------------------------------------------------------------------- the pickle


def dumped(content: dict[str, Any]) -> Any:
    file = io.BytesIO()
    dump(content, file)
    return pickle.loads(file.getvalue())


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@repeatable
@given(st.dictionaries(st.text(), values))
def test_plain_values_come_back(content: dict[str, Any]) -> None:
    assert dumped(content) == content


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6)[::2],
        np.zeros((0, 4), np.float16),
        np.array(3.5),
        np.array(["a", "很好"]),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
    ],
)
def test_arrays_come_back(array: np.ndarray) -> None:
    found = dumped({"a": {"b": array}, "c": lambda: array})
    for back in (found["a"]["b"], found["c"]):
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype.newbyteorder("=")


def test_blocks_must_make_up_the_shape() -> None:
    def blocks(rows: int) -> Iterator[np.ndarray]:
        for row in range(rows):
            yield np.full((1, 2), row, np.float32)

    shape, dtype = (3, 2), np.dtype(np.float32)
    assert dumped({"a": Rows(shape, dtype, blocks(3))})["a"].tolist() == [[0, 0], [1, 1], [2, 2]]
    for rows in (2, 4):
        with pytest.raises(ValueError, match="bytes"):
            dumped({"a": Rows(shape, dtype, blocks(rows))})
    with pytest.raises(ValueError, match="array of objects"):
        dumped({"a": np.array([None])})


def test_long_texts_and_ordered_dictionaries() -> None:
    content = OrderedDict(a="x" * 100_000, b=[b"y" * 100_000] * 3)
    assert dumped(content) == content


def test_clips_without_labels_have_a_place(tmp_path: Path) -> None:
    data = tiny_data.dataset()
    table = tiny_data.table(UNLABELLED)
    table = replace(table, scores=np.full_like(table.scores, np.nan))
    data = replace(data, splits={**data.splits, UNLABELLED: table})
    lacks = export_mmsa(data, tmp_path / "out.pkl")
    assert not any(UNLABELLED in line for line in lacks)
    again = load(tmp_path / "out.pkl")[UNLABELLED]
    assert again.ids == table.ids
    assert np.isnan(again.scores).all()
