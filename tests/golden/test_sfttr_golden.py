"""The recorded vectors of SFTTR: encoders, prediction, losses with and without companions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import baseline_data
import tiny_data
from tricord.models.baselines.sfttr import SFTTR, config
from tricord.models.baselines.sfttr_stages import FusionStage, squared_error
from tricord.types import Batch, Frames

LETTERS = {"T": "text", "A": "audio", "V": "vision"}
CROSS = {"va_cross": "others", "vat_cross": "text", "pc_cross": "close"}
RULES = (
    (r"^(audio|vision)_encoder\.fc\.", r"encoders.\1.unused.0."),
    (r"^(audio|vision)_encoder\.dense\.", r"encoders.\1.unused.1."),
    (r"^(audio|vision)_encoder\.layernorm\.", r"encoders.\1.norm."),
    (r"^(audio|vision)_encoder\.encoder\.pos_encoder\.proj\.", r"encoders.\1.proj."),
    (r"^(audio|vision)_encoder\.encoder\.pos_encoder\.cls_token", r"encoders.\1.class_token"),
    (r"^(audio|vision)_encoder\.encoder\.pos_encoder\.position_emb\w+", r"encoders.\1.positions"),
    (r"^(audio|vision)_encoder\.encoder\.transformer_encoder\.layers\.", r"encoders.\1.layers."),
    (r"^TVA_decoder\.MLP\.", "decoder."),
    (r"^mono_decoder\.MLP\.", "mono."),
    (r"^(.)_simi_proj\.fc\.", lambda m: f"close.{LETTERS[m[1]]}."),
    (r"^(.)_dissimi_proj\.fc\.", lambda m: f"far.{LETTERS[m[1]]}."),
    (r"^(\w+_cross)\.", lambda m: f"cross.{CROSS[m[1]]}."),
    (r"\.embeddings\.position_embeddings\.weight", ".positions"),
    (r"\.embeddings\.token_type_embeddings\.weight", ".types"),
    (r"\.embeddings\.LayerNorm\.", ".norm."),
    (r"\.encoder\.layer\.", ".layers."),
    (r"\.attention\.output\.dense\.", ".self_attn.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".linear1."),
    (r"\.output\.dense\.", ".linear2."),
    (r"\.output\.LayerNorm\.", ".norm2."),
)
PROJECTION = re.compile(r"(.*)\.attention\.self\.(query|key|value)\.(weight|bias)")


class Recording:
    def __init__(self, path: Path) -> None:
        self.data = np.load(path)
        self.cfg = ast.literal_eval(str(self.data["cfg"]))

    def tensor(self, name: str) -> Tensor:
        return torch.as_tensor(self.data[name])

    def model(self) -> SFTTR:
        cfg = self.cfg
        settings = {
            "width": cfg["E"],
            "heads": cfg["heads"],
            "feedforward": cfg["E"],
            "layers": {"audio": cfg["audio_layers"], "vision": cfg["vision_layers"]},
            "positions": {"audio": cfg["La"], "vision": cfg["Lv"]},
            "cross_layers": cfg["cross_layers"],
            "cross_heads": cfg["cross_heads"],
            "cross_feedforward": cfg["cross_inter"],
            "cross_positions": cfg["cross_maxpos"],
        }
        widths = {"text": cfg["E"], "audio": cfg["Da"], "vision": cfg["Dv"]}
        model = SFTTR(config("ch-sims").released().with_settings(settings), widths)
        model.load_state_dict(self.state())
        return model.eval()

    def state(self) -> dict[str, Tensor]:
        """Under our names; the class tokens without their two axes of 1."""
        state: dict[str, Tensor] = {}
        parts: dict[tuple[str, str], dict[str, Tensor]] = {}
        for key in self.data.files:
            if key[:2] != "w/" or not self.data[key].size:
                continue
            name, value = key[2:], self.tensor(key)
            if found := PROJECTION.fullmatch(name):
                parts.setdefault((found[1], found[3]), {})[found[2]] = value
                continue
            name = renamed(name)
            state[name] = value.squeeze() if "class_token" in name else value
            if name.startswith("encoders") and name.endswith("positions"):
                state[name] = value[0]
        for (layer, kind), each in parts.items():
            joined = torch.cat([each[part] for part in ("query", "key", "value")])
            state[f"{renamed(layer)}.self_attn.in_proj_{kind}"] = joined
        return state

    def joined(self, name: str, companions: bool) -> Tensor:
        """Anchors, then their companions; ours stand companion by companion, not clip by clip."""
        anchors = self.tensor(f"in1/{name}")
        if not companions:
            return anchors
        theirs = self.tensor(f"in2/{name}").unflatten(0, (len(anchors), -1))
        return torch.cat([anchors, theirs.transpose(0, 1).flatten(0, 1)])

    def batch(self, companions: bool = False) -> Batch:
        """With lengths from the recorded masks; text is one vector a clip."""
        text = self.joined("raw_text", companions)
        frames = {"text": Frames(text, torch.ones(len(text), dtype=torch.long))}
        for name in ("audio", "vision"):
            padding = self.joined(f"{name}_padding_mask", companions)[:, 1:]
            frames[name] = Frames.pack(self.joined(name, companions), (~padding).sum(dim=1))
        columns = ("", "_T", "_A", "_V")
        scores = [self.joined(f"regression_labels{c}", companions) for c in columns]
        return Batch(
            frames=frames,
            present=torch.ones(len(text), 3, dtype=torch.bool),
            index=torch.arange(len(text)),
            scores=torch.stack(scores, dim=1),
            labels=torch.zeros(len(text), 4, dtype=torch.long),
        )


def renamed(name: str) -> str:
    name += "." if name.endswith(tuple("0123456789")) else ""
    for pattern, new in RULES:
        name = re.sub(pattern, new, name)
    return name.rstrip(".")


@pytest.fixture(scope="module")
def recording(shared: Path) -> Recording:
    return Recording(shared / "golden" / "baselines" / "sfttr_small_sims.npz")


def close_to(found: Tensor, expected: Tensor) -> None:
    np.testing.assert_allclose(found.detach(), expected, rtol=0, atol=2e-6)


def test_encoders_and_prediction_match(recording: Recording) -> None:
    model, batch = recording.model(), recording.batch()
    recorded = {"text": "eval/x_t", "audio": "eval/x_a", "vision": "eval/x_v"}
    for name, vectors in model.vectors(batch).items():
        close_to(vectors, recording.tensor(recorded[name]))
    scores = model(batch)
    close_to(scores, recording.tensor("eval/pred"))
    error = squared_error(scores[:, 0], batch.scores[:, 0], torch.ones(len(batch)))
    close_to(error, recording.tensor("eval/pred_loss"))


def test_losses_with_companions_match(recording: Recording) -> None:
    model, batch = recording.model(), recording.batch(companions=True)
    data = tiny_data.dataset((4, 2, 2), widths=model.widths)
    loaders = baseline_data.loaders(model, data).of(4, tokens=False)
    complete = torch.ones(len(recording.data["in1/raw_text"]), dtype=torch.bool)
    losses = FusionStage(model, *loaders).losses(batch, complete)
    close_to(losses["prediction"], recording.tensor("pair/pred_loss"))
    close_to(losses["contrast"], recording.tensor("pair/const_loss"))
    close_to(losses["loss"], recording.tensor("pair/loss"))
    model.eval()
    theirs = recording.tensor("pair/pred").squeeze(-1)
    size = len(complete)
    ordered = theirs[size:].unflatten(0, (size, -1)).T.flatten()
    close_to(model(batch)[:, 0], torch.cat([theirs[:size], ordered]))


def test_evaluation_s_own_loss_pairs_single_parts_with_the_other_labels(
    recording: Recording,
) -> None:
    """The original's number is repeated with its labels exchanged, and not used for selection."""
    model, batch = recording.model(), recording.batch()
    assert model.mono is not None
    outputs = model.mono(torch.cat(model.split(batch))).squeeze(-1)
    own, whole = batch.scores[:, 1:].T, batch.scores[:, 0].expand(3, -1)
    mono = (outputs - torch.cat([own, whole])).square().mean()
    total = recording.tensor("eval/pred_loss") + 0.01 * mono
    close_to(total, recording.tensor("eval/loss"))
