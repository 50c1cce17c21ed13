"""Stores with random damage: each opens as what it was, or is refused in one line."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord.data.schema import Dataset, Ragged
from tricord.data.store import manifest as manifests
from tricord.data.store import manifest_of, read_store, write_store
from tricord.errors import DataError

FEW, MANY = 150, 10_000
MOST_MEMORY = 1 << 23  # bytes; the store itself has some 10,000
NUMBERS = [-1, 0, 1, 7, 2**31, 2**48 - 1, 2**63, 10**12, 10**30, 0.5, True]
OTHERS: list[Any] = ["", "../x", "/etc/passwd", "a" * 300, None, [], {}, [[]], {"x": 1}]
Random = random.Random


def data() -> Dataset:
    made = tiny_data.dataset((6, 3, 3))
    splits = dict(made.splits)
    for name, table in made.splits.items():
        rows = len(table)
        tokens = Ragged(np.arange(2 * rows), np.arange(0, 2 * rows + 1, 2), 4)
        words = {"raw_text": ("words",) * rows, "tokens": tokens}
        splits[name] = table.__class__(**{**vars(table), **words})
    return Dataset(splits, "file.pkl", ("a notice",), {"seed": 1}, {"audio": {"tool": "x"}})


# ---------------------------------------------------------------------- damage to bytes


def flip(rng: Random, content: bytearray) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(rng: Random, content: bytearray) -> None:
    start = rng.randrange(len(content) + 1)
    content[start : start + 8] = rng.randbytes(8)


def claim(rng: Random, content: bytearray) -> None:
    """A number of eight bytes somewhere, such as a length or an offset."""
    start = 8 * rng.randrange(len(content) // 8 + 1)
    content[start : start + 8] = rng.choice([1, 2**31, 2**62, 2**64 - 1]).to_bytes(8, "little")


def cut(rng: Random, content: bytearray) -> None:
    del content[rng.randrange(len(content) + 1) :]


def double(rng: Random, content: bytearray) -> None:
    start = rng.randrange(len(content) + 1)
    content[start:start] = content[start : start + rng.randrange(200)]


def remove(rng: Random, content: bytearray) -> None:
    start = rng.randrange(len(content) + 1)
    del content[start : start + rng.randrange(20)]


BYTES: list[Callable[[Random, bytearray], None]] = [flip, overwrite, claim, cut, double, remove]


# ---------------------------------------------------------------------- damage to JSON


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of nested JSON."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    found = []
    for key, value in list(pairs):
        found.append((node, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def change(rng: Random, content: Any) -> None:
    """One value becomes another, or goes, or comes under another name."""
    container, key = rng.choice(places(content))
    what = rng.randrange(6)
    if what == 0:
        container[key] = rng.choice(NUMBERS)
    elif what == 5 and isinstance(container[key], int):
        container[key] += rng.choice([-1, 1, 8, 2**20])
    elif what == 1:
        container[key] = rng.choice(OTHERS)
    elif what == 2:
        del container[key]
    elif what == 3:
        other, name = rng.choice(places(content))
        container[key] = json.loads(json.dumps(other[name]))
    elif isinstance(container, dict):
        container[rng.choice(["../x", "text", "train", "valid", "tokens", ""])] = container[key]


def lie(rng: Random, store: Path) -> list[str]:
    """A manifest, or the words of a split, changed by someone who makes the checksums fit.

    Returns the files that changed.
    """
    changed = ["manifest.json"]
    place = store / "manifest.json"
    manifest = json.loads(place.read_text())
    del manifest["sha256"]
    if rng.random() < 0.3:
        split = rng.choice(list(manifest["splits"]))
        words = json.loads((store / split / "clips.json").read_text())
        change(rng, words)
        text = json.dumps(words).encode()
        (store / split / "clips.json").write_bytes(text)
        found = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        manifest["splits"][split]["words"] = found
        changed.append(f"{split}/clips.json")
    else:
        for _ in range(rng.randrange(1, 4)):
            change(rng, manifest)
    manifest["sha256"] = manifests._checksum(manifest)
    place.write_text(json.dumps(manifest))
    return changed


def lie_about_offsets(rng: Random, store: Path) -> list[str]:
    """Offsets changed, with a checksum that fits; returns the files that changed."""
    place = store / "manifest.json"
    manifest = json.loads(place.read_text())
    del manifest["sha256"]
    split, name = rng.choice(list(manifest["splits"])), rng.choice(["text", "audio", "vision"])
    file = store / split / f"{name}.safetensors"
    content = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    end = start + 8 * (manifest["splits"][split]["clips"] + 1)
    offsets = bytearray(content[start:end])
    rng.choice([flip, claim])(rng, offsets)
    content[start:end] = offsets[: end - start]
    file.write_bytes(content)
    digest = hashlib.sha256(offsets[: end - start]).hexdigest()
    manifest["splits"][split]["sequences"][name]["offsets_sha256"] = digest
    manifest["sha256"] = manifests._checksum(manifest)
    place.write_text(json.dumps(manifest))
    return ["manifest.json", f"{split}/{name}.safetensors"]


def damage(rng: Random, store: Path, names: list[str]) -> list[str]:
    """Bytes of one file changed; returns its name."""
    name = rng.choice(names)
    content = bytearray((store / name).read_bytes())
    rng.choice(BYTES)(rng, content)
    (store / name).write_bytes(content)
    return [name]


# ---------------------------------------------------------------------- the verdict


def is_sound(found: Dataset) -> bool:
    """Whether all of it can be used without going beyond what is there."""
    for table in found.splits.values():
        for ragged in (*table.sequences.values(), *([table.tokens] if table.tokens else [])):
            taken = ragged.take(np.arange(len(ragged))[::-1])
            assert len(taken.values) == len(ragged.values) == ragged.offsets[-1]
            assert ragged.lengths.min() >= 0
            assert ragged.padded_length <= 1 << 16
        assert len(table.scores) == len(set(table.ids)) == len(table)
    return True


def opened(store: Path, *, verify: bool) -> Dataset | None:
    """None where it is refused, which must be in one line and cost nothing."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found, problem = None, ""
    try:
        found = read_store(store, verify=verify)
    except DataError as error:
        problem = str(error)
    assert "\n" not in problem
    assert len(problem) < 1000
    assert tracemalloc.get_traced_memory()[1] - before < MOST_MEMORY
    return found


