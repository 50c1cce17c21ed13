"""What TFN, LMF and MulT have in common: any modalities, any head, clips apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

import tiny_data
from tricord import presets
from tricord.data.batching import TensorTable
from tricord.models import registry
from tricord.types import Batch

NAMES = ["tfn", "lmf", "mult"]


def build(name: str, modalities: Sequence[str], **changes: Any) -> Any:
    entry = registry.get(name)
    config = entry.config("tiny").with_settings(changes)
    torch.manual_seed(0)
    return entry.build(config, {m: tiny_data.WIDTHS[m] for m in modalities})


def rows_of(model: Any, rows: Sequence[int]) -> Batch:
    table = tiny_data.table(rows=6, shortest=0, widths=model.widths)
    sequences = model.inputs(table, table.sequences)
    return TensorTable(table, model.config.labels, sequences=sequences).fetch(list(rows))


@pytest.mark.parametrize("modalities", [("text", "audio"), ("audio", "vision"), ("text", "vision")])
@pytest.mark.parametrize("name", NAMES)
def test_two_modalities_are_enough(name: str, modalities: Sequence[str]) -> None:
    model = build(name, modalities)
    batch = rows_of(model, range(6))
    assert model(batch).shape == (6, 1)
    model(batch).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("modality", ["text", "vision"])
@pytest.mark.parametrize("name", ["tfn", "lmf"])
def test_so_is_one(name: str, modality: str) -> None:
    model = build(name, [modality])
    assert model(rows_of(model, range(6))).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_does_not_depend_on_its_batch(name: str) -> None:
    """Clips of the table differ in length, and some have no frame in some modality."""
    model = build(name, tuple(tiny_data.WIDTHS)).eval()
    whole = rows_of(model, range(6))
    assert any(int(f.lengths.min()) == 0 for f in whole.frames.values())
    alone = torch.cat([model(rows_of(model, [row])) for row in range(6)])
    torch.testing.assert_close(model(whole), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [[0], [3]])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_trains(name: str, rows: Sequence[int]) -> None:
    model = build(name, tuple(tiny_data.WIDTHS)).train()
    out = model(rows_of(model, rows))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_classes_instead_of_scores(name: str) -> None:
    labels = presets.tiny().labels.model_dump()
    model = build(name, tuple(tiny_data.WIDTHS), labels=labels)
    assert model(rows_of(model, range(4))).shape == (4, 3)
