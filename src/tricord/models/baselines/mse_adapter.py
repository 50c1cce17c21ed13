"""MSE-Adapter (2025): a frozen language model writes the score, an adapter lets it hear and see.

Yang, Dong and Qiang, AAAI 2025. B clips, D numbers per token embedding of the reader, J pseudo
tokens, s numbers shared by the modalities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tricord.baseline_config import BaselineConfig
from tricord.config import Count, Positive, Share
from tricord.data.batching import Loader
from tricord.data.schema import FeatureTable, Ragged
from tricord.device import CPU, forked
from tricord.errors import ConfigError, DataError
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage
from tricord.models.baselines.mse_reader import Answers, Reader, answer, ragged, read_answers
from tricord.nn.encoder import FrameNorm, masked_mean
from tricord.nn.recurrent import LastState
from tricord.training.optim import fused
from tricord.training.stages import multimodal_goal, share_right
from tricord.types import Batch, Frames, Modality

_SCALES = (8, 32, 16)  # the experts' hidden layers have D by this many numbers


class MseAdapterConfig(BaselineConfig):
    """Text is the data's own words: `text` says how many tokens, how precise, whether to download.

    modalities: those that pseudo tokens hold.
    reader: the language model, by name or local folder; any causal one of Hugging Face's that
        needs no program of its own. Needed to train and to predict, not to build or count.
    reader_width: D. hidden: numbers in each LSTM's state. shared: s. pseudo_tokens: J.
    input_norm: batch normalisation of audio and vision; inferred for CH-SIMS from the published
        size, and from its features, which are not standardised.
    before, after: the prompt around a clip's pseudo tokens and words; {low} and {high} in it
        become the labels' range. begin: the token in front of all, or None for the tokenizer's
        own. plus: whether answers of 0 and above have a sign. new_tokens: how many are written.
    horizon: epochs until the cosine schedule is at 0. warmup: share of it. epsilon: of AdamW.
    padding: what stands for missing words up to text.max_length is left out, "masked", or, as
        released, is in front of the words, "attended" and averaged.
    pad: the token it consists of, or None for the tokenizer's own.
    short_answers: those with fewer tokens than others are "ended" by the end token, and what
        follows is not in the loss; or, as released, they are "padded" in front, in the loss too.
    tag_begin: whether the prompt's first part is tokenised with the tokenizer's own beginning,
        which some readers then have twice, as released.
    past_horizon: "stop" there, or go on while the rate "rises" again, as released.
    """

    modalities: tuple[str, ...] = (str(Modality.AUDIO), str(Modality.VISION))
    reader: str | None = None
    reader_width: Annotated[int, Field(ge=max(_SCALES))]
    hidden: dict[str, Count]
    shared: Count = 256
    pseudo_tokens: Count = 4
    input_norm: bool = False
    before: str
    after: str
    begin: str | None = None
    plus: bool
    new_tokens: Count = 4
    horizon: Count
    warmup: Share = 0.1
    epsilon: Positive = 1e-4
    patience: Count | None = 10
    padding: Literal["masked", "attended"] = "masked"
    pad: str | None = None
    short_answers: Literal["ended", "padded"] = "ended"
    tag_begin: bool = False
    past_horizon: Literal["stop", "rises"] = "stop"

    @model_validator(mode="after")
    def _reads_words(self) -> Self:
        if self.text.encoder is not None:
            raise ValueError("text.encoder: not used by this model, which takes `reader` instead")
        if TEXT in self.modalities:
            raise ValueError("modalities: text is not among them, since its words are read")
        if without := [name for name in self.modalities if name not in self.hidden]:
            raise ValueError(f"hidden.{without[0]}: is needed")
        return self

    def released(self) -> Self:
        """Padding is attended and averaged, answers' padding is learned, two beginnings, no end.

        Not repeated: weights in half precision with scaled gradients.
        """
        return self.with_settings(
            {
                "padding": "attended",
                "short_answers": "padded",
                "tag_begin": self.begin is not None,
                "past_horizon": "rises",
            }
        )

    def prompt(self, part: str) -> str:
        """``before`` or ``after`` with the labels' range filled in, as answers are written."""
        low, high = (answer(score, self.plus) for score in (self.labels.low, self.labels.high))
        return part.replace("{low}", low).replace("{high}", high)


