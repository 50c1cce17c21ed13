"""One modality's model."""

from __future__ import annotations

import pytest
import torch

from builders import features, random_clips, small_model
from tricord.types import Frames

CLIPS = random_clips([[3, 4, 2], [1, 2, 5]])


@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_predict_features_masks_by_length(name: str) -> None:
    model = small_model().parts[name]
    x, lengths = (part[name] for part in features(CLIPS, extra=2, filler=7.0))
    output = model.predict_features(x, lengths)
    torch.testing.assert_close(output.h, model.encoder(Frames.pack(x, lengths)))
    torch.testing.assert_close(output.logits, model.classifier(output.h))
    everything = model.predict_features(x)
    full = torch.full_like(lengths, x.shape[1])
    torch.testing.assert_close(everything.h, model.encoder(Frames.pack(x, full)))
    assert (everything.h - output.h).abs().max() > 1e-3
    assert not output.logits.requires_grad


@pytest.mark.parametrize("name", ["text", "audio", "vision"])
def test_one_clip_of_one_frame_trains(name: str) -> None:
    model = small_model().parts[name].train()
    model(Frames(CLIPS[0][name][:1], torch.tensor([1]))).logits.sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
