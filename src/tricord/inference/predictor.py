"""From a trained model and a table to predictions, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import ModelError
from tricord.features.text import TEXT, Tick
from tricord.labels import LabelScheme
from tricord.models.network import Network
from tricord.training.cmc import TrainedCMC
from tricord.training.loaders import model_inputs
from tricord.training.trained import TrainedModel
from tricord.types import Prediction

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """N clips in the table's order; modalities in the model's order, none where none votes.

    outputs: (N, c) logits of the consensus, or (N, 1) scores. votes: (N, K, c).
    weights: (N, K). present: (N, K) bool. scores: (N,) of a score head beside classes, or None.
    """

    ids: tuple[str, ...]
    modalities: tuple[str, ...]
    scheme: LabelScheme
    outputs: Array
    votes: Array
    weights: Array
    present: NDArray[np.bool_]
    scores: Array | None = None

    @property
    def probabilities(self) -> Array:
        """(N, c) softmax of the consensus' logits."""
        return softmax(self.outputs)

    @property
    def conflict(self) -> NDArray[np.bool_]:
        """(N,) whether the votes of the modalities present differ in class."""
        classes = self.classes(self.votes)
        low = np.where(self.present, classes, self.scheme.num_classes).min(
            axis=1, initial=self.scheme.num_classes
        )
        high = np.where(self.present, classes, -1).max(axis=1, initial=-1)
        return np.asarray(high > low)

    def classes(self, outputs: Array) -> NDArray[np.int64]:
        """(..., c) -> (...): the class of largest logit, or of the score."""
        if self.scheme.head == "regression":
            return self.scheme.to_class(np.clip(outputs[..., 0], self.scheme.low, self.scheme.high))
        return np.asarray(outputs.argmax(axis=-1), dtype=np.int64)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat dictionary a clip, for CSV and JSONL."""
        names = self.scheme.classes
        decided, voted = self.classes(self.outputs), self.classes(self.votes)
        regression = self.scheme.head == "regression"
        probabilities = None if regression else self.probabilities
        vote_probabilities = softmax(self.votes)
        conflict = self.conflict
        for i, clip in enumerate(self.ids):
            row: dict[str, Any] = {"id": clip, "label": names[decided[i]]}
            if self.scores is not None:
                row["score"] = round(float(self.scores[i]), 6)
            if probabilities is None:
                row["score"] = round(float(self.outputs[i, 0]), 6)
            else:
                row |= {
                    f"p_{n}": round(float(p), 6)
                    for n, p in zip(names, probabilities[i], strict=True)
                }
            for k, modality in enumerate(self.modalities):
                here = bool(self.present[i, k])
                row[f"vote_{modality}"] = names[voted[i, k]] if here else None
                row[f"weight_{modality}"] = round(float(self.weights[i, k]), 6)
                if regression:
                    row[f"score_{modality}"] = (
                        round(float(self.votes[i, k, 0]), 6) if here else None
                    )
                else:
                    row |= {
                        f"p_{modality}_{n}": round(float(p), 6) if here else None
                        for n, p in zip(names, vote_probabilities[i, k], strict=True)
                    }
            if self.modalities:
                row["conflict"] = bool(conflict[i])
            yield row


def softmax(logits: Array) -> Array:
    """Over the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def predict(
    trained: TrainedModel, data: Dataset, split: str, tick: Tick | None = None
) -> Predictions:
    """Apply a model to a split; labels are not needed.

    Raises ModelError where a modality is missing or its width is not the model's.
    """
    tensors = _tensors(trained, data, split, tokens=trained.config.text.finetune, tick=tick)
    outputs, votes, weights, scores = _apply(trained.model, tensors)
    voting = tuple(trained.widths)[: votes.shape[1]]
    return Predictions(
        ids=data[split].ids,
        modalities=voting,
        scheme=trained.config.labels,
        outputs=outputs,
        votes=votes,
        weights=weights,
        present=tensors.present.numpy()[:, : len(voting)],
        scores=scores[:, 0] if scores.shape[1] else None,
    )


def predict_stage1(trained: TrainedCMC, data: Dataset, split: str) -> Array:
    """(N, K, c) logits of stage 1's unimodal models: what each modality says by itself.

    Raises as `predict` does.
    """
    tensors = _tensors(trained, data, split, tokens=bool(trained.stage1.language))
    return _apply(trained.stage1, tensors)[1]


def check_widths(trained: TrainedModel, table: FeatureTable, where: str) -> None:
    """Raise ModelError naming the first modality that does not fit."""
    for name, expected in trained.widths.items():
        if name not in table.sequences:
            raise ModelError(f"{where}: modality '{name}' not found, the model was trained with it")
        if name == TEXT and trained.config.text.encoder is not None:
            continue
        found = table.sequences[name].width
        if found != expected:
            raise ModelError(
                f"{where}: modality '{name}' has {found} columns, the model expects {expected}"
            )


def _tensors(
    trained: TrainedModel, data: Dataset, split: str, *, tokens: bool, tick: Tick | None = None
) -> TensorTable:
    """The model's inputs, in its order; labels are left out, so that any will do."""
    table, where = data[split], data.source
    check_widths(trained, table, where)
    sequences = model_inputs(
        table, trained.widths, where, trained.text_source(), tokens, tick, trained.model.inputs
    )
    return TensorTable(
        replace(table, scores=np.full((len(table), 1 + len(table.sequences)), np.nan)),
        trained.config.labels,
        sequences=sequences,
        full_length=trained.config.padding_counts,
    )


@torch.no_grad()
def _apply(model: Network, table: TensorTable) -> tuple[Array, ...]:
    """(outputs, votes, weights, scores) as float64, in the table's order."""
    model.eval()
    parts = [_voted(model(batch)) for batch in Loader(table, model.predict_clips).epoch()]
    return tuple(torch.cat(p).double().numpy() for p in zip(*parts, strict=True))


def _voted(found: Prediction | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(outputs, votes, weights, scores) of B clips.

    Votes of no modality where a model gives outputs alone; scores (B, 0) where there are none.
    """
    if isinstance(found, Prediction):
        score = found.weights[:, :0] if found.score is None else found.score
        return found.consensus, found.votes, found.weights, score
    none = found.new_zeros(len(found), 0)
    return found, none[..., None].expand(-1, -1, found.shape[1]), none, none
