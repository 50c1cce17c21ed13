"""`.npz` files: the same data as from a pickle; damage, bombs and objects are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.errors import DataError

Arrays = dict[str, Any]


def split(name: str, clips: int = 4) -> Arrays:
    rng = np.random.default_rng(len(name))
    return {
        "id": np.array([f"{name}$_${i}" for i in range(clips)]),
        "audio": rng.normal(size=(clips, 7, 3)),
        "audio_lengths": np.array([7, 1, 6, 2][:clips]),
        "vision": rng.normal(size=(clips, 5, 2)).astype(np.float32),
        "vision_lengths": np.array([5, 5, 1, 2][:clips]),
        "regression_labels": np.array([-0.6, 0.0, 0.2, 1.0][:clips]),
    }


@pytest.fixture
def splits() -> dict[str, Arrays]:
    return {name: split(name) for name in ("train", "valid", "test")}


@pytest.mark.parametrize("separator", ["/", ".", "_"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_splits_in_the_names(
    splits: dict[str, Arrays], tmp_path: Path, separator: str, save: Any
) -> None:
    flat = {f"{s}{separator}{k}": v for s, arrays in splits.items() for k, v in arrays.items()}
    save(tmp_path / "x.npz", **flat)
    write_mmsa(tmp_path / "x.pkl", splits)
    assert load(tmp_path / "x.npz").fingerprint() == load(tmp_path / "x.pkl").fingerprint()


def test_splits_by_mode(splits: dict[str, Arrays], tmp_path: Path) -> None:
    whole = {k: np.concatenate([s[k] for s in splits.values()]) for k in splits["train"]}
    mode = np.repeat(list(splits), 4)
    order = np.random.default_rng(0).permutation(12)
    np.savez(tmp_path / "x.npz", mode=mode[order], **{k: v[order] for k, v in whole.items()})
    data = load(tmp_path / "x.npz")
    assert list(data) == ["train", "valid", "test"]
    for name, arrays in splits.items():
        table, places = data[name], {clip: i for i, clip in enumerate(arrays["id"])}
        rows = [places[clip] for clip in table.ids]
        assert table.scores[:, 0].tolist() == arrays["regression_labels"][rows].tolist()
        assert table.lengths["audio"].tolist() == arrays["audio_lengths"][rows].tolist()


def test_one_split_and_unused_keys(splits: dict[str, Arrays], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **splits["train"])
    assert list(load(tmp_path / "x.npz")) == ["all"]
    np.savez(
        tmp_path / "y.npz", made=np.array(3), **{f"test/{k}": v for k, v in splits["test"].items()}
    )
    data = load(tmp_path / "y.npz")
    assert list(data) == ["test"]
    assert "key 'made' not used" in data.notices


def write_member(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("audio.npy", header("(1000000000000, 5)"), "does not fit"),
        ("audio.npy", header("(-1, 5)") + bytes(20), "does not fit|no readable"),
        ("audio.npy", b"\x93NUMPY\x07\x00abc", "version"),
        ("audio.npy", b"hello", r"no \.npy file"),
        ("id.npy", header("(1000000000000,)", "<U0"), "expected numbers or text"),
        ("readme.txt", b"hello", "expected arrays"),
        ("audio.npy", bytes(300_000_000), "claim to unpack"),
    ],
)
def test_what_no_array_justifies_is_refused(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    write_member(tmp_path / "x.npz", name, content)
    with pytest.raises(DataError, match=reason) as caught:
        load(tmp_path / "x.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'x.npz'}: ")


def test_objects_unknown_modes_and_other_row_counts(
    splits: dict[str, Arrays], tmp_path: Path
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **{**splits["train"], "id": np.array(["a", 3, None, {}], dtype=object)})
    with pytest.raises(DataError, match=r"key 'id\.npy': dtype '\|O' found"):
        load(path)
    np.savez(path, **splits["train"], mode=np.array(["train", "dev", "test", "test"]))
    with pytest.raises(DataError, match="'dev' found, expected"):
        load(path)
    np.savez(path, **splits["train"], mode=np.array(["train", "test"]))
    with pytest.raises(DataError, match="expected 2 rows"):
        load(path)
    for mode in (np.array([b"\xff"] * 4), np.frombuffer(b"\xff\xff\xff\x7f" * 4, "<U1")):
        np.savez(path, **splits["train"], mode=mode)
        with pytest.raises(DataError, match="'mode': text that is no Unicode"):
            load(path)
        np.savez(path, **{**splits["train"], "id": mode})
        with pytest.raises(DataError, match=r"'id': (text that is no Unicode|row 0: bytes)"):
            load(path)
    np.savez(path, **{**splits["train"], "id": np.zeros((10**12, 0), dtype="U1")})
    with pytest.raises(DataError, match=r"'id': shape \(1000000000000, 0\) found"):
        load(path)
    words = np.array(["train"] * 4)
    np.savez(path, **splits["train"], mode=words, **{"a\nb": np.ones(3), "made": np.array(3)})
    with pytest.raises(DataError, match=r"key 'a\\nb': shape \(3,\) found"):
        load(path)
    np.savez(path, **splits["train"], mode=words, made=np.array(3))
    assert "key 'made' not used" in load(path).notices
    path.write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match=r"not an \.npz file"):
        load(path)


def survives(path: Path, content: bytes, seed: int, times: int) -> tuple[int, int]:
    """How many damaged files were read, and how many refused."""
    rng = np.random.default_rng(seed)
    messages = []
    for _ in range(times):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(damaged)))
            if rng.random() < 0.2:
                del damaged[place : place + int(rng.integers(1, 9))]
            else:
                damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            load(path)
        except DataError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)
    return times - len(messages), len(messages)


def example(save: Any) -> bytes:
    file = io.BytesIO()
    save(file, **{f"train/{k}": v for k, v in split("train").items()})
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_loads_or_is_refused(tmp_path: Path, save: Any) -> None:
    assert min(survives(tmp_path / "x.npz", example(save), 1, 150)) > 0


@pytest.mark.slow
def test_ten_thousand_damaged_files(tmp_path: Path) -> None:
    for seed, save in enumerate((np.savez, np.savez_compressed)):
        survives(tmp_path / "x.npz", example(save), 10 + seed, 5000)
