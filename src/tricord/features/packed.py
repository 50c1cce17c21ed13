"""A Hugging Face encoder on tokens without padding.

All tokens of all clips are one row of the model's input, so that its linear layers and norms see
real tokens only. Clips of one length stand side by side in that row, which makes attention clip by
clip a matter of views: nothing is copied, and nothing is masked. Positions begin anew with each
clip. Whether a model can be run that way is tried, not known: see `first_position`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.types import Frames, inside

_NAME = "tricord-packed"
_AGREE = 1e-3  # of the largest state: rounding is 1000 times less, a wrong position far more
_TRIED = (3, 7, 4)  # lengths of the clips that are tried
_MOST_TRIED = 1024  # tokens
PADDED_CLIPS = 16  # sorted by length, their padding is little

Groups = Sequence[tuple[int, int]]  # (n, L): n clips of L tokens, L rising


def packed_states(model: nn.Module, tokens: Frames, first: int) -> Tensor:
    """(F,) tokens -> (F, width) last hidden states, for a model that `first_position` is known of.

    Without padding that counts as frames.
    """
    order = torch.argsort(tokens.lengths, stable=True)
    frames = _frames(tokens.lengths, order).to(tokens.values.device)
    lengths, counts = torch.unique(tokens.lengths[tokens.lengths > 0], return_counts=True)
    groups = list(zip(counts.tolist(), lengths.tolist(), strict=True))
    positions = torch.cat([torch.arange(length).repeat(n) for n, length in groups]) + first
    hidden = model(
        input_ids=tokens.values[frames][None],
        position_ids=positions.to(frames.device)[None],
        clips=groups,
    ).last_hidden_state[0]
    return _undo(hidden, frames)


def padded_states(model: nn.Module, tokens: Frames) -> Tensor:
    """The same by plain calls, for any model.

    Where padding counts as frames it gets states too, but only real tokens are attended to.
    """
    order = torch.argsort(tokens.lengths, stable=True, descending=True)
    order = order[: int((tokens.lengths > 0).sum())]
    frames = _frames(tokens.lengths, order).to(tokens.values.device)
    parts, start = [], 0
    for rows in torch.split(order, PADDED_CLIPS):
        lengths = tokens.lengths[rows]
        end = start + int(lengths.sum())
        padded, mask = Frames(tokens.values[frames[start:end]], lengths).pad()
        seen = mask
        if tokens.real is not None:
            seen = inside(tokens.real[rows], mask.shape[1]).to(mask.device)
        hidden = model(input_ids=padded, attention_mask=seen.long()).last_hidden_state
        parts.append(hidden[mask])
        start = end
    return _undo(torch.cat(parts), frames)


def _frames(lengths: Tensor, order: Tensor) -> Tensor:
    """(F,) the frames of clips in another order."""
    starts = lengths.cumsum(0) - lengths
    moved = lengths[order]
    shift = starts[order] - (moved.cumsum(0) - moved)
    return torch.arange(int(moved.sum())) + shift.repeat_interleave(moved)


def _undo(values: Tensor, frames: Tensor) -> Tensor:
    return torch.empty_like(values).index_copy(0, frames, values)


def first_position(model: nn.Module) -> int | None:
    """The position of a clip's first token, or None where the model needs padded calls.

    Models number positions from 0 or from behind the padding token's id. Each is tried on some
    clips, repeated until they are more tokens than most models have positions, and must agree with
    padded calls. A model that numbers positions in another way, or looks through windows or
    backwards alone, raises or disagrees. Its attention is exchanged where it agrees, and left alone
    where not.
    """
    config: Any = model.config
    if not getattr(model, "_supports_attention_backend", False):  # cannot exchange its attention
        return None
    clips = _example(config.vocab_size).to(next(model.parameters()).device)
    before, training = config._attn_implementation, model.training
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(clips.values.device.type, enabled=False):
            expected = padded_states(model, clips)
            most = getattr(config, "max_position_embeddings", None) or 0
            copies = 1 + min(most, _MOST_TRIED) // len(clips.values)
            row = Frames(clips.values.repeat(copies), clips.lengths.repeat(copies))
            with contextlib.suppress(Exception):  # whatever comes of a model not made for this
                config._attn_implementation = _registered()
                for first in (0, config.pad_token_id + 1):
                    if _agree(packed_states(model, row, first), expected.repeat(copies, 1)):
                        return first
            config._attn_implementation = before
            return None
    finally:
        model.train(training)


def _example(vocabulary: int) -> Frames:
    lengths = torch.tensor(_TRIED)
    # from the vocabulary's end, where no special tokens are
    return Frames(vocabulary - 1 - torch.arange(int(lengths.sum())) % (vocabulary // 2), lengths)


def _agree(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= _AGREE * expected.abs().max())


def _registered() -> str:
    """The name under which a model finds our attention."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    return _NAME


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    clips: Groups | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """(1, heads, F, w) -> (1, F, heads, w), clip by clip; without clips, as transformers has it."""
    if clips is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        given = {"dropout": dropout, "scaling": scaling, **others}
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **given
        )
        return plain
    unknown = [k for k, v in others.items() if k != "position_ids" and v not in (None, False)]
    if unknown or attention_mask is not None:
        raise NotImplementedError(f"attention with a mask or {unknown}")
    sizes = [n * length for n, length in clips]
    split = (torch.split(x[0].transpose(0, 1), sizes) for x in (query, key, value))
    parts = []
    for group, *rows in zip(clips, *split, strict=True):
        q, k, v = (x.unflatten(0, group).transpose(1, 2) for x in rows)
        gqa = q.shape[1] != k.shape[1]
        mixed = F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, scale=scaling, enable_gqa=gqa
        )
        parts.append(mixed.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts)[None], None