class Expert(nn.Sequential):
    """A hidden layer with GELU; (B, s) -> (B, s)."""

    def __init__(self, shared: int, hidden: int) -> None:
        super().__init__(nn.Linear(shared, hidden), nn.GELU(), nn.Linear(hidden, shared))


@dataclass(frozen=True)
class Script:
    """What the reader reads around each clip, and what it may answer.

    before, after: (n,) tokens. pad: the token that stands for missing words.
    """

    reader: Reader
    before: Tensor
    after: Tensor
    pad: int
    answers: Answers

    @classmethod
    def of(cls, config: MseAdapterConfig, reader: Reader) -> Script:
        """Raises ConfigError where the reader does not fit the settings."""
        if reader.width != config.reader_width:
            raise ConfigError(
                f"reader_width: {config.reader_width} given, but reader {reader.name!r} has "
                f"{reader.width}"
            )
        before, after = reader.words([config.prompt(config.before), config.prompt(config.after)])
        again = reader.begin(None) if config.tag_begin else []
        padded = config.short_answers == "padded"
        needed = padded or config.padding == "attended"
        pad = reader.pad(config.pad) if needed else reader.end
        return cls(
            reader=reader,
            before=torch.tensor([*reader.begin(config.begin), *again, *before], dtype=torch.long),
            after=torch.tensor(after, dtype=torch.long),
            pad=pad,
            answers=Answers(
                reader,
                config.labels,
                plus=config.plus,
                room=config.new_tokens,
                pad=pad if padded else None,
            ),
        )


