"""The plain baseline computes what our stages compute: losses, labels, EMA models, weights."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from builders import NO_DROPOUT
from tricord import presets
from tricord.bench import naive
from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import FeatureTable, Ragged
from tricord.features.language import TextEncoder
from tricord.models.cmc import CMC
from tricord.training.finetune import FinetuneStage
from tricord.training.loop import Observer, Progress, Stage, fit
from tricord.training.pretrain import PretrainStage

WIDTHS = {"text": 12, "audio": 3, "vision": 4}
LONGEST = {"text": 6, "audio": 9, "vision": 5}
ROWS, BATCH, EPOCHS = {"train": 14, "valid": 7}, 5, 2
WORDS = 30
SURE = 20.0  # models that are sure of themselves move labels, so that a difference would show
SETTINGS: dict[str, Any] = {
    **NO_DROPOUT,
    "model.d": 8,
    "model.feedforward": 12,
    "modalities.layers": 2,
    "modalities.label_momentum": {"initial": 0.3, "decay": 0.5},
    "pretrain.batch_size": BATCH,
    "finetune.batch_size": BATCH,
    "pretrain.epochs": EPOCHS,
    "finetune.epochs": EPOCHS,
    "pretrain.lr": 0.02,
    "pretrain.select": "last",  # so that labels stay those of the last epoch
    "finetune.lr": 0.02,
    "text.encoder": "a model made here",
    "text.finetune": True,
    "text.lr": 0.01,
    "text.weight_decay": 0.1,
}
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def make_bert() -> BertModel:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTHS["text"],
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(config).double().eval()


def make_table(name: str, padding: str, bert: BertModel) -> FeatureTable:
    """Clips of full length, or where padding counts as frames, audio and vision of any."""
    rows = ROWS[name]
    rng = np.random.default_rng(rows)
    sequences = {}
    for k, longest in LONGEST.items():
        any_length = padding == "ignored" and k != "text"
        lengths = rng.integers(1, longest + 1, rows) if any_length else np.full(rows, longest)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        sequences[k] = Ragged(rng.standard_normal((offsets[-1], WIDTHS[k])), offsets, longest)
    tokens = rng.integers(0, WORDS, len(sequences["text"].values))
    offsets = sequences["text"].offsets
    with torch.no_grad():
        states = bert(torch.as_tensor(tokens).view(rows, -1)).last_hidden_state
    sequences["text"] = Ragged(states.flatten(0, 1).numpy(), offsets, LONGEST["text"])
    return FeatureTable(
        name,
        tuple(map(str, range(rows))),
        sequences,
        rng.integers(-5, 6, (rows, 4)) / 5,
        tokens=Ragged(tokens, offsets, LONGEST["text"]),
    )


class Losses(Observer):
    """Of every step, and of valid."""

    def __init__(self, stage: Stage) -> None:
        self.steps: list[float] = []
        self.valid: list[float] = []
        step = stage.step

        def noting(batch: Any) -> Any:
            losses = step(batch)
            self.steps.append(losses["loss"].item())
            return losses

        # an observer is not told the losses of a step
        stage.step = noting  # type: ignore[method-assign]

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        row = progress.history[-1]
        wanted = ("text", "audio", "vision", "supcon")
        parts = row.get("valid_loss") or sum(row[f"valid_{name}"] for name in wanted)
        self.valid.append(parts)


class Pair:
    """Ours and the plain one, with the same weights, on the same clips in the same order."""

    def __init__(self, padding: str, stage: int) -> None:
        bert = make_bert()
        self.config: RunConfig = presets.tiny().with_settings(
            {**SETTINGS, "model.padding": padding}
        )
        tables = {name: make_table(name, padding, bert) for name in ROWS}
        torch.manual_seed(0)
        ours = CMC.from_config(self.config, WIDTHS)
        for part in ours.parts.values():
            part.classifier.out.weight.data.mul_(SURE)
        if stage == 2:
            ours.language["text"] = TextEncoder(make_bert())
        plain = naive.Model(self.config, WIDTHS, bert).double()
        self.ours = ours.double()
        plain.load_state_dict(self.renamed(), strict=stage == 2)
        self.plain = plain
        full = padding == "ignored"
        loaders = {}
        for name, table in tables.items():
            assert table.tokens is not None
            inputs = dict(table.sequences)
            if stage == 2:
                inputs["text"] = table.tokens
            loaders[name] = Loader(
                TensorTable(table, self.config.labels, sequences=inputs, full_length=full),
                BATCH,
                1 if name == "train" else None,
            )
        clips = {name: naive.Clips.of(t, self.config) for name, t in tables.items()}
        kinds = {1: (PretrainStage, naive.Pretraining), 2: (FinetuneStage, naive.Finetuning)}
        mine, its = kinds[stage]
        self.stage = mine(self.ours, loaders["train"], loaders["valid"], self.config)
        self.training = its(self.plain, self.config, clips["train"], clips["valid"])
        self.loaders = loaders

    def renamed(self) -> dict[str, torch.Tensor]:
        """Our state under the plain model's names."""
        names = {r"\.(encoder|classifier)\.(?!layer\.)": ".", r"router\.linear": "router"}
        state = {}
        for key, value in self.ours.state_dict().items():
            if key.startswith("language.text.model."):
                state[key.replace("language.text.model", "bert")] = value
                continue
            renamed = key
            for pattern, name in names.items():
                renamed = re.sub(pattern, name, renamed)
            state[renamed] = value
        return state

    def run(self) -> tuple[Losses, list[list[float]]]:
        noted = Losses(self.stage)
        fit(self.stage, observer=noted)
        epochs = []
        for epoch in range(1, EPOCHS + 1):
            order = [b.index for b in self.loaders["train"].epoch(epoch)]
            valid = [b.index for b in self.loaders["valid"].epoch()]
            epochs.append(self.training.epoch(epoch, order, valid, lambda: None))
        return noted, epochs


