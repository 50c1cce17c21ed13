"""The same training written plainly, from the paper's equations: what our speed is held against.

Torch's own modules and nothing of `tricord.nn`. Every clip is padded to the file's length and
padding counts as frames; the language model runs on all of it, in float32, at every step, also in
stage 1 where it is frozen; attention has dropout; stage 1 goes backward twice, for Eq. 7 and for
Eq. 8; labels are refined clip by clip; Adam and EMA go parameter by parameter. For classes, and
clips with all modalities present. Tests hold its losses and labels against ours.

Shapes: B clips, K modalities, c classes, d shared width.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.config import EncoderConfig, RunConfig
from tricord.data.schema import FeatureTable
from tricord.training.stages import positive_from
from tricord.types import Modality

TEXT = str(Modality.TEXT)
Done = Callable[[], object]


@dataclass(frozen=True)
class Clips:
    """N padded clips.

    tokens, attend: (N, L). frames: (N, L_k, width_k) of all but text. y: (N,) classes.
    """

    tokens: Tensor
    attend: Tensor
    frames: Mapping[str, Tensor]
    y: Tensor

    @classmethod
    def of(cls, table: FeatureTable, config: RunConfig) -> Clips:
        """A split, all of its clips padded to the file's length."""
        assert table.tokens is not None
        steps, lengths = np.arange(table.tokens.padded_length), table.tokens.lengths
        return cls(
            torch.as_tensor(table.tokens.padded()),
            torch.as_tensor(steps < lengths[:, None]).long(),
            {k: torch.as_tensor(s.padded()) for k, s in table.sequences.items() if k != TEXT},
            torch.as_tensor(config.labels.to_class(table.scores[:, 0])),
        )

    def at(self, rows: Tensor) -> Clips:
        """Some of them."""
        frames = {k: x[rows] for k, x in self.frames.items()}
        return Clips(self.tokens[rows], self.attend[rows], frames, self.y[rows])


class Unimodal(nn.Module):
    """f_k (Eq. 1-4), padding included, and p_k (Eq. 6)."""

    def __init__(self, width: int, own: EncoderConfig, config: RunConfig) -> None:
        super().__init__()
        model, d = config.model, config.model.d
        self.norm = nn.BatchNorm1d(width) if own.input_norm else nn.Identity()
        self.proj = nn.Conv1d(width, d, kernel_size=1, bias=False)
        layer = partial(nn.TransformerEncoderLayer, batch_first=True, norm_first=True)
        self.layers = nn.Sequential(
            *(layer(d, own.heads, model.feedforward, model.dropout) for _ in range(own.layers))
        )
        self.proj1, self.proj2 = nn.Linear(d, d), nn.Linear(d, d)
        self.out = nn.Linear(d, config.labels.outputs)
        self.dropout = nn.Dropout(model.output_dropout)

    def encode(self, x: Tensor) -> Tensor:
        """(B, L, width) -> (B, d)."""
        hidden = self.layers(self.proj(self.norm(x.transpose(1, 2))).transpose(1, 2))
        return F.normalize(hidden.mean(dim=1), dim=1)

    def classify(self, h: Tensor) -> Tensor:
        """(B, d) -> (B, c)."""
        logits: Tensor = self.out(self.proj2(self.dropout(F.relu(self.proj1(h)))) + h)
        return logits


class Parts(nn.ModuleDict):
    """The unimodal models by name."""

    def encode(self, text: Tensor, clips: Clips) -> list[Tensor]:
        """h_k of each modality, (B, d), from the language model's (B, L, width)."""
        inputs = {TEXT: text, **clips.frames}
        return [part.encode(inputs[name]) for name, part in self.named()]

    def classify(self, h: Sequence[Tensor]) -> list[Tensor]:
        """p_k of each modality, (B, c)."""
        return [part.classify(row) for (_, part), row in zip(self.named(), h, strict=True)]

    def named(self) -> Iterable[tuple[str, Unimodal]]:
        """In order."""
        return cast(Iterable[tuple[str, Unimodal]], self.items())


