"""A pickle may hold arrays and plain containers; whatever else it asks for never runs."""

from __future__ import annotations

import codecs
import contextlib
import gc
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from numpy._core import numeric as numpy_numeric

from tricord.data.readers.pickle_safe import load_pickle
from tricord.errors import DataError

CONTENT = {
    "c order": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "objects": np.array(["a", None, 2.5], dtype=object),
    "strings": np.array(["ab", "c"]),
    "other byte order": np.arange(3, dtype=">i4"),
    "empty": np.zeros((2, 0, 3), dtype=np.float32),
    "no axis": np.array(3.0),
    "scalars": [np.float32(1.5), np.int64(3), np.bool_(True), np.str_("xy")],
    "plain": (1, 2.5, None, True, b"12", b"", {"k": ["v"]}),
    "ordered": OrderedDict(a=1),
}


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_pickle(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_containers_come_back_equal(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol))
    found = load_pickle(path)
    assert found.keys() == CONTENT.keys()
    for key in [key for key, value in CONTENT.items() if isinstance(value, np.ndarray)]:
        np.testing.assert_array_equal(found[key], CONTENT[key])
        assert found[key].shape == CONTENT[key].shape
    assert found["c order"].dtype == np.float64
    assert found["scalars"] == [1.5, 3, True, "xy"]
    assert found["plain"] == CONTENT["plain"]
    assert found["ordered"] == {"a": 1}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("rows", [2, 20_000])  # the large ones stay in the file
def test_arrays_in_arrays_of_objects_and_named_twice(
    tmp_path: Path, protocol: int, rows: int
) -> None:
    inner = [np.arange(4.0 * rows).reshape(rows, 4) + i for i in range(3)]
    clips = np.empty(3, dtype=object)
    clips[:] = inner
    content = {"clips": clips, "again": clips, "grid": np.array([[inner, None]], dtype=object)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({**content, "first": inner[0]}, protocol))
    found = load_pickle(tmp_path / "x.pkl")
    assert found["clips"].shape == (3,)
    assert found["again"] is found["clips"]
    assert found["clips"][0] is found["first"]
    for clip, expected in zip(found["clips"], inner, strict=True):
        assert type(clip) is np.ndarray
        assert not clip.flags.writeable
        np.testing.assert_array_equal(clip, expected)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_was_read_is_let_go_at_once(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([b"a" * 1000] * 9 + [np.ones(10**6)], protocol))
    tracemalloc.start()
    gc.disable()  # nothing is left for it to find
    try:
        for _ in range(3):
            load_pickle(tmp_path / "x.pkl")
        assert tracemalloc.get_traced_memory()[0] < 10**5
    finally:
        gc.enable()
        tracemalloc.stop()


def test_names_of_old_and_new_numpy_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    content = pickle.dumps(np.arange(3.0), 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in content
    path.write_bytes(content)
    np.testing.assert_array_equal(load_pickle(path), [0, 1, 2])


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function: object, *args: object, state: object = None) -> None:
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


def _hostile(name: str, marker: Path) -> object:
    import os
    import subprocess

    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    inner = pickle.dumps(Calls(os.system, f"touch {marker}"), 2)
    scalar = np.float64(0).__reduce__()[0]
    rebuild = np.zeros(1).__reduce__()[0]
    return {
        "os.system": lambda: Calls(os.system, f"touch {marker}"),
        "eval": lambda: Calls(eval, code),
        "exec": lambda: Calls(exec, code),
        "getattr": lambda: Calls(getattr, Calls(__import__, "os"), "system"),
        "subprocess": lambda: Calls(subprocess.Popen, ["touch", str(marker)]),
        "nested": lambda: {"train": [{"x": (Calls(os.system, f"touch {marker}"),)}]},
        "pickle in a scalar": lambda: Calls(scalar, np.dtype("O"), inner),
        "loads": lambda: Calls(pickle.loads, inner),
        "inside an array": lambda: np.array([Calls(eval, code), 1], dtype=object),
        "state": lambda: Calls(rebuild, Calls(eval, code), (0,), b"b"),
        "setstate": lambda: Calls(Path, "x", state=Calls(eval, code)),
        "key": lambda: {Calls(eval, code): 1},
    }[name]()


HOSTILE = {
    "os.system": ".system'",
    "eval": "'builtins.eval'",
    "exec": "'builtins.exec'",
    "getattr": "'builtins.getattr'",
    "subprocess": "'subprocess.Popen'",
    "nested": ".system'",
    "pickle in a scalar": "scalar of objects",
    "loads": "loads'",
    "inside an array": "eval'",
    "state": "eval'",
    "setstate": "Path'",
    "key": "eval'",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [3, 4])
def test_nothing_of_a_hostile_pickle_runs(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "it ran"
    content = pickle.dumps(_hostile(name, marker), protocol)
    assert HOSTILE[name] in refused(tmp_path / "x.pkl", content)
    assert not marker.exists()


def test_the_hostile_examples_do_run_in_an_ordinary_reader(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    marker = tmp_path / "ran"
    for name in ("os.system", "eval", "nested", "inside an array"):
        pickle.loads(pickle.dumps(_hostile(name, marker), 2))
        assert marker.exists(), name
        marker.unlink()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"cposix\nsystem\n(S'true'\ntR.", "'posix.system'"),
        (b"(S'true'\niposix\nsystem\n.", "'posix.system'"),
        (b"(cposix\nsystem\nS'true'\no.", "'posix.system'"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0bcore.os.sys\x93.", "'numpy.core.os.sys'"),
        (b"cnumpy\nload\n(S'x'\ntR.", "'numpy.load'"),
        (b"cnumpy\nndarray\n(I9\ntR.", "not a readable pickle"),
        (b"cnumpy\nndarray\n}S'x'\nI1\nsb.", "not a readable pickle"),  # a state for a class
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "not a readable pickle"),
        (b"Pname\n.", "outside the file"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "outside the file"),
        (b"\x82\x01.", "not a readable pickle"),  # extension registry
    ],
)
def test_every_way_to_name_something_is_closed(tmp_path: Path, program: bytes, reason: str) -> None:
    assert reason in refused(tmp_path / "x.pkl", program)


