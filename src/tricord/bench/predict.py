"""Clips per second and seconds per clip of prediction, from features and from tokens.

Throughput is that of `tricord.inference.predictor.predict`, what users call; weights are random.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tricord.bench.process import Found, Tick
from tricord.bench.session import Session, Watch
from tricord.bench.sizes import Workload, simulate
from tricord.bench.timing import seconds
from tricord.config import RunConfig
from tricord.data.schema import Dataset, FeatureTable
from tricord.features.text import TEXT, TextSource
from tricord.inference.predictor import predict
from tricord.types import Frames

RUNS = 3
ONE_FRAME_CLIPS, QUICK_CLIPS = 20_480, 256
CALLS, QUICK_CALLS, WARM_UP_CALLS = 400, 20, 10
_READ_AT_ONCE = 64


def measure_predict(
    size: str, *, quick: bool = False, threads: int | None = None, watch: Watch
) -> dict[str, Any]:
    """All numbers on prediction at a size, as JSON can hold them.

    ``of_language`` is the throughput from tokens as a share of the language model's own on the
    same tokens. Raises ConfigError for a size that does not exist.
    """
    with Session.at(size, quick=quick, threads=threads, watch=watch) as session:
        parts = {
            "features": session.apart("from features", predict_features),
            "one_frame": session.apart("clips of one frame", predict_one_frame),
            "tokens": session.apart("from tokens", predict_tokens),
            "language": session.apart("the language model alone", read_tokens),
            "latency": session.apart("one clip", predict_one),
        }
    rates = {name: part.get("clips_per_s") for name, part in parts.items()}
    return {
        "kind": "bench predict",
        **session.facts,
        **session.ceilings,
        "clips_per_s": rates["features"],
        "one_frame_clips_per_s": rates["one_frame"],
        "tokens_clips_per_s": rates["tokens"],
        "language_clips_per_s": rates["language"],
        "of_language": parts["language"]["seconds"] / parts["tokens"]["seconds"],
        "p50_ms": parts["latency"]["p50_ms"],
        "p95_ms": parts["latency"]["p95_ms"],
        "parts": parts,
    }


def predict_features(workload: Workload, tick: Tick) -> Found:
    """The largest split, from encoded text, at realistic lengths."""
    return _predicted(workload, workload.config(), workload.data()["train"], tick)


def predict_one_frame(workload: Workload, tick: Tick) -> Found:
    """Many clips whose sequences have length 1."""
    clips = {"test": QUICK_CLIPS if workload.quick else ONE_FRAME_CLIPS}
    table = simulate(replace(workload.size.of_one_frame(), clips=clips))["test"]
    return _predicted(workload, workload.config(), table, tick)


def predict_tokens(workload: Workload, tick: Tick) -> Found:
    """The test split, by a model with a finetuned language model."""
    config = workload.config(tokens=True, finetune=True)
    return _predicted(workload, config, workload.data()["test"], tick)


def _predicted(workload: Workload, config: RunConfig, table: FeatureTable, tick: Tick) -> Found:
    trained = workload.untrained(config)
    data = Dataset({table.name: table}, source="SIMULATED")
    times = seconds(lambda: predict(trained, data, table.name), runs=RUNS, tick=tick)
    return {
        "seconds": float(np.median(times)),
        "gflop": workload.gflop(table, config, language=config.text.finetune),
        "clips": len(table),
        "frames": int(sum(lengths.sum() for lengths in table.lengths.values())),
        "tokens": int(table.lengths[TEXT].sum()),
    }


def read_tokens(workload: Workload, tick: Tick) -> Found:
    """The language model called plainly on the test split, in the precision that we run it in.

    In batches of similar length, padded to the longest of each.
    """
    config = workload.config(tokens=True)
    table = workload.data()["test"]
    assert table.tokens is not None
    source = TextSource(config.text)
    assert source.encoder is not None
    batches = [table.tokens.take(rows) for rows in _by_length(table.tokens.lengths)]
    inputs = [Frames(torch.as_tensor(b.values), torch.as_tensor(b.lengths)).pad() for b in batches]
    model, bf16 = source.encoder.model, source.encoder.in_bfloat16

    def read() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for tokens, mask in inputs:
                model(input_ids=tokens, attention_mask=mask.long())

    return {
        "seconds": float(np.median(seconds(read, runs=RUNS, tick=tick))),
        "gflop": workload.gflop(table, config, encoders=False),
        "clips": len(table),
        "tokens": len(table.tokens.values),
        "bf16": bf16,
    }


def _by_length(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(lengths, kind="stable")
    return np.array_split(order, range(_READ_AT_ONCE, len(order), _READ_AT_ONCE))


def predict_one(workload: Workload, tick: Tick) -> Found:
    """Different clips one by one, from features as they come from an extractor."""
    model = workload.untrained(workload.config()).model
    table = workload.data()["test"]
    rows = [table.take(np.array([i])) for i in range(len(table))]
    clips = cycle(
        {k: torch.as_tensor(s.values)[None] for k, s in row.sequences.items()} for row in rows
    )
    times = seconds(
        lambda: model.predict_features(next(clips)),
        runs=QUICK_CALLS if workload.quick else CALLS,
        warm_up=WARM_UP_CALLS,
        tick=tick,
    )
    p50, p95 = (1e3 * float(np.percentile(times, p)) for p in (50, 95))
    return {"calls": len(times), "p50_ms": p50, "p95_ms": p95}
