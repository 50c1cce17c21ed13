"""What all measurements share: a size made ready, processes of their own, rates and shares."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tricord.bench import machine
from tricord.bench.process import Found, Tick, measure_apart
from tricord.bench.sizes import ABOUT, Workload
from tricord.device import CPU
from tricord.training.trained import versions

Watch = Callable[[str, int, int], None]  # what is measured; steps done and in all, 0 if unknown


@dataclass(frozen=True)
class Session:
    """Measurements at one size on one machine.

    ceilings: GFLOP/s of matrix products, by their name in the JSON.
    """

    workload: Workload
    facts: Mapping[str, Any]
    ceilings: Mapping[str, float | None]
    threads: int | None
    watch: Watch

    @classmethod
    @contextmanager
    def at(
        cls,
        size: str,
        *,
        quick: bool,
        threads: int | None,
        watch: Watch,
        device: torch.device = CPU,
    ) -> Iterator[Session]:
        """In a temporary folder. Raises ConfigError for a size that does not exist."""
        with tempfile.TemporaryDirectory(prefix="tricord-bench-") as folder, _cache_in(folder):
            watch("making the data", 0, 0)
            workload = Workload.make(Path(folder), size, quick=quick, device=device)
            watch("matrix products", 0, 0)
            found = measure_apart(
                _ceilings, quick, device, threads=threads, tick=partial(watch, "matrix products")
            )
            facts = {
                "about": ABOUT,
                "simulated": True,
                "size": size,
                "quick": quick,
                "machine": found["machine"],
                "versions": versions(),
                "clips": dict(workload.size.clips),
            }
            yield cls(workload, facts, found["ceilings"], threads, watch)

    def apart(self, what: str, work: Callable[..., Found], *arguments: object) -> Found:
        """``work(workload, *arguments, tick)`` in a process of its own, with rates and shares."""
        self.watch(what, 0, 0)
        found = measure_apart(
            work, self.workload, *arguments, threads=self.threads, tick=partial(self.watch, what)
        )
        return {**found, **self._rates(found)}

    def _rates(self, found: Found) -> Found:
        """Per second of what was counted; GFLOP/s as a share of each ceiling."""
        if "gflop" not in found:
            return {}
        rates = {
            f"{unit}_per_s": found[unit] / found["seconds"]
            for unit in ("clips", "frames", "tokens")
            if unit in found
        }
        achieved = found["gflop"] / found["seconds"]
        of = {
            f"share_of_{name.removesuffix('_gflops')}": achieved / ceiling
            for name, ceiling in self.ceilings.items()
            if ceiling is not None
        }
        return {**rates, "achieved_gflops": achieved, **of}


def _ceilings(quick: bool, device: torch.device, tick: Tick) -> Found:
    return {
        "machine": machine.describe(device),
        "ceilings": machine.ceilings(quick=quick, device=device),
    }


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    """Features that are kept are kept there, by the processes to come too."""
    before = os.environ.get("TRICORD_CACHE")
    os.environ["TRICORD_CACHE"] = folder
    try:
        yield
    finally:
        del os.environ["TRICORD_CACHE"]
        if before is not None:
            os.environ["TRICORD_CACHE"] = before
