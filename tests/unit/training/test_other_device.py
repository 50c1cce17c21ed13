"""Training elsewhere than on the processor, on devices that need no hardware.

On torch's meta device, which has shapes and no numbers, a step that reads a number fails: an
accelerator would have to wait for it. On the imitated one whole trainings run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_bert
import tiny_data
from imitated_device import DEVICE, imitated
from tricord import api
from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.models.cmc import CMC
from tricord.training.finetune import FinetuneStage
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.run import train_one
from tricord.training.stages import CmcStage
from tricord.training.trained import TrainedModel


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


# drawn in another way elsewhere
STILL = dict.fromkeys(["model.dropout", "model.attention_dropout", "model.output_dropout"], 0.0)
SHORT = {"pretrain.epochs": 2, "finetune.epochs": 2}
# what is computed again asks for a random generator, which the imitated device has not
TOKENS = {"text.finetune": True, "text.recompute": False}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cmc": ("cmc", tiny_data.MOVING),
    "tricord": ("tricord", {}),
    "router only": ("cmc", {"finetune.train": "router_only"}),
    "released": ("cmc-released", {}),
    "language model": ("cmc", TOKENS),
    "regression": ("cmc", {"labels.head": "regression", "pretrain.labels": "ground_truth"}),
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make_folder(tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("case", CASES)
def test_training_elsewhere_gives_the_same_model(case: str, bert: Path) -> None:
    """But for rounding: what is computed in chunks here is padded there."""
    name, settings = CASES[case]
    data = tiny_data.dataset((30, 12, 9))
    if settings is TOKENS:
        settings = {**TOKENS, "text.encoder": str(bert)}
        words = dict.fromkeys(data.splits, ("good film", "bad", "the film is not good"))
        data = replace(
            data,
            splits={
                n: replace(t, raw_text=tuple(words[n][i % 3] for i in range(len(t))))
                for n, t in data.splits.items()
            },
        )
    chosen = api.config_for(
        data, "tiny", name, {**tiny_data.SETTINGS, **STILL, **settings, **SHORT}
    )

    def trained(device: torch.device) -> TrainedModel:
        return train_one(data, chosen, name=name, seed=1, device=device)

    here = trained(torch.device("cpu"))
    with imitated():
        there = trained(DEVICE)
    assert there.versions.get("device") == str(DEVICE)
    assert "device" not in here.versions
    assert {type(value) for value in there.model.state_dict().values()} == {torch.Tensor}
    assert here.history.keys() == there.history.keys()
    for stage, rows in here.history.items():
        for row, other in zip(rows, there.history[stage], strict=True):
            for key in row.keys() - {"seconds"}:
                assert other[key] == pytest.approx(row[key], rel=0.02, abs=0.02), (stage, key)


class StoppedError(Exception):
    """As by Ctrl-C."""


class _StopsAfter(Observer):
    """Stops after so many epochs of all stages."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        self.left -= 1
        if not self.left:
            raise StoppedError


@pytest.mark.parametrize(
    ("name", "epochs"), [("cmc", 1), ("cmc", 3), ("tricord", 1), ("self-mm", 2), ("sfttr", 4)]
)
def test_what_was_stopped_elsewhere_goes_on_there(name: str, epochs: int, tmp_path: Path) -> None:
    """With the same bits, since the imitated device draws from the processor's generator."""
    data = tiny_data.dataset()
    ours = {**tiny_data.SETTINGS, **tiny_data.MOVING, **SHORT}
    if name == "tricord":
        ours |= {"pretrain.folds": 2, "pretrain.epochs": 1, "finetune.epochs": 1}
    config = api.config_for(data, "tiny", name, ours if name in ("cmc", "tricord") else {})
    how: dict[str, Any] = {"name": name, "seed": 1, "device": DEVICE}
    kept = {"folder": tmp_path, "checkpoint_minutes": 0.0}
    with imitated():
        whole = train_one(data, config, **how)
        with pytest.raises(StoppedError):
            train_one(data, config, observer=_StopsAfter(epochs), **how, **kept)
        resumed = train_one(data, config, **how, **kept)
    tiny_data.assert_same_state(dict(whole.model.state_dict()), dict(resumed.model.state_dict()))


def test_what_the_imitated_device_refuses() -> None:
    with imitated() as device:
        there, here = torch.zeros(3, device=device), torch.zeros(3)
        index = torch.tensor([0, 2])
        refused: list[Callable[[], object]] = [
            lambda: there + here,
            lambda: here[index.to(device)],
            lambda: here.index_put_((index.to(device),), there[:2]),
            lambda: there.index_put_((index,), here[:2]),
            there.numpy,
        ]
        for wrong in refused:
            with pytest.raises(RuntimeError, match=r"two devices|numpy"):
                wrong()
        there[index] = 1.0
        assert (there + 1).tolist() == [2, 1, 2]
        assert there[[0, 1]].sum().item() == 1
