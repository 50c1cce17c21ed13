"""What stage-1 models say of clips that they were not trained on, and labels from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.errors import DataError
from tricord.evaluation.calibration import fit_scaling
from tricord.models.cmc import CMC
from tricord.training.checkpoint import generators, load_tree, restore_generators, save_tree
from tricord.training.folder import CROSSFIT_FILE
from tricord.training.loaders import subseed
from tricord.training.pretrain import PretrainStage, stage1_model
from tricord.training.session import Session
from tricord.transition import moved, posterior, transition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Refined:
    """labels, valid_labels: (N, K, c), one class each. transition: modality -> (c, c).

    history: fold -> numbers of its epochs.
    """

    labels: Tensor
    valid_labels: Tensor
    transition: Mapping[str, Tensor]
    history: Mapping[str, list[dict[str, float]]]


@dataclass
class _Said:
    """Probabilities (N, K, c) of train, told by the fold that did not see the clip, and of valid.

    That of valid is the sum over the folds so far.
    """

    train: Tensor
    valid: Tensor
    history: dict[str, list[dict[str, float]]]

    def save(self, path: Path) -> None:
        save_tree(path, {**vars(self), "generators": generators()})

    @classmethod
    def load(cls, path: Path) -> _Said:
        tree = load_tree(path)
        restore_generators(tree.pop("generators"))
        return cls(**tree)


def refined_labels(session: Session[RunConfig]) -> Refined:
    """PLGM by the posterior (`tricord.transition`), before stage 1.

    The models of each fold are trained with the multimodal label on the other folds, and say what
    they think of its clips; of valid, all folds together. After a stop the folds that were
    finished are taken from the session's folder.
    """
    train, valid = session.loaders.of(session.config.pretrain.batch_size, tokens=False)
    said = _held_out(session, train, valid)
    folds = session.config.pretrain.folds
    tables = (train.table, valid.table)
    rows = [t.labels[:, :1].cpu().repeat(1, t.present.shape[1]) for t in tables]
    chances = {}
    for k, name in enumerate(session.widths):
        known = [_known(table)[:, k].numpy() for table in tables]
        q = [p[:, k].numpy() for p in (said.train, said.valid / folds)]
        y = [r[:, k].numpy() for r in rows]
        chances[name] = transition(q[0][known[0]], y[0][known[0]])
        for split in (0, 1):
            here = known[split]
            found = moved(posterior(q[split][here], y[split][here], chances[name]), y[split][here])
            rows[split][torch.as_tensor(here), k] = torch.as_tensor(found)
    classes = session.config.labels.num_classes
    labels, valid_labels = (F.one_hot(r.clamp(min=0), classes).float() for r in rows)
    return Refined(
        labels, valid_labels, {n: torch.as_tensor(t) for n, t in chances.items()}, said.history
    )


def _held_out(session: Session[RunConfig], train: Loader, valid: Loader) -> _Said:
    config, file = session.config, session.folder and session.folder / CROSSFIT_FILE
    fold_of = folds(session.data["train"].videos, config.pretrain.folds, session.seed)
    shape = (len(session.widths), config.labels.num_classes)
    if file and file.is_file():
        said = _Said.load(file)
    else:
        empty = [torch.zeros(t.clips, *shape, dtype=torch.float64) for t in (train, valid)]
        said = _Said(empty[0], empty[1], {})
    plain = config.with_settings({"pretrain.labels": "multimodal"})
    for fold in range(len(said.history), config.pretrain.folds):
        model = CMC.from_config(plain, session.widths).to(session.device)
        rest = replace(train, rows=np.flatnonzero(fold_of != fold))
        stage = PretrainStage(model, rest, valid, plain)
        stage.name = f"fold {fold + 1} of {config.pretrain.folds}"
        said.history[stage.name] = session.fit(stage)
        model = stage1_model(plain, session.widths, stage.result()).to(session.device)
        own = np.flatnonzero(fold_of == fold)
        of_valid = votes(model, valid.table)
        scalings = _scalings(of_valid, valid.table)
        said.train[own] = _scaled(votes(model, train.table, own), scalings)
        said.valid += _scaled(of_valid, scalings)
        if file:
            said.save(file)
    return said


def folds(videos: NDArray[np.str_], number: int, seed: int) -> Ints:
    """(N,) the fold of each clip, 0 to number - 1, about equally many; a video is in one alone.

    Clips are dealt out one by one where there are fewer videos than folds. Raises DataError where
    there are fewer clips.
    """
    if len(videos) < number:
        raise DataError(f"train: {len(videos)} clips found, pretrain.folds={number} needs as many")
    names, video = np.unique(videos, return_inverse=True)
    if len(names) < number:
        video = np.arange(len(videos))
    order = np.random.default_rng(subseed(seed, "folds")).permutation(video.max() + 1)
    sizes = np.bincount(video)[order]
    middle = np.cumsum(sizes) - sizes / 2
    place = (middle * number / sizes.sum()).astype(np.int64)
    if not np.bincount(place, minlength=number).all():  # a video is larger than a fold
        place = np.arange(len(order)) % number
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = place
    return np.asarray(fold[video])


@torch.no_grad()
def votes(model: CMC, table: TensorTable, rows: Ints | None = None) -> Tensor:
    """(N, K, c) logits of these rows, in order, in float64, on the processor."""
    loader = Loader(table, model.predict_clips, rows=rows)
    found = [model.vote(model.encode(batch)) for batch in loader.epoch()]
    return torch.cat(found).cpu().double()


def _known(table: TensorTable) -> Tensor:
    """(N, K) bool, on the processor: the modality is there and the clip has a label."""
    return (table.present & (table.labels[:, :1] >= 0)).cpu()


def _scalings(logits: Tensor, table: TensorTable) -> list[Any]:
    """A temperature for each modality, fitted on valid."""
    known, y = _known(table), table.labels[:, 0].cpu()
    return [
        fit_scaling(logits[known[:, k], k].numpy(), y[known[:, k]].numpy())
        for k in range(logits.shape[1])
    ]


def _scaled(logits: Tensor, scalings: list[Any]) -> Tensor:
    parts = [s.apply(z.numpy()) for s, z in zip(scalings, logits.unbind(dim=1), strict=True)]
    return torch.as_tensor(np.stack(parts, axis=1))
