"""Steps on torch's meta device, which has shapes and no numbers.

There a step that reads a number, or mixes tensors of two devices, fails: on an accelerator the one
would wait for it and the other fail as well.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import tiny_data
from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.models.cmc import CMC
from tricord.training.finetune import FinetuneStage
from tricord.training.pretrain import PretrainStage
from tricord.training.stages import CmcStage


@pytest.mark.parametrize("kind", [PretrainStage, FinetuneStage])
def test_a_step_reads_no_number_and_stays_on_its_device(
    kind: Callable[[CMC, Loader, Loader, RunConfig], CmcStage],
) -> None:
    config = tiny_data.config()
    train, valid = (
        Loader(
            TensorTable(tiny_data.table(split, 20, shortest=0), config.labels, device="meta"), 8, 1
        )
        for split in ("train", "valid")
    )
    model = CMC.from_config(config, tiny_data.WIDTHS).to("meta")
    stage = kind(model, train, valid, config)
    stage.optimizers = [torch.optim.SGD(model.parameters(), lr=0.1)]  # Adam's is not made for meta
    stage.begin_epoch(1)
    for batch in stage.batches(1):
        losses = stage.step(batch)
        assert {loss.device.type for loss in losses.values()} == {"meta"}