def fuzz(folder: Path, rounds: int, seed: int) -> Counter[str]:
    rng, pristine, store = Random(seed), folder / "a.tricord", folder / "b.tricord"
    write_store(data(), pristine)
    names = sorted(str(p.relative_to(pristine)) for p in pristine.rglob("*") if p.is_file())
    expected = read_store(pristine)
    manifest = manifest_of(pristine)
    shutil.copytree(pristine, store)
    counts: Counter[str] = Counter()
    tracemalloc.start()
    try:
        for _ in range(rounds):
            kind = rng.choice(["lie", "offsets", *["damage"] * 6])
            if kind == "lie":
                touched = lie(rng, store)
            elif kind == "offsets":
                touched = lie_about_offsets(rng, store)
            else:
                touched = damage(rng, store, names)
            found = opened(store, verify=True)
            if found is not None:
                assert is_sound(found)
                if kind == "damage":  # without checksums that fit, nothing can have changed
                    assert found.fingerprint() == expected.fingerprint()
                    assert found.notices == expected.notices
                    assert (found.recipe, found.simulation) == (
                        expected.recipe,
                        expected.simulation,
                    )
                    assert manifest_of(store) == manifest
            at_once = opened(store, verify=False)
            assert at_once is None or is_sound(at_once)
            counts[f"{kind}: {'refused' if found is None else 'opened'}"] += 1
            for name in touched:
                shutil.copyfile(pristine / name, store / name)
    finally:
        tracemalloc.stop()
    return counts


def test_damage_is_refused(tmp_path: Path) -> None:
    counts = fuzz(tmp_path, FEW, 1)
    assert counts["damage: refused"] > FEW // 2
    assert counts["lie: opened"] > 0  # such as another notice
    assert counts["offsets: refused"] > counts["offsets: opened"]


@pytest.mark.slow
def test_much_damage_is_refused(tmp_path: Path) -> None:
    counts = fuzz(tmp_path, MANY, 2)
    print(dict(counts))
    assert sum(counts.values()) == MANY
