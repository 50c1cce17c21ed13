"""Time and memory of reading, converting and training from data: docs/results/data_files.json.

Simulated files of the size of CH-SIMS and CMU-MOSEI (clips, widths, padding; what is in them is
random), read as a plain pickle and as a store, each in a process of its own, in the same run.
Memory is what a process grows by after its imports, watched from outside: all of it (rss), and
without mapped files, which the kernel takes back when it needs to (anonymous).

    python scripts/bench_data.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tricord.training.trained import versions

RESULT = Path(__file__).parent.parent / "docs" / "results" / "data_files.json"
RUNS = 3
CHUNK = 512
POLL_SECONDS = 0.02
TRAINED = 16  # batches of an epoch that are trained on; all are made


class Size(NamedTuple):
    """Clips per split; per modality (padded length, width); tokens."""

    clips: tuple[int, int, int]
    frames: Mapping[str, tuple[int, int]]
    tokens: int


CH_SIMS = Size((1368, 456, 457), {"text": (39, 768), "audio": (400, 33), "vision": (55, 709)}, 39)
MOSEI = Size((16326, 1871, 4659), {"audio": (500, 74), "vision": (500, 35)}, 50)
EIGHTH = MOSEI._replace(clips=(2041, 234, 582))


# ---------------------------------------------------------------------- simulated files


@dataclass
class Later:
    """A float32 array that is made while it is written; `mark` stands for its bytes until then."""

    shape: tuple[int, int, int]
    lengths: np.ndarray[Any, Any]
    mark: bytes

    def __reduce__(self) -> Any:
        parts: Any = np.zeros(0, np.float32).__reduce__()
        make, arguments, state = parts
        return make, arguments, (state[0], self.shape, state[2], False, self.mark)

    def blocks(self) -> Iterator[bytes]:
        """Random frames, zeros as padding, and a cell that is -inf, as COVAREP leaves them."""
        rows, longest, width = self.shape
        noise = np.random.default_rng(0).standard_normal((CHUNK, longest, width), np.float32)
        noise[0, 0, 0] = -np.inf
        for start in range(0, rows, CHUNK):
            lengths = self.lengths[start : start + CHUNK]
            real = np.arange(longest) < lengths[:, None]
            yield np.where(real[..., None], noise[: len(lengths)], np.float32(0)).tobytes()


def write_pickle(path: Path, size: Size) -> None:
    """A file in the MMSA layout, its arrays streamed: never more than a chunk in memory."""
    arrays: list[Later] = []
    content = {
        name: _split(name, clips, size, arrays)
        for name, clips in zip(("train", "valid", "test"), size.clips, strict=True)
    }
    text = pickle.dumps(content, protocol=3)
    with path.open("wb") as file:
        for array in arrays:
            head, _, text = text.partition(
                b"B" + len(array.mark).to_bytes(4, "little") + array.mark
            )
            file.write(head + b"B" + (int(np.prod(array.shape)) * 4).to_bytes(4, "little"))
            file.writelines(array.blocks())
        file.write(text)


def _split(name: str, clips: int, size: Size, arrays: list[Later]) -> dict[str, Any]:
    rng = np.random.default_rng(clips)
    tokens = rng.integers(1000, 20000, (clips, 3, size.tokens))
    tokens[:, 1] = np.arange(size.tokens) < rng.integers(4, size.tokens, clips)[:, None]
    split: dict[str, Any] = {
        "id": [f"{name}{i // 10}$_${i}" for i in range(clips)],
        "raw_text": ["some twenty words of which nothing is ever read " * 2] * clips,
        "text_bert": tokens,
        "regression_labels": rng.integers(-15, 16, clips) / 5,
    }
    for modality, (longest, width) in size.frames.items():
        lengths = np.clip(rng.lognormal(np.log(0.35 * longest), 0.6, clips), 5, longest)
        if modality == "audio":  # the largest: as large without its padding
            lengths = np.full(clips, longest)
        mark = f"{name}/{modality}/".encode() + bytes(300)
        arrays.append(Later((clips, longest, width), lengths.astype(np.int64), mark))
        split[modality] = arrays[-1]
        if modality != "text":
            split[f"{modality}_lengths"] = lengths.astype(np.int64)
    return split


# ---------------------------------------------------------------------- what is measured


def plain_pickle(path: Path, _: Path) -> object:
    """What the field does; on a file of our own making."""
    with path.open("rb") as file:
        return pickle.load(file)


def load_pickle(path: Path, _: Path) -> object:
    """Into memory, checked and cleaned."""
    from tricord.data.load import load

    return load(path)


def open_store(_: Path, store: Path) -> object:
    """Mapped."""
    from tricord.data.store import read_store

    return read_store(store)


def convert(path: Path, store: Path) -> None:
    """A pickle to a store."""
    from tricord.data.admit import admit
    from tricord.data.load import read
    from tricord.data.store import write_store

    write_store(admit(read(path), lazy=True), store, overwrite=True)


def epoch(_: Path, store: Path) -> None:
    """All batches of an epoch of stage 1, audio and vision, and steps of a small model on some."""
    from tricord import presets
    from tricord.data.schema import Dataset, FeatureTable
    from tricord.data.store import read_store
    from tricord.features.text import TextSource
    from tricord.models.cmc import CMC
    from tricord.training.loaders import Loaders
    from tricord.training.pretrain import PretrainStage

    def without_text(table: FeatureTable) -> FeatureTable:
        sequences = {k: s for k, s in table.sequences.items() if k != "text"}
        return replace(table, sequences=sequences, scores=np.delete(table.scores, 1, axis=1))

    found = read_store(store)
    data = Dataset({k: without_text(t) for k, t in found.splits.items()}, found.source)
    settings = {"model.d": 8, "model.feedforward": 8, "pretrain.batch_size": 32}
    config = presets.get("mosei").with_settings(settings).only(data.modalities)
    one_layer = {f"modalities.{k}.{s}": 1 for k in data.modalities for s in ("layers", "heads")}
    config = config.with_settings(one_layer)
    train, valid = Loaders(data, config, TextSource(config.text), 1, None).of(32, tokens=False)
    stage = PretrainStage(CMC.from_config(config, data.widths), train, valid, config)
    stage.begin_epoch(1)
    for number, batch in enumerate(stage.batches(1)):
        if number % (len(train) // TRAINED) == 0:
            stage.step(batch)


WORK: dict[str, Callable[[Path, Path], object]] = {
    f.__name__: f for f in (plain_pickle, load_pickle, open_store, convert, epoch)
}


def child(name: str, path: Path, store: Path) -> None:
    """Import, say so, work, say how long it took."""
    import torch

    for module in ("data.store", "models.cmc", "training.run"):
        importlib.import_module(f"tricord.{module}")
    torch.set_num_threads(1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    kept = WORK[name](path, store)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": _status("self")["VmHWM"]}), flush=True)
    sys.stdin.readline()
    del kept


def _status(process: int | str) -> dict[str, int]:
    """Bytes per line of the kernel's account of a process's memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {
        k: 1024 * int(v.split()[0]) for k, _, v in (s.partition(":") for s in lines) if "kB" in v
    }


