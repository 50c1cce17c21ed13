"""MulT: who looks at whom, and what nobody may look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import baseline_data
from tricord.errors import ConfigError
from tricord.models import registry
from tricord.models.baselines.mult import CrossAttention, CrossTransformer, Embedding, last_frame
from tricord.training.loop import fit
from tricord.types import Batch, Frames

STILL = {"dropout": 0, "text_dropout": 0, "output_dropout": 0}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


# -------------------------------------------------------------------------------------- attention


def test_attention_to_equal_keys_is_the_mean_of_the_real_frames() -> None:
    attention = CrossAttention(4, heads=2, dropout=0.0)
    attention.query.weight.data.zero_()
    attention.query.bias.data.zero_()
    source, mask = draw(1, 5, 4), torch.tensor([[True, True, True, False, False]])
    _, value = attention.source(source).chunk(2, dim=-1)
    expected = attention.out(value[:, :3].mean(dim=1, keepdim=True)).expand(1, 2, 4)
    torch.testing.assert_close(attention(draw(1, 2, 4), source, mask), expected)


def test_attention_by_hand() -> None:
    """One head of width 1: weights are the softmax of query times key."""
    attention = CrossAttention(1, heads=1, dropout=0.0)
    attention.requires_grad_(False)
    layers = {attention.query: 2.0, attention.source: 1.0, attention.out: 3.0}
    for linear, weight in layers.items():
        linear.weight.fill_(weight)
        linear.bias.zero_()
    x, source = torch.tensor([[[0.5]]]), torch.tensor([[[1.0], [2.0]]])
    weights = torch.softmax(torch.tensor([1.0, 2.0]), dim=0)  # query is 0.5 * 2
    expected = 3 * (weights @ torch.tensor([1.0, 2.0]))
    found = attention(x, source, torch.ones(1, 2, dtype=torch.bool))
    assert float(found) == pytest.approx(float(expected))


def test_masked_frames_are_not_seen_and_a_source_without_frames_gives_nothing() -> None:
    attention = CrossAttention(4, heads=2, dropout=0.0)
    x, source = draw(2, 3, 4), draw(2, 5, 4)
    mask = torch.tensor([[True, True, False, False, False], [False] * 5])
    found = attention(x, source, mask)
    source[:, 2:] = 1e6
    torch.testing.assert_close(attention(x, source, mask), found, rtol=0, atol=0)
    torch.testing.assert_close(attention(x[:1], source[:1, :2], mask[:1, :2]), found[:1])
    assert not found[1].any()
    source[0, 1] += 1
    assert not torch.equal(attention(x, source, mask)[0], found[0])


@pytest.mark.parametrize("own", [True, False])
def test_a_layer_by_its_equations(own: bool) -> None:
    model = baseline_data.build("mult", STILL)
    layer = model.crossmodal["text_to_audio"].layers[0]
    for norm in (layer.attention_norm, layer.feedforward_norm):
        norm.weight.data, norm.bias.data = draw(8), draw(8)
    x, mask = draw(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    source = x if own else draw(1, 3, 8) + 1
    norm = layer.attention_norm
    middle = x + layer.attention(norm(x), norm(source), mask)
    first, _, _, second = layer.feedforward
    expected = middle + second(torch.relu(first(layer.feedforward_norm(middle))))
    torch.testing.assert_close(layer(x, None if own else source, mask), expected)


def test_all_layers_look_at_the_source_as_it_came() -> None:
    model = baseline_data.build("mult", {**STILL, "layers": 2})
    transformer = model.crossmodal["text_to_audio"]
    assert isinstance(transformer, CrossTransformer)
    x, source, mask = draw(1, 3, 8), draw(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    expected = x
    for layer in transformer.layers:
        expected = layer(expected, source, mask)
    torch.testing.assert_close(transformer(x, source, mask), transformer.norm(expected))


# -------------------------------------------------------------------------------------- embedding


def test_the_convolution_sees_a_clips_neighbouring_frames_and_zeros() -> None:
    embed = Embedding(1, 1, 3, norm=False, dropout=0.0)
    embed.convolution.weight.data = torch.tensor([[[1.0, 10.0, 100.0]]])
    found, mask = embed(Frames(torch.tensor([[1.0], [2.0], [3.0], [7.0]]), torch.tensor([3, 1])))
    at = torch.sin(torch.arange(3.0))  # positions of width 1
    expected = torch.tensor([[210.0, 321.0, 32.0], [70.0, 7.0, 0.0]]) + at
    torch.testing.assert_close(found.squeeze(-1)[mask], expected[mask])
    assert mask.tolist() == [[True, True, True], [True, False, False]]


def test_last_frame_of_each_clip() -> None:
    x = torch.arange(6.0).view(3, 2, 1)
    assert last_frame(x, torch.tensor([2, 1, 0])).flatten().tolist() == [1, 2, 0]


# ------------------------------------------------------------------------------------------ model


def changed(batch: Batch, name: str, values: Tensor) -> Batch:
    return replace(batch, frames={**batch.frames, name: replace(batch.frames[name], values=values)})


@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_the_order_of_frames_matters(name: str) -> None:
    model = baseline_data.build("mult").eval()
    batch = baseline_data.batch_of(model, 1)
    frames = batch.frames[name]
    longer = torch.cat([frames.values, frames.values + 1, frames.values - 2])
    lengths = torch.tensor([len(longer)])
    found = [
        model(replace(batch, frames={**batch.frames, name: Frames(x, lengths)}))
        for x in (longer, longer.flip(0))
    ]
    assert not torch.allclose(*found, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target"), [("text", "audio"), ("audio", "vision"), ("vision", "text")]
)
def test_a_stream_carries_its_source_to_its_target(source: str, target: str) -> None:
    """With one crossmodal Transformer alone left to look, only its source is seen through it."""
    model = baseline_data.build("mult", STILL).eval()
    batch = baseline_data.batch_of(model, 2)
    seen: dict[str, Tensor] = {}

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["stream"] = output

    model.crossmodal[f"{source}_to_{target}"].register_forward_hook(keep)

    def stream(of: Batch) -> Tensor:
        model(of)
        return seen["stream"]

    before = stream(batch)
    assert before.shape[1] == int(batch.frames[target].lengths.max())
    for name, frames in batch.frames.items():
        after = stream(changed(batch, name, frames.values + 1))
        assert torch.equal(before, after) == (name not in (source, target))


def test_the_outputs_are_made_of_each_targets_last_frame() -> None:
    model = baseline_data.build("mult", STILL).eval()
    batch = baseline_data.batch_of(model, 3)
    last: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Tensor) -> None:
        lengths = batch.frames[list(model.temporal)[len(last)]].lengths
        last.append(torch.stack([x[n - 1] for x, n in zip(output, lengths, strict=True)]))

    for transformer in model.temporal.values():
        transformer.register_forward_hook(keep)
    found = model(batch)
    vector = torch.cat(last, dim=1)
    first, _, _, second = model.residual
    expected = model.out(vector + second(torch.relu(first(vector))))
    torch.testing.assert_close(found, expected)


def test_dropout_and_normalisation_are_where_the_settings_say() -> None:
    model = baseline_data.build("mult", {"text_dropout": 0.25})
    assert {n: e.dropout.p for n, e in model.embeddings.items()} == {
        "text": 0.25, "audio": 0, "vision": 0,
    }  # fmt: skip
    for wanted in (True, False):
        model = baseline_data.build("mult", {"input_norm": wanted})
        normed = {n for n, e in model.embeddings.items() if e.norm is not None}
        assert normed == ({"audio", "vision"} if wanted else set())


def test_published_settings() -> None:
    """Table 5 of the paper."""
    mosi, mosei = (registry.get("mult").config(preset).model_dump() for preset in ("mosi", "mosei"))
    table = {
        "batch_size": (128, 16),
        "d": (40, 40),
        "layers": (4, 4),
        "attention_heads": (10, 8),
        "text_dropout": (0.2, 0.3),
        "dropout": (0.2, 0.1),
        "output_dropout": (0.1, 0.1),
        "clip": (0.8, 1.0),
        "epochs": (100, 20),
    }
    assert {name: (mosi[name], mosei[name]) for name in table} == table
    assert mosi["rates"]["other"]["lr"] == mosei["rates"]["other"]["lr"] == 1e-3
    assert mosi["kernels"] == {"text": 1, "audio": 3, "vision": 3}


def test_released_drops_attention_and_leaves_inputs_alone() -> None:
    config = registry.get("mult").config("mosi").released()
    assert (config.attention_dropout, config.input_norm) == (0.2, False)
    model = baseline_data.build("mult", {"attention_dropout": 0.5, **STILL}).train()
    batch = baseline_data.batch_of(model, 3)
    assert not torch.equal(model(batch), model(batch))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ["text"]}, "modalities: two are needed"),
        ({"d": 9}, "attention_heads: 2 does not divide d = 9"),
        ({"kernels.audio": 2}, "kernels.audio: an odd number is needed"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        baseline_data.settings("mult", changes)


@pytest.mark.parametrize(("clip", "longest"), [(1e-3, 1e-3), (1e3, 1e3)])
def test_gradients_are_clipped_before_the_step(clip: float, longest: float) -> None:
    stage = baseline_data.first_stage(baseline_data.build("mult", {"clip": clip, "epochs": 1}))
    norms: list[float] = []

    def measure(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        norms.append(float(torch.stack([p.grad.norm() for p in parameters]).norm()))

    stage.optimizers[0].register_step_pre_hook(measure)
    fit(stage)
    assert norms
    if longest < 1:
        assert max(norms) == pytest.approx(clip, rel=1e-3)
    else:
        assert min(norms) > 1e-2  # as they were


def test_training_improves_on_the_start() -> None:
    changes = {**STILL, "epochs": 25, "patience": None, "rates.other.lr": 3e-3}
    rows = fit(baseline_data.first_stage(baseline_data.build("mult", changes)))
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
