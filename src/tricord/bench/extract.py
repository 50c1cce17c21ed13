"""Time of measuring clips on one core, recipe by recipe."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from tricord.bench import machine
from tricord.bench.drawing import FPS, HEIGHT, WIDTH, draw_clip
from tricord.bench.process import Found, Tick, measure_apart
from tricord.bench.session import Watch
from tricord.clips.build import RECIPES, build
from tricord.clips.clip import Clip
from tricord.clips.measure import Measurer
from tricord.errors import ConfigError
from tricord.sight.registry import RATE
from tricord.sound.extractor import LicenceWarning
from tricord.training.trained import versions

CLIPS, SECONDS = 4, 8.0  # about as many seconds as clips of this field have
RUNS = 5
QUICK = 2, 2.0, 1  # clips, seconds, runs
TEXT = "i did not think that it would be as good as it was in the end"


def measure_extract(*, quick: bool = False, watch: Watch) -> dict[str, Any]:
    """Clips a second and real-time factor of every recipe that can be opened, as JSON holds them.

    One core, in a process of its own; a run is all clips, after one for warming up. Raises
    ConfigError where no recipe can be opened.
    """
    clips, seconds, runs = QUICK if quick else (CLIPS, SECONDS, RUNS)
    recipes: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tricord-bench-") as folder:
        watch("drawing the clips", 0, 0)
        paths = [draw_clip(Path(folder) / f"{n}.mp4", seconds, n) for n in range(clips)]
        about = measure_apart(_machine, threads=1, tick=partial(watch, "drawing the clips"))
        for name in RECIPES:
            watch(f"recipe {name}", 0, 0)
            found = measure_apart(
                measure_recipe, name, paths, runs, threads=1, tick=partial(watch, f"recipe {name}")
            )
            if "missing" in found:
                left_out[name] = found["missing"]
            else:
                recipes[name] = found
    if not recipes:
        raise ConfigError(f"no recipe can be measured: {next(iter(left_out.values()))}")
    return {
        "kind": "bench extract",
        "simulated": True,
        "quick": quick,
        "machine": about["machine"],
        "versions": versions(),
        "clips": {"count": clips, "seconds": seconds, "width": WIDTH, "height": HEIGHT, "fps": FPS},
        "pictures_per_s": RATE,
        "runs": runs,
        "recipes": recipes,
        "left_out": left_out,
    }


def measure_recipe(name: str, paths: list[Path], runs: int, tick: Tick) -> Found:
    """Seconds of each run over all clips, and of each modality in the median of them.

    cpu_seconds: of the processor, which tells where something else ran on the core meanwhile.

    Only ``missing``, which says why, where the recipe cannot be opened.
    """
    one_core()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LicenceWarning)  # nothing is kept
        try:
            recipe = build(name)
            measurer = Measurer(recipe)
        except ConfigError as error:
            return {"missing": str(error)}
    parts: list[dict[str, float]] = []
    cpu: list[float] = []
    media = frames = faces = 0.0
    for run in range(1 + runs):
        spent = dict.fromkeys(("opening", *recipe.parts), 0.0)
        media = frames = faces = 0.0
        began = time.process_time()
        for path in paths:
            clip = Clip(path.stem, path, TEXT)
            start = time.perf_counter()
            info = measurer.probe(clip)
            spent["opening"] += time.perf_counter() - start
            media += info.duration
            for modality in recipe.parts:
                start = time.perf_counter()
                measured = measurer.measure(clip, info, modality)
                spent[modality] += time.perf_counter() - start
                frames, faces = frames + measured.frames, faces + measured.faces
        parts.append(spent)
        cpu.append(time.process_time() - began)
        tick(run + 1, 1 + runs)
    warm = parts[1:]
    seconds = statistics.median(sum(spent.values()) for spent in warm)
    return {
        "seconds": seconds,
        "cpu_seconds": statistics.median(cpu[1:]),
        "all_seconds": [sum(spent.values()) for spent in warm],
        "parts": {part: statistics.median(spent[part] for spent in warm) for part in parts[0]},
        "clips_per_s": len(paths) / seconds,
        "media_seconds": media,
        "real_time_factor": media / seconds,
        "faces": faces / frames if frames else None,
    }


def one_core() -> None:
    """Keep this process, and the threads that libraries start in it, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _machine(tick: Tick) -> Found:
    return {"machine": machine.describe()}
