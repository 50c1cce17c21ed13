"""The heads, and what draws two views together."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tricord.nn.attraction import AttractionHeads, attraction


def vectors(clips: int, seed: int) -> torch.Tensor:
    return torch.randn(clips, 6, generator=torch.Generator().manual_seed(seed))


def test_equal_views_are_drawn_as_one() -> None:
    z, p = vectors(4, 0), vectors(4, 1)
    expected = -F.cosine_similarity(z, p).mean()
    torch.testing.assert_close(attraction(z, p, z, p), expected)
    torch.testing.assert_close(attraction(z, z, z, z), torch.tensor(-1.0))


def test_z_gets_no_gradient() -> None:
    given = [vectors(4, seed).requires_grad_() for seed in range(4)]
    attraction(*given).backward()
    assert [x.grad is None for x in given] == [True, False, True, False]


@torch.no_grad()
def test_one_clip_and_none() -> None:
    heads = AttractionHeads(6, 3)
    assert all(bool(x.isfinite().all()) for x in heads(vectors(1, 0)))
    none = heads(vectors(0, 0))
    assert [len(x) for x in none] == [0, 0]
    assert float(attraction(*none, *none)) == 0.0
