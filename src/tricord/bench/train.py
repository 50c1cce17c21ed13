"""Seconds of an epoch of each stage, and of encoding the text once; against the plain baseline.

An epoch is training and validation, by the classes that train for users, after warm-up. Each part
is measured in a process of its own. ``quick`` lets a few steps of training, and as many of the
clips of valid, stand for an epoch; the baseline is always measured so.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tricord.bench import naive
from tricord.bench.flops import TRAIN
from tricord.bench.machine import device_memory_mib
from tricord.bench.process import Found, Tick
from tricord.bench.session import Session, Watch
from tricord.bench.sizes import Workload
from tricord.bench.timing import epoch_seconds
from tricord.config import RunConfig
from tricord.data.schema import Dataset
from tricord.device import CPU
from tricord.features.language import TextEncoder
from tricord.features.text import TEXT

EPOCH = ("train", "valid")
RUNS = 3  # epochs where they are cheap
QUICK_STEPS, PLAIN_STEPS = 2, 3  # of training, that stand for an epoch


def measure_train(
    size: str,
    *,
    plain: bool = True,
    quick: bool = False,
    threads: int | None = None,
    device: torch.device = CPU,
    watch: Watch,
) -> dict[str, Any]:
    """All numbers on training at a size, as JSON can hold them; stage 2 finetunes BERT.

    plain: measure the baseline too, in the same run. device: what trains; of another than the
    processor there is no baseline, and text is not encoded, which the processor does.
    peak_rss_mib and achieved_gflops are those of stage 2; ``parts`` has every part's.
    Raises ConfigError for a size that does not exist.
    """
    here = device == CPU
    with Session.at(size, quick=quick, threads=threads, watch=watch, device=device) as session:
        first = {"encode_text": session.apart("encoding the text", encode_text)} if here else {}
        parts = {
            **first,
            "stage1": session.apart("stage 1", train_stage1),
            "stage2_frozen": session.apart("stage 2, frozen text", train_stage2, False),
            "stage2": session.apart("stage 2", train_stage2, True),
        }
        baseline = {
            f"stage{n}": session.apart(f"stage {n}, plain", train_plainly, n)
            for n in ((1, 2) if plain and here else ())
        }
    return {
        "kind": "bench train",
        **session.facts,
        **session.ceilings,
        **{f"{k}_s": part["seconds"] for k, part in first.items()},
        **{f"{k}_epoch_s": part["seconds"] for k, part in parts.items() if k not in first},
        "peak_rss_mib": parts["stage2"]["peak_rss_mib"],
        "achieved_gflops": parts["stage2"]["achieved_gflops"],
        "parameters": parts["stage2"]["parameters"],
        "language_parameters": parts["stage2"]["language_parameters"],
        "parts": parts,
        "naive": _against(parts, baseline) if baseline else None,
    }


def _against(parts: dict[str, Found], plain: dict[str, Found]) -> dict[str, Any]:
    """The baseline's numbers, and how many times ours they are."""
    memory = plain["stage2"]["peak_rss_mib"]
    return {
        **{f"{name}_epoch_s": part["seconds"] for name, part in plain.items()},
        "peak_rss_mib": memory,
        "ratio": {
            **{name: part["seconds"] / parts[name]["seconds"] for name, part in plain.items()},
            "peak_rss": memory / parts["stage2"]["peak_rss_mib"],
        },
        "parts": plain,
    }


# ---------------------------------------------------------------------- parts


def encode_text(workload: Workload, tick: Tick) -> Found:
    """All splits through the frozen language model, as the first run on new data does."""
    config = workload.config(tokens=True)
    data = workload.data()
    part = _some(data, config, QUICK_STEPS if workload.quick else None)
    source = workload.untrained(config).text_source()  # and with it, warm-up
    total, done = sum(map(len, part.splits.values())), 0
    start = time.perf_counter()
    for table in part.splits.values():
        source.features(table, part.source, _from(done, total, tick))
        done += len(table)
    seconds = [time.perf_counter() - start]
    gflop = sum(workload.gflop(table, config, encoders=False) for table in data.splits.values())
    return {**_times(data, part, seconds, tuple(data)), "gflop": gflop}


