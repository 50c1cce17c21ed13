"""EMT-DLFR: the recorded two-view pass with all parts of its loss, and the missing frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tricord.data.schema import FeatureTable, Ragged
from tricord.models.baselines.emt_dlfr import GLOBAL, EmtDlfr, EmtDlfrStage, View, config
from tricord.models.baselines.missing import drop, kept_name
from tricord.nn import exchange
from tricord.nn.attraction import attraction
from tricord.nn.encoder import sinusoidal_positions
from tricord.nn.losses import task_loss
from tricord.types import MODALITIES, Batch, Frames

THEIRS = {"text": "text", "audio": "audio", "vision": "video", GLOBAL: "gmc_tokens"}
BLOCK = "fusion.mpus.0.0.0.layers.0."
PARTS = {
    "exchange.block.norm_listener": BLOCK + "0.norm",
    "exchange.block.norm_context": BLOCK + "0.norm_context",
    "exchange.block.listening": BLOCK + "0.fn",
    "exchange.block.norm_self": BLOCK + "1.norm",
    "exchange.block.own": BLOCK + "1.fn",
    "exchange.block.norm_inner": BLOCK + "2.norm",
    "exchange.block.inner.widen": BLOCK + "2.fn.net.0",
    "exchange.block.inner.narrow": BLOCK + "2.fn.net.2",
    "exchange.pool": "fusion.attn_pools.0.attention",
    "head.first": "post_fusion_layer_1",
    "head.second": "post_fusion_layer_2",
    "head.out": "post_fusion_layer_3",
    **{f"shared.{m}": f"proj_{THEIRS[m]}" for m in MODALITIES},
    **{f"reconstruct.{m}": f"recon_{THEIRS[m]}" for m in MODALITIES},
    **{f"readers.{m}.lstm.rnn": f"{THEIRS[m]}_model.rnn" for m in MODALITIES},
    **{f"readers.{m}.out": f"{THEIRS[m]}_model.linear_1" for m in MODALITIES},
    **{
        f"similarity.{m}.{ours}": f"{theirs}_{recorded}.net"
        for m, theirs in THEIRS.items()
        for ours, recorded in (("project", "projector"), ("predict", "predictor"))
    },
}
LINEAR = {"query": "to_q", "key_value": "to_kv", "out": "to_out"}


def recorded_name(name: str) -> str:
    part = max((p for p in PARTS if name.startswith(p + ".")), key=len)
    rest = name[len(part) + 1 :].split(".")
    if part.endswith((".listening", ".own")):
        rest[0] = LINEAR[rest[0]]
    return ".".join([PARTS[part], *rest])


class Recording:
    def __init__(self, path: Path) -> None:
        self.data = np.load(path)
        widths = {"text": 768, "audio": 5, "vision": 20}
        settings: dict[str, Any] = {  # as `cfg` of the recording has them
            "d": 16,
            "attention_heads": 4,
            "depth": 2,
            "lstm": {"audio": 6, "vision": 10},
            "vectors": {"audio": 8, "vision": 10},
            "bottlenecks": {GLOBAL: 12, "text": 16, "audio": 4, "vision": 5},
            "hidden": 20,
            "attract": 1.0,
            "reconstruct": 1.0,
            "standardize": (),
            "missing": 0.4,
            "text_vector": "first",
            "select": "total",
        }
        self.model = EmtDlfr(config("ch-sims").with_settings(settings), widths).double().eval()
        state = {k: self.tensor(f"w/{recorded_name(k)}") for k in self.model.state_dict()}
        self.model.load_state_dict(state)
        self.positions = self.tensor("w/fusion.pos_embed.pe")[0]
        self.lengths = {
            "text": self.tensor("in/text_bert")[:, 1].sum(dim=1).long(),
            "audio": self.tensor("in/audio_lengths"),
            "vision": self.tensor("in/vision_lengths"),
        }

    def tensor(self, name: str) -> Tensor:
        return torch.as_tensor(self.data[name])

    def frames(self, suffix: str = "") -> dict[str, Frames]:
        names = {"text": "text_feat", "audio": "audio", "vision": "vision"}
        return {
            m: Frames.pack(self.tensor(f"in/{names[m]}{suffix}"), self.lengths[m])
            for m in MODALITIES
        }

    def batch(self) -> Batch:
        kept = {
            kept_name(m): Frames.pack(self.tensor(f"in/{m}_missing_mask") > 0, self.lengths[m])
            for m in MODALITIES
        }
        label = self.tensor("in/label")[:, None]
        return Batch(
            frames={**self.frames(), **kept},
            present=torch.ones(4, 6, dtype=torch.bool),
            index=torch.arange(4),
            scores=label.expand(-1, 4),
            labels=torch.zeros(4, 4, dtype=torch.long),
        )

    def close(self, found: Tensor, name: str) -> None:
        np.testing.assert_allclose(
            found.detach().numpy(), self.data[name], rtol=0, atol=1e-10, err_msg=name
        )


@pytest.fixture(scope="module")
def recording(shared: Path) -> Recording:
    return Recording(shared / "golden" / "baselines" / "emt_dlfr_small.npz")


@pytest.fixture(scope="module")
def views(recording: Recording) -> tuple[View, View]:
    def recorded(length: int, d: int, like: Tensor) -> Tensor:
        return recording.positions[:length].to(like)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "sinusoidal_positions", recorded)  # rounded to float32
        complete = recording.model.view(recording.frames())
        return complete, recording.model.view(recording.frames("_m"), frames=True)


def test_positions_match(recording: Recording) -> None:
    expected = recording.positions
    found = sinusoidal_positions(*expected.shape, expected.double())
    torch.testing.assert_close(found, expected.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("which", "suffix"), [(0, ""), (1, "_m")])
def test_both_views_match(
    recording: Recording, views: tuple[View, View], which: int, suffix: str
) -> None:
    view = views[which]
    recording.close(view.scores, f"out/pred{suffix}")
    for name, heads in recording.model.similarity.items():
        z, p = heads(view.vectors[name])
        recording.close(z, f"out/z_{THEIRS[name]}{suffix}")
        recording.close(p, f"out/p_{THEIRS[name]}{suffix}")


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_reconstruction_matches(
    recording: Recording, views: tuple[View, View], modality: str
) -> None:
    found = recording.model.reconstruct[modality](views[1].frames[modality])
    # of the text without [CLS] and [SEP], which nothing is made of
    lengths = recording.lengths[modality] - (2 if modality == "text" else 0)
    expected = recording.tensor(f"out/{THEIRS[modality]}_recon")
    torch.testing.assert_close(found, Frames.pack(expected, lengths).values, rtol=0, atol=1e-10)


def test_what_text_is_reconstructed_towards_matches(
    recording: Recording, views: tuple[View, View]
) -> None:
    expected = recording.tensor("out/text_for_recon")
    found = views[0].inputs["text"]
    assert torch.equal(found.values, Frames.pack(expected, recording.lengths["text"] - 2).values)


def test_every_part_of_the_loss_matches(recording: Recording, views: tuple[View, View]) -> None:
    model, batch = recording.model, recording.batch()
    complete, missing = views
    label = batch.scores[:, :1]
    pred = task_loss(complete.scores.unsqueeze(1), label).sum()
    recording.close(pred, "loss/pred")
    attract = model.attraction(complete, missing)
    recording.close(attract + pred, "loss/attra")
    recording.close(model.reconstruction(complete, missing, batch), "loss/recon")
    for name, heads in model.similarity.items():
        both = (*heads(complete.vectors[name]), *heads(missing.vectors[name]))
        recording.close(attraction(*both), f"loss/attra_{THEIRS[name]}")


def test_the_total_matches(
    recording: Recording, views: tuple[View, View], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the recorded view of the text is no zeroing of its states, which a batch would give
    monkeypatch.setattr(recording.model, "views", lambda _: views)
    stage = EmtDlfrStage.__new__(EmtDlfrStage)
    stage.model = recording.model
    parts = stage.loss(recording.batch())
    recording.close(parts["loss"], "loss/total")
    recording.close(parts["score"], "loss/pred_m")
    recording.close(stage._evaluate(recording.batch(), 1)["loss"], "loss/total")


def test_missing_audio_of_a_batch_is_as_recorded(recording: Recording) -> None:
    found = recording.model.read(recording.batch(), missing=True)
    for name in ("audio", "vision"):
        torch.testing.assert_close(found[name].values, recording.frames("_m")[name].values)


@pytest.mark.parametrize("rate", ["0.0", "0.3", "0.7"])
def test_missing_frames_are_drawn_as_recorded(shared: Path, rate: str) -> None:
    data = np.load(shared / "golden" / "baselines" / "emt_dlfr_missing_masks.npz")
    of_text = data["text_mask"].sum(axis=1).astype(int)
    text = Ragged.from_padded(data["text_ids"].astype(np.int64), of_text)
    audio = Ragged.from_padded(data["audio"], data["audio_lengths"])
    table = FeatureTable(
        name="valid",
        ids=tuple("abcdef"),
        sequences={"text": text, "audio": audio},
        scores=np.zeros((6, 3)),
    )
    options = {"missing": float(rate) or 1e-12, "draws": "share", "text_vector": "first"}
    model = EmtDlfr(config("tiny").with_settings(options), {"text": 8, "audio": 5})
    found = model.inputs(table, table.sequences)
    assert list(found) == ["text", "audio", "text.kept", "audio.kept"]
    kept = {m: found[kept_name(m)] for m in ("text", "audio")}
    np.testing.assert_array_equal(kept["text"].padded(), data[f"text_missing/{rate}"])
    np.testing.assert_array_equal(kept["audio"].padded(), data[f"audio_missing/{rate}"])
    for name, sequence, instead in (("text", text, 100), ("audio", audio, 0)):
        frames, flags = (
            Frames(torch.as_tensor(x.values), torch.as_tensor(x.lengths))
            for x in (sequence, kept[name])
        )
        padded, _ = drop(frames, flags, instead).pad(sequence.padded_length)
        # the recording leaves what is behind a clip's end as it was
        np.testing.assert_array_equal(padded.numpy(), data[f"{name}_m/{rate}"])
