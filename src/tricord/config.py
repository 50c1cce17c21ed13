"""Settings, frozen and checked; every default that is not 0, 1 or 2 names its source.

"IV-A-4" is section IV-A-4 of the paper; "fidelity N" is row N of docs/fidelity.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tricord.errors import ConfigError
from tricord.labels import LabelScheme

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "float32", "bfloat16"]


class Settings(BaseModel):
    """Frozen; an unknown name or a number that is not finite is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Momentum(Settings):
    """m^0 and gamma of Eq. 30."""

    initial: Share
    decay: Annotated[float, Field(ge=0)]


class EncoderConfig(Settings):
    """One modality's encoder and classifier (Table III)."""

    layers: Count
    heads: Count
    input_norm: bool
    label_momentum: Momentum
    model_momentum: Momentum


class ModelConfig(Settings):
    """Shapes of the network.

    score_head: also tell the score, by a linear layer on h_m (Eq. 12) that changes nothing before
        it, so that error and correlation exist beside the classes.
    modality_dropout: in stage 2, how likely a modality that a clip has is taken as absent.
    """

    d: Count = 32  # fidelity 18
    feedforward: Count = 128  # fidelity 18
    dropout: Dropout = 0.1  # fidelity 18, inside the Transformer layers
    attention_dropout: Dropout = 0  # fidelity 18
    output_dropout: Dropout = 0.4  # Table III
    modality_dropout: Dropout = 0
    positions: bool = False  # fidelity 18
    score_head: bool = False
    padding: Literal["masked", "ignored"] = "masked"  # fidelity 1


class TextConfig(Settings):
    """Where text features come from.

    source: "features" are ready ones from the file, "tokens" its `text_bert` rows, "raw" its
        words; "auto" takes ready features unless an encoder is named, then tokens, then words.
    encoder: a Hugging Face model, by name or local folder.
    finetune: train the encoder in stage 2 (in stage 1 too with ground-truth labels, fidelity 8).
    download: allow fetching a model that is not on this machine.
    precision: of the encoder's products; "auto" is bfloat16 where the device multiplies it
        natively, and float32 elsewhere.
    recompute: where the encoder is finetuned, compute activations again in the backward pass: a
        fifth more time, a quarter less memory.
    """

    source: Literal["auto", "features", "tokens", "raw"] = "auto"
    encoder: str | None = None
    finetune: bool = False
    max_length: Count = 50  # Table II
    lr: Positive = 5e-5  # fidelity 9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3  # fidelity 9
    download: bool = False
    precision: Precision = "auto"
    recompute: bool = True

    @model_validator(mode="after")
    def _encoder_named(self) -> Self:
        if self.encoder is None and (self.finetune or self.source in ("tokens", "raw")):
            raise ValueError("text.encoder: a model's name or folder is needed here")
        if self.encoder is not None and self.source == "features":
            raise ValueError("text.encoder: not used with text.source='features'")
        return self


class SupConConfig(Settings):
    """Eq. 8; form and labels are options (fidelity 6)."""

    temperature: Positive = 0.07  # fidelity 6
    form: Literal["inside", "outside"] = "inside"
    labels: Literal["polarity", "classes"] = "polarity"
    arithmetic: Literal["stable", "released"] = "stable"


class _StageConfig(Settings):
    epochs: Annotated[int, Field(ge=0)] = 100  # IV-A-4
    patience: Count = 10  # IV-A-4
    batch_size: Count = 64  # IV-A-4
    accumulate: Count = 1
    lr: Positive = 1e-3  # IV-A-4
    select: Literal["best", "last"] = "best"  # fidelity 10


class PretrainConfig(_StageConfig):
    """Stage 1, unimodal pretraining.

    labels: "pseudo" is PLGM; "ground_truth" is CMC-GT; "multimodal" is w/o PLGM.
    refine: how PLGM moves labels; "gradient" is Eq. 21-28, step by step; "posterior" decides once,
        before stage 1, from what models say of clips that they were not trained on.
    folds: of that, whole videos together.
    ema_epochs: the EMA copies' horizon, in epochs; None takes the momenta of Eq. 30.
    valid_targets: each modality's best epoch has the smallest cross-entropy of the EMA model on
        valid; "fixed" is against the multimodal label, "moving" against pseudo labels that move
        with the model, rounded to 4 decimals, as released (fidelity 10, 12). Labels of
        refine="posterior" are made for valid too, and are then the target.
    """

    labels: Literal["pseudo", "ground_truth", "multimodal"] = "pseudo"
    refine: Literal["gradient", "posterior"] = "gradient"
    folds: Annotated[int, Field(ge=2)] = 3
    ema_epochs: Positive | None = None
    lr_audio_vision: Positive | None = None  # fidelity 9
    schedule: Literal["closed", "recursive"] = "closed"  # fidelity 4
    ema_buffers: bool = True  # fidelity 5
    valid_targets: Literal["fixed", "moving"] = "fixed"  # fidelity 12


class FinetuneConfig(_StageConfig):
    """Stage 2, multimodal finetuning.

    fusion: "pfm", or "none" for w/o PFM. router: "mcr", or "mean" for w/o MCR, or "evidence": the
        votes are added, each with a scale of its own, fitted on valid for every subset of the
        modalities; stage 2 trains with their mean, and stage 1's result is its epoch 0.
    tasks: "multi" is Eq. 18; "single" is L_m and SupCon. train: "router_only" freezes all but MCR
    (CMC-variant). criterion: "consensus" is the cross-entropy of the consensus against the
    multimodal label of valid, "loss" the whole of Eq. 18.
    """

    temperature: Positive = 0.07  # Table VIII
    fusion: Literal["pfm", "none"] = "pfm"
    router: Literal["mcr", "mean", "evidence"] = "mcr"
    tasks: Literal["multi", "single"] = "multi"
    train: Literal["all", "router_only"] = "all"
    criterion: Literal["consensus", "loss"] = "consensus"

    @model_validator(mode="after")
    def _something_trains(self) -> Self:
        if self.train == "router_only" and self.router != "mcr":
            raise ValueError("finetune.train='router_only' needs finetune.router='mcr'")
        return self