def train_stage1(workload: Workload, tick: Tick) -> Found:
    """Epochs of stage 1 on encoded text."""
    return _train(workload, workload.config(), "pretrain", RUNS, tick)


def train_stage2(workload: Workload, finetune: bool, tick: Tick) -> Found:
    """Epochs of stage 2 on encoded text, or one that trains the language model along."""
    config = workload.config(tokens=finetune, finetune=finetune)
    return _train(workload, config, "finetune", 1 if finetune else RUNS, tick)


def _train(
    workload: Workload,
    config: RunConfig,
    stage: Literal["pretrain", "finetune"],
    runs: int,
    tick: Tick,
) -> Found:
    """A run in a folder, on all clips or on some that stand for them."""
    data, text = workload.data(), config.text.finetune
    part = _some(data, config, QUICK_STEPS if workload.quick else None)
    with tempfile.TemporaryDirectory(dir=workload.folder) as folder:
        times, trained = epoch_seconds(
            part, config, stage, runs, folder=Path(folder), tick=tick, device=workload.device
        )
    return {
        **_times(data, part, times),
        **device_memory_mib(workload.device),
        "steps_timed": runs * math.ceil(len(part["train"]) / config.pretrain.batch_size),
        "gflop": _epoch_gflop(workload, data, config, text),
        "parameters": trained.model.size,
        "language_parameters": sum(p.numel() for p in trained.model.language.parameters()),
    }


def train_plainly(workload: Workload, number: int, tick: Tick) -> Found:
    """Steps of a stage of the baseline, after one; the useful work is the same as ours."""
    config = workload.config(tokens=True, finetune=True)
    data = workload.data()
    part = _some(data, config, 1 if workload.quick else PLAIN_STEPS)
    bert = TextEncoder.from_pretrained(str(workload.language)).model
    model = naive.Model(config, data.widths, bert)
    clips = {split: naive.Clips.of(part[split], config) for split in EPOCH}
    stage = {1: naive.Pretraining, 2: naive.Finetuning}[number]
    training = stage(model, config, clips["train"], clips["valid"])
    size = config.pretrain.batch_size
    train, valid = (torch.split(torch.arange(len(part[split])), size) for split in EPOCH)
    training.begin(1)
    training.step(train[0])
    done = count(1)
    start = time.perf_counter()
    training.epoch(1, train, valid, lambda: tick(next(done), len(train)))
    return {
        **_times(data, part, [time.perf_counter() - start]),
        "steps_timed": len(train),
        "gflop": _epoch_gflop(workload, data, config, number == 2),
    }


# ---------------------------------------------------------------------- what they share


def _from(first: int, total: int, tick: Tick) -> Tick:
    """A tick of one of several parts."""
    return lambda done, _: tick(first + done, total)


def _some(data: Dataset, config: RunConfig, steps: int | None) -> Dataset:
    """The first clips of every split, the same share of each: ``steps`` of training; None: all."""
    if steps is None:
        return data
    share = min(1.0, steps * config.pretrain.batch_size / len(data["train"]))
    rows = {name: np.arange(math.ceil(share * len(t))) for name, t in data.splits.items()}
    return replace(data, splits={name: t.take(rows[name]) for name, t in data.splits.items()})


def _times(
    data: Dataset, part: Dataset, seconds: Sequence[float], splits: Sequence[str] = EPOCH
) -> Found:
    """The median run, scaled from the clips that were measured to all; and what all of them are."""

    def clips(of: Dataset) -> int:
        return sum(len(of[split]) for split in splits)

    lengths = [data[split].lengths for split in splits]
    return {
        "seconds": float(np.median(seconds)) * clips(data) / clips(part),
        "runs": len(seconds),
        "scaled": clips(part) < clips(data),
        "clips": clips(data),
        "frames": int(sum(of[k].sum() for of in lengths for k in of)),
        "tokens": int(sum(of[TEXT].sum() for of in lengths)),
    }


def _epoch_gflop(workload: Workload, data: Dataset, config: RunConfig, text: bool) -> float:
    """Of training and validation; ``text``: the language model trains along."""
    train, valid = (workload.gflop(data[split], config, language=text) for split in EPOCH)
    return TRAIN * train + valid
