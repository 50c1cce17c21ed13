"""MulT (Tsai et al. 2019): every modality attends to every other one, frame by frame.

B clips; L frames of the modality that looks (the target), S of the one looked at (the source); d
shared width. Masks are True for a frame. Attention sees each clip's own frames alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout, Positive
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage, scores_of
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.chunks import plan
from tricord.nn.encoder import FrameNorm, sinusoidal_positions
from tricord.types import Batch, Frames

KERNELS = {"text": 1, "audio": 3, "vision": 3}  # table 5 of the paper


class MulTConfig(BaselineConfig):
    """Widths, depth and dropout as in table 5 of the paper.

    d, layers, heads: of each crossmodal Transformer. kernels: modality -> frames of its temporal
        convolution, odd. dropout: within the blocks. text_dropout: on the text's features.
        output_dropout: within the last layers. clip: largest norm of the gradient.
    attention_dropout: on the attention weights, which must then be written out: with a thousand
        frames that is gigabytes. The paper drops as many as within the blocks.
    input_norm: batch normalisation of audio and vision; the paper has none, and large features
        as those of CH-SIMS do not train without.
    """

    possible_heads: ClassVar[tuple[str, ...]] = ("regression", "classification")

    d: Count = 40
    layers: Count = 4
    attention_heads: Count = 10
    kernels: dict[str, Count] = KERNELS
    dropout: Dropout = 0.2
    text_dropout: Dropout = 0.2
    output_dropout: Dropout = 0.1
    attention_dropout: Dropout = 0
    clip: Positive = 0.8
    input_norm: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.modalities) < 2:
            raise ValueError("modalities: two are needed, each attends to another")
        if self.d % self.attention_heads:
            raise ValueError(
                f"attention_heads: {self.attention_heads} does not divide d = {self.d}"
            )
        even = [name for name, size in self.kernels.items() if size % 2 == 0]
        if even:
            raise ValueError(f"kernels.{even[0]}: an odd number is needed")
        return self

    def released(self) -> Self:
        """As published: dropout on attention weights, no normalisation of the input."""
        return self.with_settings({"attention_dropout": self.dropout, "input_norm": False})


class CrossAttention(nn.Module):
    """Frames of the target look at frames of the source (Tsai et al. 2019, equation 1)."""

    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(d, d)
        self.source = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """(B, L, d), (B, S, d) with (B, S) -> (B, L, d); 0 for a clip whose source has no frame."""
        some = mask.any(dim=1)
        seen = (mask | ~some[:, None])[:, None, None, :]
        key, value = self.source(source).chunk(2, dim=-1)
        query, key, value = (self._by_head(part) for part in (self.query(x), key, value))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out * some[:, None, None]

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, heads, L, d / heads), laid out so: attention is twice as fast then."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2).contiguous()


class CrossLayer(nn.Module):
    """Attention and a position-wise part, each after layer normalisation (equation 4)."""

    def __init__(self, d: int, config: MulTConfig) -> None:
        super().__init__()
        self.attention = CrossAttention(d, config.attention_heads, config.attention_dropout)
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.feedforward = nn.Sequential(
            nn.Linear(d, 4 * d), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(4 * d, d)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, source: Tensor | None, mask: Tensor) -> Tensor:
        """(B, L, d); without a source, frames look at their own clip."""
        normed = self.attention_norm(x)
        looked_at = normed if source is None else self.attention_norm(source)
        x = x + self.dropout(self.attention(normed, looked_at, mask))
        out: Tensor = x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        return out


class CrossTransformer(nn.Module):
    """Layers one after the other, all with the same source, and a last normalisation."""

    def __init__(self, d: int, config: MulTConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(d, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)

    def forward(self, x: Tensor, source: Tensor | None, mask: Tensor) -> Tensor:
        """(B, L, d); mask: of the source, or of x where there is none."""
        for layer in self.layers:
            x = layer(x, source, mask)
        out: Tensor = self.norm(x)
        return out


class Embedding(nn.Module):
    """[Normalisation] -> dropout -> temporal convolution -> positions (equations 2 and 3).

    The convolution sees zeros before the first and after the last frame of a clip.
    """

    def __init__(self, width: int, d: int, kernel: int, *, norm: bool, dropout: float) -> None:
        super().__init__()
        self.norm = FrameNorm(width) if norm else None
        self.dropout = nn.Dropout(dropout)
        self.convolution = nn.Conv1d(width, d, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Frames) -> tuple[Tensor, Tensor]:
        """(B, L, d) up to the longest of these clips, and (B, L) its mask."""
        values = x.values if self.norm is None else self.norm(x.values)
        padded, mask = Frames(self.dropout(values), x.lengths).pad()
        hidden = self.convolution(padded.transpose(1, 2)).transpose(1, 2)
        return hidden + sinusoidal_positions(hidden.shape[1], hidden.shape[2], hidden), mask


def last_frame(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, L, d) and (B,) -> (B, d): each clip's last frame, 0 where there is none."""
    rows = torch.arange(len(x), device=x.device)
    found = x[rows, (lengths - 1).clamp(min=0).to(x.device)]
    return found.masked_fill((lengths == 0).to(x.device)[:, None], 0.0)


