"""Which frames a unimodal model's output hangs on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tricord.models.unimodal import Unimodal
from tricord.training.stages import evaluation_mode
from tricord.types import Frames

METHOD = "gradient times input, L2 norm over the features"


def gradient_times_input(model: Unimodal, frames: Frames, outputs: Tensor) -> Tensor:
    """|x_f * dz / dx_f| of every frame x_f, (F,) and at least 0 (Shrikumar et al. 2016).

    z is the logit of the clip to which the frame belongs; outputs: (B,) which of the c logits.
    First order and local: it says what the output hangs on nearby, not what the model would say
    without the frame. The model is in evaluation mode meanwhile and keeps no gradient.
    """
    values = frames.values.detach().clone().requires_grad_()
    if not len(values):
        return values.detach().new_zeros(0)
    with evaluation_mode(model), torch.enable_grad():
        logits = model(replace(frames, values=values)).logits
        # clips do not touch each other in evaluation mode, so that one sum serves them all
        (gradient,) = torch.autograd.grad(logits.gather(1, outputs[:, None]).sum(), values)
    found: Tensor = (gradient * values.detach()).norm(dim=1)
    return found
