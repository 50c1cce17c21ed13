"""TFN: all products of the modalities' vectors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import baseline_data
from tricord.labels import sentiment
from tricord.models import registry
from tricord.models.baselines.tfn import TFN, tensor_fusion
from tricord.training.loop import fit
from tricord.types import Frames, Polarity


def test_product_of_two_by_hand() -> None:
    found = tensor_fusion([torch.tensor([[2.0]]), torch.tensor([[3.0, 5.0]])])
    assert found.tolist() == [[1, 3, 5, 2, 6, 10]]


def test_product_of_three_by_hand() -> None:
    vectors = [torch.tensor([[x], [0.0]]) for x in (2.0, 3.0, 5.0)]
    first, second = tensor_fusion(vectors).tolist()
    assert sorted(first) == [1, 2, 3, 5, 6, 10, 15, 30]  # of every subset
    assert second == [1, 0, 0, 0, 0, 0, 0, 0]


def test_one_modality_is_left_as_it_is() -> None:
    assert tensor_fusion([torch.tensor([[7.0, 8.0]])]).tolist() == [[1, 7, 8]]


def test_widths_are_the_published_ones() -> None:
    """129 x 33 x 33 products, two layers of 128, one score."""
    model = registry.get("tfn").build(registry.get("tfn").config("mosi"), registry.WIDTHS["mosi"])
    assert isinstance(model, TFN)
    assert model.first.in_features == 129 * 33 * 33
    layers = (model.first, model.second, model.out)
    fusion = sum(p.numel() for layer in layers for p in layer.parameters())
    assert fusion == (129 * 33 * 33 + 1) * 128 + 129 * 128 + 129


def test_the_inference_network_by_its_equations() -> None:
    model = baseline_data.build("tfn", {"bounded": False}).eval()
    batch = baseline_data.batch_of(model, 3)
    hidden = tensor_fusion(list(model.vectors(batch).values()))
    for layer in (model.first, model.second):
        hidden = torch.relu(hidden @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model(batch), hidden @ model.out.weight.T + model.out.bias)


def test_a_subnetwork_sees_the_mean_of_the_frames_and_the_text_word_by_word() -> None:
    model = baseline_data.build("tfn").eval()
    batch = baseline_data.batch_of(model, 1)
    before = model.vectors(batch)
    frames = {
        name: Frames(torch.cat([x.values, x.values + 1, x.values + 2]), x.lengths * 3)
        for name, x in batch.frames.items()
    }
    longer = model.vectors(replace(batch, frames=frames))
    means = {n: Frames(x.values.mean(dim=0)[None], torch.ones(1).long()) for n, x in frames.items()}
    flat = model.vectors(replace(batch, frames=means))
    for name in before:
        assert torch.allclose(longer[name], flat[name], atol=1e-5) == (name != "text")
        assert not torch.allclose(longer[name], before[name], atol=1e-5)
        assert float(before[name].detach().min()) >= 0


@pytest.mark.parametrize("bound", [1.0, 3.0])
def test_scores_stay_within_the_labels_range(bound: float) -> None:
    model = baseline_data.build("tfn", {"dropout": 0}).eval()
    labels = sentiment(Polarity.NON_NEGATIVE, bound).model_copy(update={"head": "regression"})
    model.config = model.config.with_labels(labels)
    batch = baseline_data.batch_of(baseline_data.build("tfn"), 4)
    model.out.weight.data *= 1000
    model.requires_grad_(False)
    assert float(model(batch).abs().max()) == pytest.approx(bound, rel=1e-3)
    model.config = model.config.with_settings({"bounded": False})
    assert float(model(batch).abs().max()) > 2 * bound


def test_without_bounds_it_is_what_the_sigmoid_saw() -> None:
    model = baseline_data.build("tfn").eval()
    batch = baseline_data.batch_of(model, 4)
    bounded = model(batch)
    model.config = model.config.with_settings({"bounded": False})
    torch.testing.assert_close(bounded, 2 * torch.sigmoid(model(batch)) - 1)


def test_training_improves_on_the_start() -> None:
    rate = {"lr": 0.01, "weight_decay": 0}
    changes = {"epochs": 40, "patience": None, "dropout": 0, "rates.other": rate}
    rows = fit(baseline_data.first_stage(baseline_data.build("tfn", changes)))
    assert rows[-1]["train_loss"] < 0.7 * rows[0]["train_loss"]
