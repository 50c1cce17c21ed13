"""Speed of both stages and of prediction at CH-SIMS shapes: writes bench/results/foundation.json.

Every figure is a median over steps after warm-up; the ratio is against a baseline measured in the
same run: batches padded to the file's full length, as the released code trains, and the label code
as a loop over samples.

    python scripts/bench.py
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tricord.api import checked, config_for
from tricord.config import RunConfig
from tricord.data.batching import Loader
from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.simulation.simulate import simulate
from tricord.features.text import TextSource
from tricord.models.cmc import CMC
from tricord.plgm import refine_labels
from tricord.training.checkpoint import write_json
from tricord.training.finetune import FinetuneStage
from tricord.training.loop import Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.run import Loaders
from tricord.training.trained import versions

RESULT = Path(__file__).parent.parent / "bench" / "results" / "foundation.json"
STEPS, WARM_UP, CLIPS = 3, 1, 512
BATCH = 64


def median_seconds(work: Callable[[], object], runs: int = STEPS) -> float:
    """Median of ``runs`` after warm-up."""
    times = []
    for i in range(WARM_UP + runs):
        start = time.perf_counter()
        work()
        if i >= WARM_UP:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def step_seconds(stage: Stage, train: Loader) -> float:
    """Median of one training step, loading included."""
    batches = iter([b for e in range(1 + (WARM_UP + STEPS) // len(train)) for b in train.epoch(e)])
    stage.begin_epoch(1)
    return median_seconds(lambda: stage.step(next(batches)))


def measure(data: Dataset, config: RunConfig) -> dict[str, float]:
    """Milliseconds per clip of a step of each stage, and predicted clips per second."""
    loaders = Loaders(data, config, TextSource(config.text), 1, None)
    train, valid = loaders.of(BATCH, tokens=False)
    model = CMC.from_config(config, data.widths)
    stage1 = step_seconds(PretrainStage(model, train, valid, config), train)
    stage2 = step_seconds(FinetuneStage(model, train, valid, config), train)
    model.eval()
    batch = next(train.epoch(0))
    with torch.no_grad():
        forward = median_seconds(lambda: model(batch))
    return {
        "stage1_ms_per_clip": 1e3 * stage1 / BATCH,
        "stage2_ms_per_clip": 1e3 * stage2 / BATCH,
        "predict_clips_per_s": BATCH / forward,
    }


def refine_in_a_loop(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Eq. 21-27 sample by sample and class by class, as written."""
    rows = []
    classes = logits.shape[1]
    for row, label in zip(logits, labels, strict=True):
        p = torch.softmax(row, dim=0)
        unit = torch.eye(classes)
        norms = [torch.linalg.vector_norm(p - unit[c]) for c in range(classes)]
        candidate = min(range(classes), key=lambda c: float(norms[c]))
        own, other = norms[int(label)], norms[candidate]
        alpha = (own - other) / (own + other)
        rows.append((1 - alpha) * unit[int(label)] + alpha * unit[candidate])
    return torch.stack(rows)


def label_code() -> dict[str, float]:
    """Seconds of PLGM on one batch of three modalities, and the loop's over it."""
    torch.manual_seed(0)
    logits, labels = torch.randn(3 * BATCH, 3), torch.randint(0, 3, (3 * BATCH,))
    assert torch.allclose(
        refine_labels(logits, labels), refine_in_a_loop(logits, labels), atol=1e-6
    )
    ours = median_seconds(lambda: refine_labels(logits, labels))
    loop = median_seconds(lambda: refine_in_a_loop(logits, labels))
    return {"plgm_ms": 1e3 * ours, "loop_over_plgm": loop / ours}


def main() -> None:
    """Simulate, measure ours and the baseline, write the result."""
    with tempfile.TemporaryDirectory() as folder:
        splits, record = simulate(scale=CLIPS / 1368)
        path = Path(folder) / "simulated.pkl"
        write_mmsa(path, splits, record)
        data = load(path)
    config = config_for(data, "ch-sims")
    data = checked(data, config)
    ours = measure(data, config)
    baseline = measure(data, config.with_settings({"model.padding": "ignored"}))
    result: dict[str, Any] = {
        "simulated": True,
        "size": "CH-SIMS widths and realistic lengths, Table III layers, batch 64, ready features",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "versions": versions(),
        "ours": ours,
        "full_padding": baseline,
        "ratio": {
            k: (baseline[k] / ours[k] if k.endswith("clip") else ours[k] / baseline[k])
            for k in ours
        },
        **label_code(),
    }
    write_json(RESULT, result)
    for name, value in ours.items():
        print(f"{name:22} {value:10.2f}   {result['ratio'][name]:5.2f}x of full padding")
    print(f"{'PLGM':22} {result['plgm_ms']:10.2f} ms {result['loop_over_plgm']:5.0f}x of a loop")


if __name__ == "__main__":
    main()
