"""CMC: unimodal models, PFM, MCR, consensus (section III-B)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from tricord.config import RunConfig
from tricord.device import forked
from tricord.errors import ModelError
from tricord.features.language import TextEncoder
from tricord.models import released
from tricord.models.network import Network
from tricord.models.unimodal import Unimodal
from tricord.nn.fusion import parameter_free_fusion
from tricord.nn.router import ConsensusRouter, EvidenceSum, consensus, masked_softmax, pool
from tricord.types import MODALITIES, Batch, Frames, Modality, Prediction


class CMC(Network):
    """Calibrated Multimodal Consensus.

    unimodal: name -> Unimodal, in the order of votes and weights.
    language: modality -> language model in front of its encoder, used for integer tokens only.
    temperature: tau of Eq. 32. fusion "none" skips PFM; router "mean" replaces MCR by the plain
    mean of the votes, "evidence" by their sum with fitted scales. score_head: a linear layer from
    h_m to a score, which changes nothing before it. padding "ignored" takes padding for frames, as
    the released code does.
    """

    needs_all = False  # PFM and MCR run over those present

    def __init__(
        self,
        unimodal: Mapping[str, Unimodal],
        *,
        d: int,
        temperature: float,
        fusion: Literal["pfm", "none"] = "pfm",
        router: Literal["mcr", "mean", "evidence"] = "mcr",
        padding: Literal["masked", "ignored"] = "masked",
        language: Mapping[str, TextEncoder] | None = None,
        score_head: bool = False,
    ) -> None:
        super().__init__()
        self.unimodal = nn.ModuleDict(unimodal)
        self.language = nn.ModuleDict(language or {})
        self.router = ConsensusRouter(d, len(unimodal)) if router == "mcr" else None
        outputs = next(iter(unimodal.values())).classifier.out.out_features
        self.evidence = EvidenceSum(len(unimodal), outputs) if router == "evidence" else None
        with forked():  # what is drawn after it is drawn as without it
            self.score_head = nn.Linear(d, 1) if score_head else None
        self.temperature = temperature
        self.fusion = fusion
        self.padding = padding

    @classmethod
    def from_config(
        cls,
        config: RunConfig,
        widths: Mapping[str, int],
        language: Mapping[str, TextEncoder] | None = None,
    ) -> CMC:
        """Fresh weights for features of these widths; no language model is built."""
        config = config.only(widths)
        outputs = config.labels.outputs
        return cls(
            {
                name: Unimodal.build(widths[name], outputs, modality, config.model)
                for name, modality in config.modalities.items()
            },
            d=config.model.d,
            temperature=config.finetune.temperature,
            fusion=config.finetune.fusion,
            router=config.finetune.router,
            padding=config.model.padding,
            language=language,
            score_head=config.model.score_head,
        )

    @classmethod
    def from_released(cls, state: Mapping[str, Any], heads: int, temperature: float = 0.07) -> CMC:
        """From a state with the released parameter names, in evaluation mode; padding counts.

        state: names -> numpy arrays or torch tensors. Layers, d, c and widths are read from the
        shapes; the dtype stays. A language model's weights, under whatever prefix, become the
        text encoder. Raises ModelError for unknown or missing keys.
        """
        ours, language = released.cmc_state(state)
        unimodal = {}
        for name in MODALITIES:
            prefix = f"unimodal.{name}."
            part = {k.removeprefix(prefix): v for k, v in ours.items() if k.startswith(prefix)}
            try:
                unimodal[name] = Unimodal.from_state(part, heads)
            except ModelError as error:
                raise ModelError(f"released state, {name} model: {error}") from None
        front = {str(Modality.TEXT): TextEncoder.from_state(language)} if language else {}
        d = ours["unimodal.text.encoder.proj.weight"].shape[0]
        model = cls(unimodal, d=d, temperature=temperature, padding="ignored")
        model = released.load(model.to(ours["unimodal.text.encoder.proj.weight"].dtype), ours)
        model.language = nn.ModuleDict(front)
        return model.eval()

    def with_unimodal(self, unimodal: Mapping[str, Unimodal]) -> CMC:
        """Other unimodal models behind the same language model; the plain mean for a router."""
        d = next(iter(unimodal.values())).encoder.proj.out_channels
        other = CMC(
            unimodal, d=d, temperature=self.temperature, router="mean", padding=self.padding
        )
        other.language = self.language
        return other

    def recompute_activations(self) -> None:
        """From here on, backward passes compute them again: less memory, more time."""
        for part in self.parts.values():
            part.encoder.recompute = True
        super().recompute_activations()

    @property
    def parts(self) -> dict[str, Unimodal]:
        """The unimodal models by name, in the order of votes and weights."""
        return cast(dict[str, Unimodal], dict(self.unimodal.items()))

    @property
    def readers(self) -> list[nn.Module]:
        """MCR and the score head, those there are: what reads h_m and is no unimodal model."""
        return [part for part in (self.router, self.score_head) if part is not None]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names in the order of votes and weights."""
        return tuple(self.unimodal)

    def encode(self, batch: Batch) -> Tensor:
        """h_x, (B, K, d): Eq. 1-4 of all modalities, before PFM."""
        return torch.stack([self._encode(name, batch) for name in self.modalities], dim=1)

    def _encode(self, name: str, batch: Batch) -> Tensor:
        x = batch.frames[name]
        if not x.values.is_floating_point():
            x = self.language[name](x)
        h: Tensor = self.parts[name].encoder(x)
        return h

    def vote(self, h: Tensor) -> Tensor:
        """p_k of each modality's row (Eq. 5, 11): (B, K, d) -> (B, K, c)."""
        rows = zip(self.parts.values(), h.unbind(dim=1), strict=True)
        return torch.stack([part.classifier(row) for part, row in rows], dim=1)

    def combine(self, h: Tensor, present: Tensor) -> Prediction:
        """From h_x on: PFM, votes, MCR, consensus (Eq. 10-14)."""
        h = h.masked_fill(~present[..., None], 0.0)
        fused = h
        if self.fusion == "pfm":
            fused = parameter_free_fusion(h, self.temperature, present)
        votes, pooled = self.vote(fused), pool(fused, present)
        agreed, weights = self._agree(votes, pooled, present)
        score = None if self.score_head is None else self.score_head(pooled.detach())
        return Prediction(agreed, votes, weights, h, score)

    def _agree(self, votes: Tensor, pooled: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B, c) consensus and (B, K) weights."""
        if self.evidence is not None:
            found: tuple[Tensor, Tensor] = self.evidence(votes, present)
            return found
        if self.router is None:
            weights = masked_softmax(torch.zeros_like(pooled[:, :1].expand_as(present)), present)
        else:
            weights = self.router(pooled, present)
        return consensus(votes, weights), weights

    def forward(self, batch: Batch) -> Prediction:
        """Eq. 10-14 for B clips."""
        return self.combine(self.encode(batch), batch.present)

    @torch.no_grad()
    def predict_features(
        self, features: Mapping[str, Tensor], lengths: Mapping[str, Any] | None = None
    ) -> Prediction:
        """Evaluation mode, from features alone.

        features: name -> (B, L_k, width_k) floats or (B, L_k) integer tokens; a modality that is
        not named is absent. lengths: name -> (B,) real frames, missing means full; 0 is absent.
        Where padding is ignored they have no effect but on what a language model attends to.
        Raises ModelError naming the modality whose shape does not fit, or whose tokens have no
        language model.
        """
        if self.training:  # to walk through all modules takes as long as a layer
            self.eval()
        return self(self._batch(features, lengths or {}))  # type: ignore[no-any-return]

    def _batch(self, features: Mapping[str, Tensor], lengths: Mapping[str, Any]) -> Batch:
        if unknown := sorted((features.keys() | lengths.keys()) - set(self.modalities)):
            raise ModelError(f"modality {unknown[0]!r} found, expected {list(self.modalities)}")
        if not features:
            raise ModelError("no modality given")
        first = next(iter(features.values()))
        size = len(first)
        frames = {}
        for name, width in self.widths.items():
            x = features.get(name, next(self.parameters()).new_zeros(size, 0, width))
            self._check(name, x, width, size)
            full = torch.full((size,), x.shape[1])
            real = torch.as_tensor(lengths.get(name, full))
            masked = self.padding == "masked"
            frames[name] = Frames.pack(x, real) if masked else Frames.pack(x, full, real)
        present = torch.stack([f.lengths > 0 for f in frames.values()], dim=1)
        return Batch(
            frames=frames,
            present=present.to(first.device),
            index=torch.arange(size),
            scores=torch.full((size, 1 + len(frames)), float("nan")),
            labels=torch.full((size, 1 + len(frames)), -1),
        )

    def _check(self, name: str, x: Tensor, width: int, size: int) -> None:
        tokens = not x.is_floating_point()
        if tokens and name not in self.language:
            raise ModelError(f"modality '{name}': tokens found, but there is no language model")
        width_fits = x.ndim == 2 if tokens else x.ndim == 3 and x.shape[-1] == width
        if not width_fits or len(x) != size:
            expected = f"({size}, length)" if tokens else f"({size}, length, {width})"
            raise ModelError(
                f"modality '{name}': shape {tuple(x.shape)} found, expected {expected}"
            )

    @property
    def widths(self) -> dict[str, int]:
        """Feature width per modality."""
        return {name: part.encoder.proj.in_channels for name, part in self.parts.items()}
