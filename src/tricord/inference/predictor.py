"""From a trained model and a table to predictions, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import ModelError
from tricord.evaluation.calibration import Calibration
from tricord.evaluation.conflict import jensen_shannon
from tricord.features.text import TEXT, Tick
from tricord.inference.recipe import check_recipe
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
    calibration: what makes probabilities of logits; None: their softmax.
    """

    ids: tuple[str, ...]
    modalities: tuple[str, ...]
    scheme: LabelScheme
    outputs: Array
    votes: Array
    weights: Array
    present: NDArray[np.bool_]
    scores: Array | None = None
    calibration: Calibration | None = None

    @property
    def uncalibrated(self) -> Predictions:
        """The same with probabilities as the model's training left them."""
        return replace(self, calibration=None)

    @property
    def probabilities(self) -> Array:
        """(N, c) of the consensus, calibrated where the model is."""
        if self.calibration is None:
            return softmax(self.outputs)
        return self.calibration.consensus.apply(self.outputs)

    @property
    def vote_probabilities(self) -> Array:
        """(N, K, c) of the votes, calibrated where the model is; absent ones mean nothing."""
        if self.calibration is None or not self.modalities:
            return softmax(self.votes)
        scalings = (self.calibration.votes[name] for name in self.modalities)
        return np.stack([s.apply(self.votes[:, k]) for k, s in enumerate(scalings)], axis=1)

    @property
    def conflict_score(self) -> Array:
        """(N,) 0 to 1: divergence of the votes' probabilities, by the weights they have.

        Of classes; see `tricord.evaluation.conflict.jensen_shannon`.
        """
        return jensen_shannon(self.vote_probabilities, self.weights, self.present)

    @property
    def absent(self) -> tuple[str, ...]:
        """The modalities of which no clip had a frame: nothing comes from them."""
        return tuple(m for k, m in enumerate(self.modalities) if not self.present[:, k].any())

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
        vote_probabilities = None if regression else self.vote_probabilities
        conflict = self.conflict
        distance = None if regression else self.conflict_score
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
                if vote_probabilities is None:
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
                if distance is not None:
                    row["conflict_score"] = round(float(distance[i]), 6)
            yield row


def softmax(logits: Array) -> Array:
    """Over the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def predict(
    trained: TrainedModel, data: Dataset, split: str, tick: Tick | None = None
) -> Predictions:
    """Apply a model to a split; labels are not needed.

    Modalities that the data lacks are left out where the model can do without them
    (`Network.needs_all`), and `Predictions.present` says so. Raises ModelError where it cannot,
    where there is none at all, and where a width or the recipe of the clips is not the model's.
    """
    tensors = _tensors(trained, data, split, tokens=trained.config.text.finetune, tick=tick)
    return _predictions(trained, data[split].ids, _apply(trained.model, tensors), tensors.present)


@torch.no_grad()
def predict_put_together(
    trained: TrainedCMC, data: Dataset, split: str, rows: NDArray[np.int64], ids: Sequence[str]
) -> Predictions:
    """Apply a model to N clips that take each modality from some clip of a split.

    rows: (N, K), from which, in the model's order of modalities; each is encoded once, as
    `encode` says. ids: N. Raises as `predict` does.
    """
    h, present = encode(trained, data, split)
    place, k = torch.as_tensor(rows), torch.arange(rows.shape[1])
    found = _voted(trained.model.combine(h[place, k], present[place, k]))
    return _predictions(trained, ids, [part.double().numpy() for part in found], present[place, k])


def predict_stage1(trained: TrainedCMC, data: Dataset, split: str) -> Array:
    """(N, K, c) logits of stage 1's unimodal models: what each modality says by itself.

    Raises as `predict` does.
    """
    tensors = _tensors(trained, data, split, tokens=bool(trained.stage1.language))
    return _apply(trained.stage1, tensors)[1]


@torch.no_grad()
def encode(trained: TrainedCMC, data: Dataset, split: str) -> tuple[Tensor, Tensor]:
    """(N, K, d) h_x and (N, K) bool present: what `CMC.combine` goes on from.

    In evaluation mode a clip's rows depend on its own frames alone, so that rows may be exchanged
    between clips, or left out, without encoding again. Raises as `predict` does.
    """
    tensors = _tensors(trained, data, split, tokens=trained.config.text.finetune)
    model = trained.model.eval()
    parts = [model.encode(batch) for batch in Loader(tensors, model.predict_clips).epoch()]
    return torch.cat(parts), tensors.present


def absent_modalities(trained: TrainedModel, table: FeatureTable) -> tuple[str, ...]:
    """Those of the model's modalities of which no clip has a frame, in the model's order."""
    lengths = table.lengths
    return tuple(n for n in trained.widths if n not in lengths or not lengths[n].any())


def check_widths(trained: TrainedModel, table: FeatureTable, where: str) -> None:
    """Raise ModelError naming the first modality that does not fit, or is needed and absent."""
    absent = absent_modalities(trained, table)
    needed = trained.model.needs_all
    if not needed and len(absent) == len(trained.widths):
        raise ModelError(f"{where}: no frame of {', '.join(absent)} found, expected at least one")
    for name, expected in trained.widths.items():
        if needed and name not in table.sequences:
            raise ModelError(
                f"{where}: modality '{name}' not found; {trained.name} was trained with it and "
                "cannot do without"
            )
        if not needed and name in absent:
            continue
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
    check_recipe(trained, data)
    check_widths(trained, table, where)
    nothing = {} if trained.model.needs_all else _nothing(trained, table)
    there = [name for name in trained.widths if name not in nothing]
    found = model_inputs(
        table, there, where, trained.text_source(), tokens, tick, trained.model.inputs
    )
    if nothing:
        found = {**{n: {**nothing, **found}[n] for n in trained.widths}, **found}
    named = {**table.sequences, **nothing}
    return TensorTable(
        replace(table, sequences=named, scores=np.full((len(table), 1 + len(named)), np.nan)),
        trained.config.labels,
        sequences=found,
        full_length=trained.config.padding_counts,
    )


def _nothing(trained: TrainedModel, table: FeatureTable) -> dict[str, Ragged]:
    """Sequences without a frame, of the width that the model knows, for what is absent."""
    offsets = np.zeros(len(table) + 1, dtype=np.int64)
    return {
        name: Ragged(np.zeros((0, trained.widths[name]), np.float32), offsets, 0)
        for name in absent_modalities(trained, table)
    }


def _predictions(
    trained: TrainedModel, ids: Sequence[str], found: Sequence[Array], present: Tensor
) -> Predictions:
    """found: what `_apply` gives of these clips; present: (N, K)."""
    outputs, votes, weights, scores = found
    voting = tuple(trained.widths)[: votes.shape[1]]
    return Predictions(
        ids=tuple(ids),
        modalities=voting,
        scheme=trained.config.labels,
        outputs=outputs,
        votes=votes,
        weights=weights,
        present=present.numpy()[:, : len(voting)],
        scores=scores[:, 0] if scores.shape[1] else None,
        calibration=trained.calibration,
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