class MseAdapter(Baseline):
    """[before][J pseudo tokens][words][after] -> the reader's answer -> a score.

    Pseudo tokens hold audio and vision, mixed with the words' mean at three scales. The reader is
    loaded when it is first needed; it is no part of the state and is never changed.
    """

    predict_clips = 16  # a large reader keeps much for each
    reads_words = True
    config: MseAdapterConfig

    def __init__(self, config: MseAdapterConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        width, shared, hidden = config.reader_width, config.shared, config.hidden
        self.norms = nn.ModuleDict(
            {
                n: FrameNorm(w) if config.input_norm else nn.Identity()
                for n, w in self.widths.items()
            }
        )
        self.readers = nn.ModuleDict(
            {n: LastState(w, hidden[n], shared) for n, w in self.widths.items()}
        )
        self.text = nn.Linear(width, shared)
        self.experts = nn.ModuleList(Expert(shared, width // scale) for scale in _SCALES)
        self.mix = nn.Linear(len(_SCALES), 1)
        self.widen = nn.Linear(shared, width)
        self.spread = nn.Linear(1, config.pseudo_tokens)

    @cached_property
    def script(self) -> Script:
        """The reader and its prompt, loaded once; raises ConfigError where none is named."""
        if self.config.reader is None:
            raise ConfigError(
                "reader: a causal language model's name or folder is needed to train MSE-Adapter "
                "and to predict with it"
            )
        with forked():  # a resumed run may load it at another moment
            reader = Reader.from_pretrained(
                self.config.reader,
                download=self.config.text.download,
                precision=self.config.text.precision,
                device=self.mix.weight.device,
            )
        return Script.of(self.config, reader)

    def inputs(self, table: FeatureTable, sequences: Mapping[str, Ragged]) -> Mapping[str, Ragged]:
        """The words as the reader's tokens, and the frames of the others.

        Raises DataError where the data has no words.
        """
        if table.raw_text is None:
            raise DataError(
                f"split '{table.name}': key 'raw_text' not found; MSE-Adapter reads the words, "
                "not features of them"
            )
        script, longest = self.script, self.config.text.max_length
        rows = script.reader.words(table.raw_text, longest)
        if self.config.padding == "attended":
            rows = [[script.pad] * (longest - len(row)) + row for row in rows]
        return {TEXT: ragged(rows), **{name: sequences[name] for name in self.widths}}

    def pseudo_tokens(self, words: Tensor, frames: Mapping[str, Frames]) -> Tensor:
        """P_j = w_j u + b_j of Yang et al. 2025, (B, J, D), from m = a k + v k.

        words: (B, D) mean embeddings, of which k is made. u: three experts of m, weighed and
        widened.
        """
        heard = torch.stack([self.last_state(name, frames[name]) for name in self.widths])
        mixed = heard.sum(dim=0) * self.text(words)
        scales = torch.stack([expert(mixed) for expert in self.experts], dim=-1)
        wide = self.widen(self.mix(scales).squeeze(-1))
        tokens: Tensor = self.spread(wide.unsqueeze(-1))
        return tokens.transpose(1, 2)

    def last_state(self, name: str, frames: Frames) -> Tensor:
        """(B, s): an LSTM's last state, projected; 0 where a clip has no frame."""
        normal = replace(frames, values=self.norms[name](frames.values))
        state: Tensor = self.readers[name](normal)
        absent = (frames.lengths == 0).to(state.device)
        return state.masked_fill(absent[:, None], 0.0)

    def prompt(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, L, D) embeddings that the reader answers to, and (B, L) bool: not padding."""
        script = self.script
        device = self.mix.weight.device
        reader = script.reader.to(device)
        tokens, real = batch.frames[TEXT].pad()
        words = reader.embed(tokens)
        pseudo = self.pseudo_tokens(
            masked_mean(words.to(self.mix.weight.dtype), real), batch.frames
        )
        around = [
            reader.embed(part.to(device)).expand(len(batch), -1, -1)
            for part in (script.before, script.after)
        ]
        x = torch.cat([around[0], pseudo.to(words.dtype), words, around[1]], dim=1)
        ahead = real.new_ones(len(batch), around[0].shape[1] + pseudo.shape[1])
        return x, torch.cat([ahead, real, real.new_ones(len(batch), around[1].shape[1])], dim=1)

    def answer_loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of the answers' tokens, each given those before it."""
        goal, known = multimodal_goal(batch, self.config.labels)
        tokens, counted = self.script.answers.of(goal[:, 0])
        counted = counted & known
        x, real = self.prompt(batch)
        given = self.script.reader.embed(tokens[:, :-1])
        real = torch.cat([real, real.new_ones(given.shape[:2])], dim=1)
        logits = self.script.reader.logits(torch.cat([x, given], dim=1), real, tokens.shape[1])
        losses = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
        losses = losses.view_as(counted).masked_fill(~counted, 0.0)
        return losses.sum() / counted.sum().clamp(min=1)

    @torch.no_grad()
    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, 1) scores as the reader writes them, and (B,) bool: whether it wrote a number."""
        x, real = self.prompt(batch)
        texts = self.script.reader.write(x, real, self.config.new_tokens)
        scores, readable = read_answers(texts)
        return scores[:, None].to(x.device), readable.to(x.device)

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1) scores, without gradients; 0 where the reader writes no number."""
        return self.read(batch)[0]


def cosine(step: int, *, warm: float, total: int, rises: bool) -> float:
    """Share of the rate: up in a line until ``warm`` steps, then down half a cosine to ``total``.

    rises: whether the cosine goes on from there.
    """
    if step < warm:
        return step / warm
    done = (step - warm) / max(1.0, total - warm)
    return 0.5 * (1 + math.cos(math.pi * (done if rises else min(1.0, done))))


class MseAdapterStage(BaselineStage[MseAdapter]):
    """Learns answers token by token; keeps the epoch whose own answers are nearest on valid."""

    def __init__(
        self, model: MseAdapter, train: Loader, valid: Loader, *, best_file: Path | None = None
    ) -> None:
        super().__init__(model, train, valid, best_file=best_file)
        config = model.config
        rises = config.past_horizon == "rises"
        if not rises:
            self.epochs = min(self.epochs, config.horizon)
        total = math.ceil(len(train) / config.accumulate) * config.horizon
        share = partial(cosine, warm=config.warmup * total, total=total, rises=rises)
        self.schedulers = [LambdaLR(optimizer, share) for optimizer in self.optimizers]

    def finish(self) -> None:
        """The best epoch; a reader on another device than the processor stays there no longer."""
        super().finish()
        if self.model.mix.weight.device != CPU:
            self.model.__dict__.pop("script", None)  # read again where it is needed again

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW over all of the adapter."""
        config = self.model.config
        rate = config.rates["other"].model_dump()
        parameters = list(self.model.parameters())
        quick = fused(parameters)
        return [torch.optim.AdamW(parameters, **rate, eps=config.epsilon, fused=quick)]

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Of the answers' tokens."""
        return {"loss": self.model.answer_loss(batch)}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Mean absolute error of the scores written, and the share of answers without a number."""
        scores, readable = self.model.read(batch)
        return {
            "loss": self.task_loss(scores, batch),
            "unreadable": 1 - readable.float().mean(),
            **share_right(scores, batch.label, self.model.config.labels),
        }


MseAdapter.stage = MseAdapterStage