def measure(name: str, path: Path, store: Path) -> dict[str, float]:
    """Seconds, and MB that the process grew by at its largest."""
    command = [sys.executable, __file__, "--child", name, str(path), str(store)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        before = _status(process.pid)
        os.set_blocking(process.stdout.fileno(), False)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        anonymous, said = 0, b""
        while not said.endswith(b"\n"):
            anonymous = max(anonymous, _status(process.pid).get("RssAnon", 0))
            said += process.stdout.read() or b""
            time.sleep(POLL_SECONDS)
        anonymous = max(anonymous, _status(process.pid)["RssAnon"])
        process.stdin.write(b"end\n")
    found = json.loads(said)
    return {
        "seconds": found["seconds"],
        "rss_mb": (found["peak"] - before["VmRSS"]) / 1e6,
        "anonymous_mb": (anonymous - before["RssAnon"]) / 1e6,
    }


def median(name: str, path: Path, store: Path, runs: int = RUNS) -> dict[str, float]:
    """Medians over processes."""
    found = [measure(name, path, store) for _ in range(runs)]
    return {key: round(statistics.median(f[key] for f in found), 4) for key in found[0]}


def of_size(size: Size, folder: Path, runs: int) -> dict[str, Any]:
    """Everything about files of one size; leaves the store."""
    path, store = folder / "simulated.pkl", folder / "simulated.tricord"
    write_pickle(path, size)
    largest = max(size.clips[0] * longest * width * 4 for longest, width in size.frames.values())
    result: dict[str, Any] = {
        "clips": sum(size.clips),
        "pickle_mb": path.stat().st_size / 1e6,
        "largest_array_mb": largest / 1e6,
        "convert": median("convert", path, store, 1),
        "store_mb": sum(p.stat().st_size for p in store.rglob("*")) / 1e6,
    }
    for name in ("plain_pickle", "load_pickle", "open_store"):
        result[name] = median(name, path, store, runs)
    path.unlink()
    opened, plain = result["open_store"], result["plain_pickle"]
    result["ratio"] = {
        "time_of_opening": plain["seconds"] / opened["seconds"],
        "memory_of_opening": plain["rss_mb"] / opened["rss_mb"],
        "peak_of_converting_over_largest_array": result["convert"]["rss_mb"] / (largest / 1e6),
    }
    return result


def main() -> None:
    """Make the files, measure, write the result, remove the files."""
    parser = argparse.ArgumentParser(description="Benchmark of data files.")
    parser.add_argument("--quick", action="store_true", help="CH-SIMS's size only, nothing kept")
    parser.add_argument("--child", nargs=3, metavar=("WORK", "PICKLE", "STORE"))
    options = parser.parse_args()
    if options.child:
        child(options.child[0], *map(Path, options.child[1:]))
        return
    sizes = {"ch_sims": CH_SIMS} if options.quick else {"ch_sims": CH_SIMS, "mosei": MOSEI}
    result: dict[str, Any] = {
        "kind": "data files",
        "simulated": True,
        "cores": os.cpu_count(),
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory(dir=os.environ.get("TRICORD_BENCH")) as name:
        for key, size in sizes.items():
            folder = Path(name) / key
            folder.mkdir()
            result[key] = of_size(size, folder, RUNS)
            print(json.dumps({key: result[key]}, indent=1), flush=True)
        if not options.quick:
            result["epoch"] = epochs(Path(name))
            print(json.dumps(result["epoch"], indent=1))
            RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def epochs(folder: Path) -> dict[str, Any]:
    """An epoch on a store of CMU-MOSEI's size, and of an eighth of it."""
    small = folder / "eighth"
    small.mkdir()
    write_pickle(small / "simulated.pkl", EIGHTH)
    measure("convert", small / "simulated.pkl", small / "simulated.tricord")
    stores = {"eighth": small, "whole": folder / "mosei"}
    found = {k: median("epoch", p, p / "simulated.tricord", 1) for k, p in stores.items()}
    shutil.rmtree(small)
    return {
        **found,
        "anonymous_ratio": found["whole"]["anonymous_mb"] / found["eighth"]["anonymous_mb"],
    }


if __name__ == "__main__":
    main()
