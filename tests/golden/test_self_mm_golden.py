"""Self-MM: the recorded forward pass, and its label generator over four epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tricord.models import registry
from tricord.models.baselines.self_mm import LabelGenerator, SelfMM, weighted_errors
from tricord.types import MODALITIES, Batch, Frames

TASKS = ("fusion", *MODALITIES)
LAYERS = {"layer_1": "first", "layer_2": "second", "layer_3": "out"}


def our_name(recorded: str) -> str:
    """``post_video_layer_1.weight`` is ``heads.vision.first.weight``."""
    module, rest = recorded.split(".", 1)
    module = module.replace("video", "vision")
    if module.startswith("post_"):
        _, task, *layer = module.split("_")
        return f"heads.{task}.{LAYERS['_'.join(layer)]}.{rest}"
    inner = rest.replace("rnn.", "lstm.rnn.").replace("linear_1.", "out.")
    return f"readers.{module.removesuffix('_model')}.{inner}"


def padded(values: Any, lengths: Any) -> Frames:
    return Frames.pack(torch.as_tensor(values).double(), torch.as_tensor(lengths))


@pytest.fixture(scope="module")
def forward(shared: Path) -> Any:
    return np.load(shared / "golden" / "baselines" / "selfmm_mosi_forward.npz")


@pytest.fixture(scope="module")
def trace(shared: Path) -> Any:
    return np.load(shared / "golden" / "baselines" / "selfmm_ulgm_trace_sims.npz")


def test_forward_matches(forward: Any) -> None:
    config = registry.get("self-mm").config("mosi").released()
    model = SelfMM(config, registry.WIDTHS["mosi"]).double().eval()
    weights = {
        our_name(k.removeprefix("w/")): torch.as_tensor(v)
        for k, v in forward.items()
        if k[:2] == "w/"
    }
    model.load_state_dict(weights)
    text = forward["in/text_feat"]
    batch = Batch(
        frames={
            "text": padded(text, np.full(len(text), text.shape[1])),
            "audio": padded(forward["in/audio"], forward["in/audio_lengths"]),
            "vision": padded(forward["in/vision"], forward["in/vision_lengths"]),
        },
        present=torch.ones(len(text), 3, dtype=torch.bool),
        index=torch.arange(len(text)),
        scores=torch.zeros(len(text), 4),
        labels=torch.ones(len(text), 4, dtype=torch.long),
    )
    with torch.no_grad():
        tasks = model.tasks(batch)
        scores = model(batch)
    np.testing.assert_allclose(scores, forward["out/M"], rtol=0, atol=1e-10)
    expected = np.concatenate([forward[f"out/{k}"] for k in "MTAV"], axis=1)
    np.testing.assert_allclose(tasks.scores, expected, rtol=0, atol=1e-10)
    for task, letter in zip(TASKS, "ftav", strict=True):
        np.testing.assert_allclose(
            tasks.features[task], forward[f"out/Feature_{letter}"], rtol=0, atol=1e-10
        )


def test_label_generator_matches_over_four_epochs(trace: Any) -> None:
    labels = torch.as_tensor(trace["labels"])
    widths = {task: trace[f"feat/e1b0/{task}"].shape[1] for task in TASKS}
    bound = float(trace["H"])
    generator = LabelGenerator(
        labels,
        torch.ones(len(labels), len(MODALITIES), dtype=torch.bool),
        widths,
        (-bound, bound),
        zero="positive",
    )
    losses: list[float] = []
    for epoch in range(1, 5):
        first = 0
        for number in range(3):
            step = f"e{epoch}b{number}"
            features = {t: torch.as_tensor(trace[f"feat/{step}/{t}"]) for t in TASKS}
            index = torch.arange(first, first + len(features["fusion"]))
            first += len(index)
            losses.append(loss_of(trace, step, generator.labels[index]))
            generator.update(epoch, index, features)
            assert_state(generator, trace, step)
        assert first == len(labels)
    np.testing.assert_allclose(losses, trace["losses"], rtol=0, atol=2e-5)


def loss_of(trace: Any, step: str, labels: Tensor) -> float:
    scores = np.concatenate([trace[f"pred/{step}/{k}"] for k in "MTAV"], axis=1)
    return float(weighted_errors(torch.as_tensor(scores), labels).sum())


def assert_state(generator: LabelGenerator, trace: Any, step: str) -> None:
    centers = generator.centers()
    for column, task in enumerate(TASKS):
        np.testing.assert_allclose(
            generator.labels[:, column],
            trace[f"label_after/{step}/{task}"],
            rtol=0,
            atol=1e-5,
            err_msg=f"{step} {task}",
        )
        for side, sign in enumerate(("pos", "neg")):
            np.testing.assert_allclose(
                centers[task][side],
                trace[f"center_after/{step}/{task}/{sign}"],
                rtol=0,
                atol=1e-5,
                err_msg=f"{step} {task} {sign}",
            )