@pytest.mark.parametrize("padding", ["masked", "ignored"])
@pytest.mark.parametrize("stage", [1, 2])
def test_losses_are_ours_over_epochs(padding: str, stage: int) -> None:
    pair = Pair(padding, stage)
    noted, epochs = pair.run()
    steps = -(-ROWS["train"] // BATCH)
    assert len(noted.steps) == steps * EPOCHS
    assert np.ptp(noted.steps) > 0.05
    np.testing.assert_allclose([x for e in epochs for x in e[:-1]], noted.steps, **CLOSE)
    np.testing.assert_allclose([e[-1] for e in epochs], noted.valid, **CLOSE)


def test_labels_and_ema_models_are_ours() -> None:
    pair = Pair("ignored", 1)
    pair.run()
    stage, training = pair.stage, pair.training
    assert isinstance(stage, PretrainStage)
    assert isinstance(training, naive.Pretraining)
    plain = torch.stack(list(training.soft.values()), dim=1)
    assert int(stage.targets.moved().sum()) > 3
    # ours are kept in float32
    torch.testing.assert_close(stage.targets.bank.soft, plain.float(), rtol=1e-6, atol=1e-6)
    for name, ema in stage.ema.items():
        ours, its = ema.model.state_dict(), training.ema[name].state_dict()
        for key, value in ours.items():
            torch.testing.assert_close(its[key.partition(".")[2]], value, **CLOSE)


def test_refining_one_clip_by_hand() -> None:
    # softmax of (0, ln 3) is (1/4, 3/4): norms sqrt(2) 3/4 and sqrt(2)/4, so alpha is 1/2
    logits = torch.tensor([0.0, 3.0], dtype=torch.float64)
    logits[1] = np.log(3.0)
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(naive.refine(logits, 0), half)
    torch.testing.assert_close(naive.refine(logits, 1), torch.tensor([0.0, 1.0]).double())
