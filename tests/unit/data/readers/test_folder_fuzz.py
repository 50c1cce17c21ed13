"""Mutated label tables and feature files: each is read or refused, in bounded memory."""

from __future__ import annotations

import io
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tricord.data.readers.clip_file import ClipRecipe, read_clip
from tricord.data.readers.folder import read_folder
from tricord.data.readers.label_table import read_label_file
from tricord.data.readers.openface import recipe_columns
from tricord.errors import DataError

FEW, MANY = 200, 10_000
MEASURED = 7  # one in so many is run under a memory tracer, which is slow
# What a short row costs as Python strings, and what reading costs whatever the file
TIMES, MORE = 100, 8_000_000

TOKENS = (
    *(b",", b";", b"\t", b"\n", b"\r", b'"', b'""', b"\0", b"$_$", b"../", b"/", b"\\", b"."),
    *(b"nan", b"-inf", b"1e999", b"1_0", b"-", b" ", b"", b"\xff", b"\xef\xbb\xbf", b"\xc4\xe3"),
    *(b"999999999999", b"(1000000000000, 2)", b"|O", b"<f8", b"True", b"\x93NUMPY", b"train"),
    *(b"video_id", b"file", b"frame", b"confidence", b"AU01_r", "\u0661".encode(), b"," * 999),
)


def mutated(data: bytes, random: Random) -> bytes:
    """One to eight changes: bytes, tokens, cuts, copies and exchanges."""
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(data) + 1)
        to = min(len(data), at + random.choice((0, 1, 1, 4, 30)))
        kind = random.randrange(6)
        if kind == 0:
            data = data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + random.choice(TOKENS) + data[to:]
        elif kind == 2:
            data = data[:at] + data[to:]
        elif kind == 3:
            data = data[:at] + data[at:to] * random.choice((2, 3, 50)) + data[to:]
        elif kind == 4:
            other = random.randrange(len(data) + 1)
            data = data[:at] + data[other : other + 20] + data[at:]
        else:
            data = data[:at] if random.random() < 0.3 else data
    return data


def run(
    count: int, seeds: list[bytes], read: Callable[[bytes, int], object], seed: int
) -> Counter[str]:
    """How many were read and refused; anything else that is raised is a failure."""
    random, outcome, longest = Random(seed), Counter[str](), ""
    for number in range(count):
        which = random.randrange(len(seeds))
        data = mutated(seeds[which], random)
        measured = number % MEASURED == 0
        if measured:
            tracemalloc.start()
        try:
            read(data, which)
            outcome["read"] += 1
        except DataError as error:
            outcome["refused"] += 1
            longest = max(longest, str(error), key=len)
            outcome["two lines"] += "\n" in str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if measured:
            assert peak < TIMES * len(data) + MORE, (number, len(data), peak)
    assert not outcome.pop("two lines")
    assert len(longest) < 1000
    assert min(outcome["read"], outcome["refused"]) > count // 50  # both were tried
    return outcome


TABLES = [
    b"video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
    + b"".join(
        f'v{i % 3},{i:04},"say, {i}",{i / 10},0.2,-0.2,nan,Neutral,{mode}\n'.encode()
        for i, mode in enumerate(("train", "valid", "test") * 3)
    ),
    b"file;label;mode\nRaw/v/1.mp4;happy;train\nRaw/v/2.mp4;sad;train\nw.mp4;sad;test\n",
    "video_id\tclip_id\ttext\tlabel\nv\t1\t你好\t0.4\nv\t2\t不\t-1\n".encode("gbk"),
    b"5.1,12.2,03bSnISJMiM,1,2.4\r\n13,15,03bSnISJMiM,2,-0.8\r\n",
]


def fuzz_tables(folder: Path, count: int) -> Counter[str]:
    path = folder / "label.csv"

    def read(data: bytes, which: int) -> None:
        path.write_bytes(data)
        table = read_label_file(path)
        for split in table.splits.values():
            assert split.scores.shape == (len(split), 4)
            assert not np.isinf(split.scores).any()

    return run(count, TABLES, read, seed=1)


METADATA = {
    **{
        f"sentiment/label_{letter}.csv": b"video_id,clip_id,label\nv,0001,-0.4\nv,0002,1\nw,1,0\n"
        for letter in "MTAV"
    },
    "train_index.csv": b"index\n0\n",
    "val_index.csv": b"index\n1\n",
    "test_index.csv": b",index\n0,2\n",
    "Translation.csv": "video_id,clip_id,Chinese\nv,0001,你好\nw,1,不\n".encode(),
}


