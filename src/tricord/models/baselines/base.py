"""What all baselines share: inputs, optimiser groups, validation, the kept epoch.

A baseline is a `Baseline` (the network), its settings and, where its training is more than a
loss on its output, a `BaselineStage` of its own. B clips; c outputs, 1 for a score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from tricord import presets
from tricord.baseline_config import BaselineConfig
from tricord.data.batching import Loader
from tricord.labels import LabelScheme
from tricord.models.network import Network
from tricord.nn.clips import first_frames, mean_frames
from tricord.nn.losses import task_loss
from tricord.training.loaders import Loaders
from tricord.training.loop import EpochReport, Stage, Stateful
from tricord.training.optim import group_optimizers
from tricord.training.stages import Best, ModelStage, multimodal_goal, share_right
from tricord.types import Batch, Frames, Modality

TEXT = str(Modality.TEXT)


def scores_of(preset: str) -> LabelScheme:
    """The preset's labels for a model that gives one score."""
    return presets.get(preset).labels.model_copy(update={"head": "regression"})


class Baseline(Network):
    """A network that gives (B, c) outputs for a batch.

    config: its settings. widths: modality -> numbers per frame, in the model's order.
    """

    stage: ClassVar[type[BaselineStage[Any]]]

    def __init__(self, config: BaselineConfig, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config.only(widths)
        self.widths = {name: widths[name] for name in self.config.modalities}
        self.language = nn.ModuleDict()

    def forward(self, batch: Batch) -> Tensor:
        """(B, c) scores or logits."""
        raise NotImplementedError

    def parts(self) -> Mapping[str, nn.Module]:
        """Modules that have a rate of their own, by its name; all else is "other"."""
        return {}

    def stages(self, loaders: Loaders, best_file: Path | None = None) -> Iterator[Stage]:
        """The stages of training, each made when the one before is done."""
        train, valid = loaders.of(self.config.batch_size, tokens=self.config.text.finetune)
        yield self.stage(self, train, valid, best_file=best_file)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters outside the language model, by the name of their rate."""
        groups = {
            name: [p for p in module.parameters() if p.requires_grad]
            for name, module in self.parts().items()
        }
        taken = {id(p) for p in self.language.parameters()}
        taken |= {id(p) for group in groups.values() for p in group}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in taken]
        return {name: group for name, group in {**groups, "other": rest}.items() if group}

    def frames(self, batch: Batch, name: str) -> Frames:
        """A modality's frames as floats: tokens go through the language model."""
        frames = batch.frames[name]
        if frames.values.is_floating_point():
            return frames
        found: Frames = self.language[name](frames)
        return found

    def sentence(self, batch: Batch) -> Tensor:
        """(B, width of text): what stands for the whole text (`BaselineConfig.text_vector`)."""
        return self.sentence_pool(self.frames(batch, TEXT))

    @property
    def sentence_pool(self) -> Callable[[Frames], Tensor]:
        """Frames -> (B, width): how `sentence` gets one vector for each clip."""
        return first_frames if self.config.first_frame else mean_frames


B = TypeVar("B", bound=Baseline)


class BaselineStage(ModelStage[B], Generic[B]):
    """Training on the multimodal label; the epoch with the smallest loss on valid is kept.

    keep_from: the first epoch that may be kept.
    """

    name = "train"
    keep_from: int = 1

    def __init__(
        self, model: B, train: Loader, valid: Loader, *, best_file: Path | None = None
    ) -> None:
        """best_file: where the best epoch's model is kept; None in memory."""
        super().__init__(model, train, valid)
        self.epochs, self.patience = model.config.epochs, model.config.patience
        self.accumulate, self.summed = model.config.accumulate, True
        self._own(self.make_optimizers())
        self.best = Best(file=best_file)

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam, a rate for each group; the language model's at the end, one a parameter."""
        config = self.model.config
        return list(
            group_optimizers(self.model.groups(), config.rates, self.model.language, config.text)
        )

    def members(self) -> Mapping[str, Stateful]:
        """The model and what was best so far."""
        return {"model": self.model, "best": self.best}

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Mean absolute error of scores, or cross-entropy of classes."""
        return {"loss": self.task_loss(self.model(batch), batch)}

    def task_loss(self, outputs: Tensor, batch: Batch, where: Tensor | None = None) -> Tensor:
        """(B, c) against the multimodal label, over the clips that have one.

        where: (B,) bool, to leave more of them out.
        """
        goal, known = multimodal_goal(batch, self.model.config.labels)
        if where is not None:
            known = known & where.unsqueeze(1)
        return task_loss(outputs.unsqueeze(1), goal, known).sum()

    def end_batches(self) -> None:
        """Step on what is gathered, or drop it, as the settings say."""
        if self.model.config.leftovers == "drop" and self._batches:
            self._batches = self._weight = 0
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
        self.update()

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """What is averaged over valid; "loss" selects."""
        outputs = self.model(batch)
        loss = self.task_loss(outputs, batch)
        return {"loss": loss, **share_right(outputs, batch.label, self.model.config.labels)}

    def end_epoch(self, epoch: int) -> EpochReport:
        """Keep the model if its loss on valid is the smallest so far."""
        means = {name: float(value) for name, value in self._valid_means(epoch).items()}
        if (digits := self.model.config.rounding) is not None:
            means["loss"] = round(means["loss"], digits)
        improved = epoch >= self.keep_from and self.best.improves(means["loss"], epoch)
        if improved:
            self.best.keep(self.model.state_dict())
        return EpochReport({f"valid_{name}": v for name, v in means.items()}, improved)


Baseline.stage = BaselineStage
