"""Time and memory of opening a data set: a pickle in the MMSA layout, and the same as a store.

`scripts/bench_data.py` holds both against Python's own unpickler, which the package never runs.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from tricord.bench.memory import forget_peak, peak_rss_mib, resident_mib
from tricord.bench.process import Found, Tick
from tricord.bench.session import Session, Watch
from tricord.bench.sizes import Workload
from tricord.data.derive.export import export_mmsa
from tricord.data.load import load
from tricord.data.store import read_store

RUNS = 3  # processes
_MIB = 2**20


def measure_load(
    size: str, *, quick: bool = False, threads: int | None = None, watch: Watch
) -> dict[str, Any]:
    """Seconds and memory of opening a size's data, as JSON can hold them.

    The pickle's arrays are padded. The store's are not, and are mapped: opening reads no frame.
    Raises ConfigError for a size that does not exist.
    """
    with Session.at(size, quick=quick, threads=threads, watch=watch) as session:
        watch("writing the pickle", 0, 0)
        store = session.workload.store
        pickle = store.with_suffix(".pkl")
        export_mmsa(read_store(store), pickle)
        runs = range(1 if quick else RUNS)
        parts = {
            path.suffix.lstrip("."): {
                "mib": _size(path) / _MIB,
                **_medians([session.apart(f"opening {path.name}", open_data, path) for _ in runs]),
            }
            for path in (pickle, store)
        }
    of_pickle, of_store = parts["pkl"], parts["tricord"]
    keys = ("mib", "seconds", "grown_mib")
    return {
        "kind": "bench load",
        **session.facts,
        "runs": len(runs),
        "pickle": of_pickle,
        "store": of_store,
        "ratio": {k: of_pickle[k] / of_store[k] for k in keys if of_store.get(k)},
    }


def open_data(_: Workload, path: Path, tick: Tick) -> Found:
    """`tricord.load` of the path, and what the process grew by at its largest."""
    forget_peak()
    before = resident_mib()
    start = time.perf_counter()
    kept = load(path)
    seconds = time.perf_counter() - start
    grown = None if before is None else peak_rss_mib() - before
    del kept
    return {"seconds": seconds, "grown_mib": grown}


def _medians(found: list[Found]) -> Found:
    """Of each number; None where it is not known."""
    columns = {key: [f[key] for f in found] for key in found[0]}
    return {k: None if None in v else statistics.median(v) for k, v in columns.items()}


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in (path, *path.rglob("*")) if p.is_file())