class CommonConfig(Settings):
    """What defines a training run of any model, except data and seed."""

    preset: str
    labels: LabelScheme
    text: TextConfig = TextConfig()

    @property
    def padding_counts(self) -> bool:
        """Whether padding up to the file's length is given to the model as frames."""
        return False

    @property
    def criterion(self) -> str:
        """The number on valid that selects the epoch."""
        return "loss"

    def released(self) -> Self:
        """Every option as in the released implementation."""
        return self

    def only(self, names: Iterable[str]) -> Self:
        """The same settings for the modalities that the data has; ConfigError for a strange one."""
        raise NotImplementedError

    def with_labels(self, scheme: LabelScheme) -> Self:
        """The same settings for other labels."""
        return self._with({"labels": scheme.model_dump()})

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """With some settings changed, named by dotted path: ``finetune.temperature``.

        ``modalities.layers`` and the like set all modalities. Values may be strings, as typed on
        the command line. Raises ConfigError naming the setting.
        """
        tree = self.model_dump()
        for path, value in settings.items():
            try:
                _set(tree, path, value)
            except KeyError as error:
                raise ConfigError(f"setting {path!r} does not exist; {error.args[0]}") from None
        return self.of(tree)

    def _with(self, parts: Mapping[str, Any]) -> Self:
        return self.of({**self.model_dump(), **parts})

    @classmethod
    def of(cls, tree: Any) -> Self:
        """From nested plain values; raises ConfigError naming the first setting that is wrong."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(p) for p in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"setting {place}: {message}" if place else message) from error


class RunConfig(CommonConfig):
    """All that defines a training run of CMC, except data and seed."""

    modalities: dict[str, EncoderConfig]
    model: ModelConfig = ModelConfig()
    supcon: SupConConfig = SupConConfig()
    pretrain: PretrainConfig = PretrainConfig()
    finetune: FinetuneConfig = FinetuneConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, encoder in self.modalities.items():
            if self.model.d % encoder.heads:
                raise ValueError(
                    f"modalities.{name}.heads: {encoder.heads} does not divide d = {self.model.d}"
                )
        if self.labels.head == "regression" and self.pretrain.labels == "pseudo":
            raise ValueError(
                "pretrain.labels: PLGM needs classes; use 'multimodal' or 'ground_truth' "
                "with a regression head"
            )
        if self.labels.head == "regression" and self.finetune.router == "evidence":
            raise ValueError("finetune.router: 'evidence' needs classes, not a regression head")
        if self.model.score_head and (self.labels.head == "regression" or self.labels.nominal):
            raise ValueError("model.score_head: needs classes that are made from scores")
        if self.labels.polarity is None and self.supcon.labels == "polarity":
            raise ValueError("supcon.labels: 'classes' is needed where labels have no sign")
        return self

    @property
    def padding_counts(self) -> bool:
        """Fidelity 1."""
        return self.model.padding == "ignored"

    @property
    def criterion(self) -> str:
        """The number on valid that selects the epoch of stage 2."""
        return self.finetune.criterion

    def released(self) -> Self:
        """Every option as in the released implementation (rows 1, 4-6, 9-12, 18 of fidelity)."""
        return self.with_settings(
            {
                "model.padding": "ignored",
                "model.positions": False,
                "model.attention_dropout": 0.1,
                "supcon.form": "inside",
                "supcon.labels": "polarity",
                "supcon.arithmetic": "released",
                "pretrain.schedule": "closed",
                "pretrain.ema_buffers": False,
                "pretrain.lr_audio_vision": 1e-3,
                "pretrain.valid_targets": "moving",
                "finetune.select": "last",
                "finetune.criterion": "loss",
            }
        )

    def only(self, names: Iterable[str]) -> Self:
        """The same settings for the modalities that the data has."""
        names = list(names)
        missing = [n for n in names if n not in self.modalities]
        if missing:
            raise ConfigError(f"modalities: no settings for {missing[0]!r}")
        return self._with({"modalities": {n: self.modalities[n].model_dump() for n in names}})

    def with_labels(self, scheme: LabelScheme) -> Self:
        """The same settings for other labels; SupCon on classes where there is no sign."""
        supcon = self.supcon.model_dump()
        if scheme.polarity is None:
            supcon["labels"] = "classes"
        return self._with({"labels": scheme.model_dump(), "supcon": supcon})


def _set(tree: dict[str, Any], path: str, value: Any) -> None:
    """Change one leaf of nested dictionaries in place."""
    first, _, rest = path.partition(".")
    encoders = tree.get("modalities")
    if (
        first == "modalities"
        and isinstance(encoders, dict)
        and rest.partition(".")[0] not in encoders
    ):
        for encoder in encoders.values():
            _set(encoder, rest, value)
        return
    if first not in tree or (rest and not isinstance(tree[first], dict)):
        raise KeyError(f"there is: {', '.join(tree)}")
    if rest:
        _set(tree[first], rest, value)
    else:
        tree[first] = _parse(value)


def _parse(value: Any) -> Any:
    """A value typed on the command line: JSON where it is JSON, else the string itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
