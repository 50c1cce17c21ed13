"""LMF: TFN's product times a weight tensor of low rank."""

from __future__ import annotations

import torch

import baseline_data
from tricord.models.baselines.lmf import LMF, low_rank_fusion
from tricord.models.baselines.tfn import tensor_fusion
from tricord.training.loop import fit


def test_rank_two_by_hand() -> None:
    vectors = [torch.tensor([[2.0]]), torch.tensor([[3.0]])]
    factors = [
        torch.tensor([[[1.0], [1.0]], [[0.0], [1.0]]]),  # 1 + z, z
        torch.tensor([[[1.0], [0.0]], [[0.0], [2.0]]]),  # 1, 2 z
    ]
    found = low_rank_fusion(vectors, factors, torch.tensor([10.0, 0.5]))
    assert found.tolist() == [[10 * (3 * 1) + 0.5 * (2 * 6)]]


def test_it_is_the_full_tensor_that_the_factors_make_up() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sizes, rank, outputs = (4, 2, 3), 3, 2
    vectors = [draw(5, size) for size in sizes]
    factors = [draw(rank, 1 + size, outputs) for size in sizes]
    weights = draw(rank)
    full = torch.einsum("r,rao,rbo,rco->abco", weights, *factors).flatten(0, 2)
    torch.testing.assert_close(
        low_rank_fusion(vectors, factors, weights), tensor_fusion(vectors) @ full
    )


def test_the_model_is_its_fusion_and_a_bias() -> None:
    model = baseline_data.build("lmf").eval()
    assert isinstance(model, LMF)
    batch = baseline_data.batch_of(model, 3)
    found = model(batch)
    model.bias.data += 0.25
    torch.testing.assert_close(model(batch), found + 0.25)
    model.weights.data *= 0
    torch.testing.assert_close(model(batch), model.bias.expand(3, 1))


def test_fusion_grows_with_the_rank_and_not_with_products() -> None:
    sizes = [baseline_data.build("lmf", {"rank": rank}).size for rank in (1, 2, 3)]
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == (1 + 8) + (1 + 4) + (1 + 4) + 1


def test_training_improves_on_the_start() -> None:
    rate = {"lr": 0.01, "weight_decay": 0}
    changes = {"epochs": 40, "patience": None, "dropout": 0, "rates.other": rate}
    rows = fit(baseline_data.first_stage(baseline_data.build("lmf", changes)))
    assert rows[-1]["train_loss"] < 0.7 * rows[0]["train_loss"]