class MulT(Baseline):
    """Crossmodal Transformers for all ordered pairs, self-attention over each target's streams.

    The last frames of all targets, side by side, pass a residual block to the outputs.
    """

    config: MulTConfig

    def __init__(self, config: MulTConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        config = self.config
        self.embeddings = nn.ModuleDict(
            {name: self._embedding(name, width) for name, width in self.widths.items()}
        )
        self.crossmodal = nn.ModuleDict(
            {
                f"{source}_to_{target}": CrossTransformer(config.d, config)
                for target in self.widths
                for source in self._sources(target)
            }
        )
        stream = config.d * (len(self.widths) - 1)
        self.temporal = nn.ModuleDict(
            {target: CrossTransformer(stream, config) for target in self.widths}
        )
        total = stream * len(self.widths)
        self.residual = nn.Sequential(
            nn.Linear(total, total),
            nn.ReLU(),
            nn.Dropout(config.output_dropout),
            nn.Linear(total, total),
        )
        self.out = nn.Linear(total, config.labels.outputs)

    def _embedding(self, name: str, width: int) -> Embedding:
        config = self.config
        text = name == TEXT
        return Embedding(
            width,
            config.d,
            config.kernels[name],
            norm=config.input_norm and not text,
            dropout=config.text_dropout if text else 0.0,
        )

    def _sources(self, target: str) -> list[str]:
        return [name for name in self.widths if name != target]

    def forward(self, batch: Batch) -> Tensor:
        """(B, c)."""
        frames = {name: self.frames(batch, name) for name in self.widths}
        embedded = {name: embed(frames[name]) for name, embed in self.embeddings.items()}
        last = []
        for target, transformer in self.temporal.items():
            x, mask = embedded[target]
            streams = [
                self.crossmodal[f"{source}_to_{target}"](x, *embedded[source])
                for source in self._sources(target)
            ]
            last.append(self._read(transformer, torch.cat(streams, dim=-1)[mask], frames[target]))
        vector = torch.cat(last, dim=1)
        out: Tensor = self.out(vector + self.residual(vector))
        return out

    def _read(self, transformer: nn.Module, hidden: Tensor, frames: Frames) -> Tensor:
        """(F, d) -> (B, d): each clip's last frame after self-attention; like lengths together."""
        found = hidden.new_zeros(len(frames), hidden.shape[1])
        if not len(hidden):
            return found
        chunks = plan(frames.lengths, hidden.device)
        last = []
        for chunk, part in chunks.split(hidden):
            whole = part.new_ones(chunk.shape, dtype=torch.bool)
            seen = transformer(part, None, whole if chunk.mask is None else chunk.mask)
            last.append(last_frame(seen, frames.lengths[chunk.rows.cpu()]))
        return found.index_copy(0, chunks.rows, torch.cat(last))


class MulTStage(BaselineStage[MulT]):
    """Training with gradients of limited length."""

    def update(self) -> None:
        """Clip, then step; the language model's gradients have no part in the norm."""
        if self._batches:
            ours = [p for group in self.model.groups().values() for p in group]
            nn.utils.clip_grad_norm_(ours, self.model.config.clip)
        super().update()


MulT.stage = MulTStage

# Table 5 of "Multimodal Transformer for Unaligned Multimodal Language Sequences"
MOSI: dict[str, Any] = {"batch_size": 128, "epochs": 100}
MOSEI: dict[str, Any] = {
    "batch_size": 16,
    "epochs": 20,
    "attention_heads": 8,
    "dropout": 0.1,
    "text_dropout": 0.3,
    "clip": 1.0,
}
# the paper has no Chinese data: CMU-MOSI's settings, with batches that long audio leaves room for
SIMS: dict[str, Any] = {"batch_size": 16, "epochs": 100}
TINY: dict[str, Any] = {"epochs": 3, "d": 8, "layers": 1, "attention_heads": 2}
PUBLISHED = {"mosi": MOSI, "mosei": MOSEI, "ch-sims": SIMS, "ch-sims-v2": SIMS, "tiny": TINY}


def config(preset: str) -> MulTConfig:
    """The published settings; patience is ours, the paper trains for a fixed time."""
    return MulTConfig(
        preset=preset,
        labels=scores_of(preset),
        rates={"other": Rate(lr=1e-3)},
        **PUBLISHED.get(preset, SIMS),
    )


ENTRIES = (
    Entry(
        name="mult",
        title="MulT",
        paper="Multimodal Transformer for Unaligned Multimodal Language Sequences",
        year=2019,
        licence="written from the paper",
        config=config,
        build=MulT,
        needs=("two modalities at least",),
        search={
            "layers": Choice((1, 2, 3, 4, 5)),
            "d": Choice((40, 80, 120)),
            "dropout": Range(0.0, 0.4),
            "text_dropout": Range(0.0, 0.4),
            "rates.other.lr": Range(1e-4, 2e-3, log=True),
        },
    ),
)