class Model(nn.Module):
    """All unimodal models, MCR, and the language model in front of text."""

    def __init__(self, config: RunConfig, widths: Mapping[str, int], bert: nn.Module) -> None:
        super().__init__()
        own = config.modalities
        self.unimodal = Parts({k: Unimodal(w, own[k], config) for k, w in widths.items()})
        self.router = nn.Linear(config.model.d, len(widths))
        self.bert = bert

    def text(self, clips: Clips) -> Tensor:
        """(B, L, width)."""
        outputs = self.bert(input_ids=clips.tokens, attention_mask=clips.attend)
        return cast(Tensor, outputs.last_hidden_state)


def cross_entropies(logits: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """The sum of Eq. 7, 15 and 16 over pairs."""
    return torch.stack([F.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]).sum()


def supcon(h: Sequence[Tensor], labels: Sequence[Tensor], temperature: float) -> Tensor:
    """Eq. 8 as printed: each clip and modality is an anchor, those of equal label are positives."""
    f, y = torch.cat(list(h)), torch.cat(list(labels))
    others = ~torch.eye(len(f), dtype=torch.bool)
    ratio = torch.exp(f @ f.T / temperature) * others
    positive = (y[:, None] == y[None, :]) & others
    anchors = positive.any(dim=1)
    return -torch.log((ratio * positive).sum(dim=1)[anchors] / ratio.sum(dim=1)[anchors]).mean()


def refine(logits: Tensor, label: int) -> Tensor:
    """Eq. 21-27 of one clip, class by class: (c,) logits and y_kp -> (c,) soft label."""
    classes = torch.eye(len(logits), dtype=logits.dtype)
    p = torch.softmax(logits, dim=0)
    norms = [float(torch.linalg.vector_norm(p - one_hot)) for one_hot in classes]
    candidate = norms.index(min(norms))
    if candidate == label:  # alpha is 0
        return classes[label]
    alpha = (norms[label] - norms[candidate]) / (norms[label] + norms[candidate])
    return (1 - alpha) * classes[label] + alpha * classes[candidate]


class Training(ABC):
    """What both stages share: clips, the label of every clip and modality, an epoch."""

    def __init__(self, model: Model, config: RunConfig, train: Clips, valid: Clips) -> None:
        self.model, self.config, self.train, self.valid = model, config, train, valid
        one_hot = F.one_hot(train.y, config.labels.num_classes).to(model.router.weight.dtype)
        self.soft = {k: one_hot.clone() for k in model.unimodal}  # Eq. 19

    def labels(self, rows: Tensor) -> list[Tensor]:
        """Eq. 20: y_kp of each modality."""
        return [soft[rows].argmax(dim=1) for soft in self.soft.values()]

    def supcon(self, h: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        """Eq. 8 on positive and not."""
        first = positive_from(self.config.labels)
        return supcon(h, [y >= first for y in labels], self.config.supcon.temperature)

    def epoch(
        self, number: int, train: Sequence[Tensor], valid: Sequence[Tensor], step_done: Done
    ) -> list[float]:
        """Training and validation on these batches of rows: the steps' losses, then valid's."""
        self.begin(number)
        losses = []
        for rows in train:
            losses.append(self.step(rows))
            step_done()
        with torch.no_grad():
            parts = [self.validate(self.valid.at(rows)) * len(rows) for rows in valid]
        return [*losses, sum(parts) / sum(map(len, valid))]

    @abstractmethod
    def begin(self, epoch: int) -> None:
        """Training mode, and what depends on the epoch, counted from 1."""

    @abstractmethod
    def step(self, rows: Tensor) -> float:
        """One batch of train; its loss."""

    @abstractmethod
    def validate(self, clips: Clips) -> float:
        """The loss of a batch of valid."""


class Pretraining(Training):
    """Stage 1 (Eq. 5-9, 19-30)."""

    def __init__(self, model: Model, config: RunConfig, train: Clips, valid: Clips) -> None:
        super().__init__(model, config, train, valid)
        self.ema = copy.deepcopy(model.unimodal).eval()
        self.optimizer = torch.optim.Adam(model.unimodal.parameters(), lr=config.pretrain.lr)

    def begin(self, epoch: int) -> None:
        """Eq. 30."""
        self.model.unimodal.train()
        self.model.bert.eval()
        self.label_momentum, self.model_momentum = {}, {}
        for name, own in self.config.modalities.items():
            of_label, of_model = own.label_momentum, own.model_momentum
            self.label_momentum[name] = 1 - (1 - of_label.initial) / epoch**of_label.decay
            self.model_momentum[name] = 1 - (1 - of_model.initial) / epoch**of_model.decay

    def step(self, rows: Tensor) -> float:
        """Eq. 9, then the EMA models and the labels."""
        clips, labels = self.train.at(rows), self.labels(rows)
        with torch.no_grad():
            text = self.model.text(clips)
        h = self.model.unimodal.encode(text, clips)
        logits = self.model.unimodal.classify(h)
        task, contrast = cross_entropies(logits, labels), self.supcon(h, labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(task, retain_graph=True)
        torch.autograd.backward(contrast)
        self.optimizer.step()
        with torch.no_grad():
            self._follow()
            self._relabel(rows, logits)
        return (task + contrast).item()

    def _follow(self) -> None:
        """Eq. 29; BatchNorm's statistics are copied."""
        for name, part in self.model.unimodal.named():
            learned, theirs = dict(part.named_parameters()), part.state_dict()
            for key, mine in self.ema[name].state_dict().items():
                momentum = self.model_momentum[name] if key in learned else 0.0
                mine.copy_(momentum * mine + (1 - momentum) * theirs[key])

    def _relabel(self, rows: Tensor, logits: Sequence[Tensor]) -> None:
        """Eq. 21-28, clip by clip."""
        for (name, soft), outputs in zip(self.soft.items(), logits, strict=True):
            momentum = self.label_momentum[name]
            for row, output in zip(rows.tolist(), outputs, strict=True):
                refined = refine(output, int(soft[row].argmax()))
                soft[row] = momentum * soft[row] + (1 - momentum) * refined

    def validate(self, clips: Clips) -> float:
        """Eq. 9 of the EMA models against y_m."""
        labels = [clips.y] * len(self.soft)
        h = self.ema.encode(self.model.text(clips), clips)
        return (cross_entropies(self.ema.classify(h), labels) + self.supcon(h, labels)).item()


class Finetuning(Training):
    """Stage 2 (Eq. 10-18), the language model trained along."""

    def __init__(self, model: Model, config: RunConfig, train: Clips, valid: Clips) -> None:
        super().__init__(model, config, train, valid)
        named = dict(model.bert.named_parameters())
        free = [p for n, p in named.items() if n.endswith("bias") or "LayerNorm" in n]
        decayed = [p for n, p in named.items() if not n.endswith("bias") and "LayerNorm" not in n]
        text, rest = config.text, [*model.unimodal.parameters(), *model.router.parameters()]
        self.optimizer = torch.optim.Adam(
            [
                {"params": rest, "lr": config.finetune.lr},
                {"params": decayed, "lr": text.lr, "weight_decay": text.weight_decay},
                {"params": free, "lr": text.lr},
            ]
        )

    def begin(self, epoch: int) -> None:
        """Training mode."""
        self.model.train()

    def step(self, rows: Tensor) -> float:
        """Eq. 18."""
        loss = self._loss(self.train.at(rows), self.labels(rows))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.item()

    def validate(self, clips: Clips) -> float:
        """Eq. 18 against y_m."""
        self.model.eval()
        return self._loss(clips, [clips.y] * len(self.soft)).item()

    def _loss(self, clips: Clips, labels: Sequence[Tensor]) -> Tensor:
        h = self.model.unimodal.encode(self.model.text(clips), clips)
        stacked = torch.stack(h, dim=1)  # (B, K, d)
        similarity = stacked @ stacked.transpose(1, 2)  # Eq. 31
        fused = torch.softmax(similarity / self.config.finetune.temperature, dim=2) @ stacked
        votes = self.model.unimodal.classify(fused.unbind(dim=1))  # Eq. 11
        weights = torch.softmax(self.model.router(fused.sum(dim=1)), dim=1)  # Eq. 12, 34-35
        consensus = (weights[:, :, None] * torch.stack(votes, dim=1)).sum(dim=1)  # Eq. 14
        tasks = cross_entropies([consensus, *votes], [clips.y, *labels])
        return tasks + self.supcon(h, labels)