def fuzz_metadata(folder: Path, count: int) -> Counter[str]:
    """One of the tables of the oldest CH-SIMS release, beside the others."""
    paths = [folder / "metadata" / name for name in METADATA]
    paths[0].parent.mkdir(parents=True)
    for path, sound in zip(paths, METADATA.values(), strict=True):
        path.write_bytes(sound)

    def read(data: bytes, which: int) -> None:
        try:
            paths[which].write_bytes(data)
            for name, split in read_folder(folder).splits.items():
                assert name in ("train", "valid", "test", "all")
                assert split.scores.shape == (len(split), 4)
        finally:
            paths[which].write_bytes([*METADATA.values()][which])

    return run(count, [*METADATA.values()], read, seed=4)


def feature_files() -> dict[str, list[tuple[str, bytes]]]:
    names = recipe_columns("openface-171")
    header = ", ".join(("frame, face_id, timestamp, confidence, success", *names))
    rows = [", ".join([f"{t}, {t % 2}, 0.03, 0.9{t}, 1", *["1.5"] * len(names)]) for t in range(3)]
    small = "frame, face_id, timestamp, confidence, success, AU01_r\n1, 0, 0, 0.9, 1, 2\n"
    arrays = [np.ones((5, 3), np.float32), np.asfortranarray(np.ones((2, 3))), np.ones(3, np.int16)]
    openface = [
        (".csv", "\n".join([header, *rows]).encode()),
        (".csv", (small + "2, 1, 0, 0.2, 0, 3\n3, 1, 0, 0.8, 1, 4\n").encode()),
    ]
    plain = [
        (".csv", b"name;frameTime;F0;loud\n'a';0.0;1.5;2\n'a';0.1;nan;-3e5\n"),
        (".csv", b"1.5,2,3\n4,5,6\n7,8,9\n"),
    ]
    saved = []
    for array in arrays:
        with io.BytesIO() as file:
            np.save(file, array)
            saved.append((".npy", file.getvalue()))
    return {"openface": openface, "csv": plain, "npy": saved}


def fuzz_features(kind: str, folder: Path, count: int) -> Counter[str]:
    """Half of them alone, with any recipe; the others in a folder, beside a sound one."""
    files = feature_files()[kind]
    (folder / "label.csv").write_text("video_id,clip_id,label\nv,1,0\nv,2,1\nw,1,0\n")
    (folder / "audio").mkdir()
    recipes = [
        *(None, None, ClipRecipe(recipe="openface-171", average_over=2)),
        *(ClipRecipe(min_confidence=0.5), ClipRecipe(average_over=3)),
    ]
    choice = Random(3)

    def read(data: bytes, which: int) -> None:
        suffix, sound = files[which]
        paths = [folder / "audio" / f"v_{i}{suffix}" for i in (1, 2)]
        for path, content in zip(paths, (sound, data), strict=True):
            path.write_bytes(content)
        try:
            if choice.random() < 0.5:
                values = read_clip(paths[1], choice.choice(recipes)).values
            else:
                values = read_folder(folder)["all"].sequences["audio"].values
            assert values.ndim == 2
            assert values.dtype == np.float32
            assert values.nbytes <= 8 * (len(data) + len(sound))
        finally:
            for path in paths:
                path.unlink()

    return run(count, [content for _, content in files], read, seed=2)


def fuzz_recipes(folder: Path, count: int) -> Counter[str]:
    """The file that says how the features of a folder are read."""
    (folder / "label.csv").write_text("video_id,clip_id,label\nv,1,0\nv,2,1\nw,1,0\n")
    (folder / "audio").mkdir()
    np.save(folder / "audio" / "v_1.npy", np.ones((5, 3), np.float32))
    sound = [
        b'{"audio": {"average_over": 2, "description": "x"}, "vision": {"recipe": "openface-709"}}',
        b'{"audio": {"min_confidence": 0.5}}',
    ]

    def read(data: bytes, which: int) -> None:
        (folder / "features.json").write_bytes(data)
        assert read_folder(folder)["all"].sequences["audio"].width == 3

    return run(count, sound, read, seed=5)


FUZZ = {
    "tables": fuzz_tables,
    "metadata": fuzz_metadata,
    "recipes": fuzz_recipes,
    **{kind: partial(fuzz_features, kind) for kind in ("openface", "csv", "npy")},
}


@pytest.mark.parametrize("kind", FUZZ)
def test_a_few_mutations(tmp_path: Path, kind: str) -> None:
    assert sum(FUZZ[kind](tmp_path, FEW).values()) == FEW


@pytest.mark.slow
@pytest.mark.parametrize("kind", FUZZ)
def test_many_mutations(tmp_path: Path, kind: str) -> None:
    outcome = FUZZ[kind](tmp_path, MANY)
    print(kind, dict(outcome))
    assert sum(outcome.values()) == MANY
