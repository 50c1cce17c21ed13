"""Small data sets and settings for tests of training: seconds for both stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tricord import presets
from tricord.config import RunConfig
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.models import CMC
from tricord.training.cmc import TrainedCMC
from tricord.training.pretrain import Pretrained

WIDTHS = {"text": 5, "audio": 3, "vision": 4}
SETTINGS: dict[str, Any] = {
    "model.d": 8,
    "model.feedforward": 8,
    "pretrain.batch_size": 8,
    "finetune.batch_size": 8,
}
# labels move within a few epochs: no momentum, a rate that makes the models sure of themselves
MOVING: dict[str, Any] = {
    "modalities.label_momentum": {"initial": 0.0, "decay": 0.0},
    "modalities.model_momentum": {"initial": 0.0, "decay": 0.0},
    "pretrain.lr": 0.03,
    "pretrain.epochs": 6,
}


def table(
    name: str = "train",
    rows: int = 20,
    *,
    widths: Mapping[str, int] | None = None,
    longest: int = 4,
    shortest: int = 1,
    seed: int = 0,
) -> FeatureTable:
    """Clips whose features lean towards their own labels; scores on the grid of 0.2."""
    widths = WIDTHS if widths is None else widths
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    own = rng.integers(-5, 6, (rows, len(widths))) / 5
    multimodal = np.round(own.mean(axis=1) * 5) / 5
    sequences = {}
    for k, (modality, width) in enumerate(widths.items()):
        lengths = rng.integers(shortest, longest + 1, rows)
        values = rng.standard_normal((lengths.sum(), width))
        values += np.repeat(own[:, k], lengths)[:, None]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        sequences[modality] = Ragged(values.astype(np.float32), offsets, longest)
    return FeatureTable(
        name=name,
        ids=tuple(f"{name}{i // 3}$_${i}" for i in range(rows)),
        sequences=sequences,
        scores=np.column_stack([multimodal, own]),
    )


def dataset(rows: Sequence[int] = (20, 9, 12), **options: Any) -> Dataset:
    """Train, valid and test of these sizes; options as for `table`."""
    names = ("train", "valid", "test")
    splits = {n: table(n, r, **options) for n, r in zip(names, rows, strict=True)}
    return Dataset(splits, source="tiny.pkl")


def config(settings: Mapping[str, Any] | None = None) -> RunConfig:
    """The tiny preset, even smaller."""
    return presets.tiny().with_settings({**SETTINGS, **(settings or {})})


def untrained(settings: Mapping[str, Any] | None = None, seed: int = 3) -> TrainedCMC:
    """Random weights in place of trained ones, for what does not depend on training."""
    chosen = config(settings)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CMC.from_config(chosen, WIDTHS).eval()
        for parameter in model.parameters():
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    nothing = torch.zeros(0)
    return TrainedCMC(
        config=chosen,
        name="cmc",
        seed=seed,
        widths=WIDTHS,
        model=model,
        history={"pretrain": [], "finetune": []},
        fingerprint="",
        simulated=False,
        stage1=model,
        pretrained=Pretrained({}, {}, nothing, nothing, {}, {}),
    )


def assert_same_state(a: Any, b: Any, where: str = "") -> None:
    """The same nested tensors and values, bit by bit."""
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor), where
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    elif isinstance(a, Mapping):
        assert list(a) == list(b), where
        for key in a:
            assert_same_state(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_state(x, y, f"{where}/{i}")
    else:
        assert type(a) is type(b), where
        assert a == b, where


def differs(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the tensors that are not bit-equal."""
    assert a.keys() == b.keys()
    return {name for name in a if not torch.equal(a[name], b[name])}


def without_seconds(history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """A history without what the clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def assert_same_training(a: TrainedCMC, b: TrainedCMC) -> None:
    """The same weights, labels, selected epochs and histories."""
    for model in ("model", "stage1"):
        assert_same_state(
            dict(getattr(a, model).state_dict()), dict(getattr(b, model).state_dict()), model
        )
    for field in ("unimodal", "online", "labels", "valid_labels", "epochs", "moved", "language"):
        assert_same_state(getattr(a.pretrained, field), getattr(b.pretrained, field), field)
    for stage in ("pretrain", "finetune"):
        assert without_seconds(a.history[stage]) == without_seconds(b.history[stage])
