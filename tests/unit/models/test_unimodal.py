"""One modality's model."""

from __future__ import annotations

import pytest
import torch

from builders import random_clips, small_model, to_batch

BATCH = to_batch(random_clips([[3, 4, 2], [1, 2, 5]]), extra=2, filler=7.0)


@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_predict_features_masks_by_length(name: str) -> None:
    model = small_model().parts[name]
    x, mask = BATCH.values[name], BATCH.masks[name]
    output = model.predict_features(x, mask.sum(dim=1))
    torch.testing.assert_close(output.h, model.encoder(x, mask))
    torch.testing.assert_close(output.logits, model.classifier(output.h))
    everything = model.predict_features(x)
    torch.testing.assert_close(everything.h, model.encoder(x, None))
    assert (everything.h - output.h).abs().max() > 1e-3
    assert not output.logits.requires_grad


@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_one_clip_of_one_frame_trains(name: str) -> None:
    model = small_model().parts[name].train()
    x = BATCH.values[name][:1, :1]
    model(x, torch.ones(1, 1, dtype=torch.bool)).logits.sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