def test_a_pickle_cannot_change_what_the_next_one_gets(tmp_path: Path) -> None:
    for function in (b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n"):
        refused(tmp_path / "x.pkl", function + b"(N}S'_make'\nNstb.")
    test_arrays_and_containers_come_back_equal(tmp_path, 4)


@pytest.mark.parametrize(
    "state",
    [
        (3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0),  # pointers from bytes
        (3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 0),
        (3, "x", None, None, None, -1, -1, 0),
    ],
)
def test_a_forged_dtype_is_refused(tmp_path: Path, state: tuple[object, ...]) -> None:
    rebuild, args, _ = np.zeros(1).__reduce__()
    dtype = Calls(np.dtype, "V8", False, True, state=state)
    forged = Calls(rebuild, *args, state=(1, (1,), dtype, False, b"\x41" * 8))
    assert "not admitted" in refused(tmp_path / "x.pkl", pickle.dumps(forged, 4))
    dtype.reduced = (np.dtype, ("f8", False, True), state)
    assert "not admitted" in refused(tmp_path / "x.pkl", pickle.dumps(forged, 4))


@pytest.mark.parametrize(
    ("shape", "code", "data"),
    [
        ((10**15,), "f8", b"12345678"),
        ((2**62, 4), "f8", b""),
        ((-1,), "f8", b""),
        ((1.0,), "f8", b"12345678"),
        ((1,), "O8", b"12345678"),
        ((1,), "f8", [1.0]),
        ((2,), "O8", [1.0]),
        ((10**15,), "U0", b""),
        ((1,), "M8[s]", b"12345678"),
    ],
)
def test_an_array_must_be_what_it_claims(
    tmp_path: Path, shape: tuple[float, ...], code: str, data: object
) -> None:
    rebuild, args, _ = np.zeros(1).__reduce__()
    forged = Calls(rebuild, *args, state=(1, shape, Calls(np.dtype, code), False, data))
    refused(tmp_path / "x.pkl", pickle.dumps(forged, 4))


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"abc.",  # bytes
        b"\x80\x04B" + struct.pack("<I", 2**31) + b"abc.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"abc.",  # string
        b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"abc.",  # bytearray
        b"\x80\x02\x8b" + struct.pack("<I", 2**31 - 1) + b"abc.",  # integer
        b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.",  # frame
        b"Nr" + struct.pack("<I", 2**32 - 1) + b".",  # memo: 64 GB of pointers
        b"Np4294967295\n.",
    ],
)
def test_sizes_beyond_the_file_set_no_memory_aside(tmp_path: Path, program: bytes) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "more than the file holds" in refused(tmp_path / "x.pkl", program)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def _amplified(name: str) -> tuple[object, int]:
    """A pickle that names one thing often, and how much it asks for if each time is a copy."""
    times, size = 500, 100_000
    rebuild, args, _ = np.zeros(1).__reduce__()
    scalar, frombuffer = np.float64(0).__reduce__()[0], numpy_numeric._frombuffer
    items: list[object] = [None] * (size // 2)
    pairs = [[i, i] for i in range(size // 50)]
    block, text = b"a" * size, "a" * size

    def array(code: str, data: object) -> Calls:
        return Calls(rebuild, *args, state=(1, (size // 2,), Calls(np.dtype, code), False, data))

    made = {
        "a list of objects": lambda: [array("O8", items) for _ in range(times)],
        "bytes": lambda: [array("u2", block) for _ in range(times)],
        "bytes in another order": lambda: [
            Calls(rebuild, *args, state=(1, (size // 2,), swapped, False, block))
            for swapped in [np.dtype(">u2")] * times
        ],
        "encoded text": lambda: [Calls(codecs.encode, text, "latin1") for _ in range(times)],
        "scalars": lambda: [Calls(scalar, np.dtype(f"S{size}"), block) for _ in range(times)],
        "bytes of a number": lambda: Calls(
            frombuffer, times * size, np.dtype("u1"), (times * size,), "C"
        ),
        "pairs": lambda: [Calls(OrderedDict, pairs) for _ in range(times)],
    }
    return made[name](), times * size


@pytest.mark.parametrize(
    "name",
    [
        *("a list of objects", "bytes", "bytes in another order", "encoded text", "scalars"),
        *("bytes of a number", "pairs"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_is_named_often_is_no_copy_each_time(tmp_path: Path, name: str, protocol: int) -> None:
    content, asked = _amplified(name)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    del content
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            load_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < asked / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content", [b"", b"hello, world\n", b"PK\x03\x04zip", b"\x80", b"\xff" * 9]
)
def test_not_a_pickle(tmp_path: Path, content: bytes) -> None:
    message = refused(tmp_path / "x.pkl", content)
    assert "pickle" in message


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(CONTENT, 4)
    for length in range(0, len(content), 7):
        refused(tmp_path / "x.pkl", content[:length])


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_pickle(tmp_path / "absent.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        load_pickle(tmp_path)
