"""How pseudo labels move while stage 1 trains (Eq. 19-28), and whose path is worth drawing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tricord.config import RunConfig
from tricord.device import forked
from tricord.models.cmc import CMC
from tricord.models.released import load
from tricord.models.unimodal import Unimodal
from tricord.training.checkpoint import load_tree, save_tree
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.session import Session
from tricord.training.stages import State

DOWN, UP, MOVED = "down", "up", "moved"
RULE = (
    "Of the clips of train with text, one for each direction (to a lower and to a higher class): "
    "the one whose text label left the multimodal class first and stayed away until the labels "
    "were kept, among equals the one with most mass at its new class, then the first id. Where no "
    "label left in a direction: the one with most mass at another class in that direction."
)


@dataclass(frozen=True)
class LabelPaths:
    """What became of the labels of N clips of train over E epochs of stage 1.

    soft: (E + 1, N, K, c) soft labels, first as they were before the first epoch. kept: the epoch
    whose labels stage 2 is given. text: state of the text model that stage 1 hands over.
    """

    soft: Tensor
    kept: int
    text: State

    def text_model(self, config: RunConfig, width: int, name: str) -> Unimodal:
        """p_k(f_k(x)) of stage 1, its EMA copy at its best epoch, in evaluation mode."""
        with forked():  # fresh weights are drawn and overwritten
            fresh = Unimodal.build(
                width, config.labels.outputs, config.modalities[name], config.model
            )
        return load(fresh, self.text).eval()


class Follower(Observer):
    """Copies the labels before the first epoch and after each."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self.soft: list[Tensor] = []
        self.say = say

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        self._copy(stage)
        self.started = time.monotonic()

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        self._copy(stage)
        a_epoch = (time.monotonic() - self.started) / progress.epoch
        left = a_epoch * (stage.epochs - progress.epoch)
        self.say(f"epoch {progress.epoch} of at most {stage.epochs}, up to {left:.0f} s left")

    def _copy(self, stage: Stage) -> None:
        assert isinstance(stage, PretrainStage)
        self.soft.append(stage.targets.bank.soft.clone())


def follow(
    session: Session[RunConfig], text: str, path: Path, say: Callable[[str], object]
) -> LabelPaths:
    """Train stage 1 and keep the paths in ``path``, or take them from there.

    session: of CMC on pseudo labels; its stage 1 has the same bits as in a whole training.
    text: the modality whose model is kept.
    """
    if path.is_file():
        return LabelPaths(**load_tree(path))
    follower = Follower(say)
    session.observer = follower
    config = session.config
    with session.random():
        model = CMC.from_config(config, session.widths)
        train, valid = session.loaders.of(config.pretrain.batch_size, tokens=False)
        stage = PretrainStage(model, train, valid, config)
        session.fit(stage)
        result = stage.result()
    soft = torch.stack(follower.soft)
    kept = max(result.epochs.values()) or len(soft) - 1
    found = LabelPaths(soft, kept, dict(result.unimodal[text]))
    save_tree(path, {"soft": found.soft, "kept": found.kept, "text": found.text})
    return found


@dataclass(frozen=True)
class Choice:
    """A clip, and which way its text label went.

    row: in train. target: the class that it went to, or nearest to. left: the epoch after which it
    was no longer at its start; None where it stayed there.
    """

    row: int
    direction: str
    start: int
    target: int
    left: int | None


def choose(
    soft: NDArray[np.floating], usable: NDArray[np.bool_], ids: Sequence[str], *, ordered: bool
) -> list[Choice]:
    """By `RULE`, none in a direction in which no label went at all.

    soft: (E + 1, N, c) text labels until they were kept. usable: (N,) clips that may be chosen.
    ordered: whether classes have an order; without one there is one direction.
    """
    rows = np.arange(len(ids))
    start = soft[0].argmax(axis=-1)
    others = soft[-1].copy()
    others[rows, start] = -1.0
    target = others.argmax(axis=-1)
    mass = np.round(others[rows, target], 6)
    left = _left(soft.argmax(axis=-1) != start)
    order = np.lexsort((np.array(ids), -mass, left))
    ways = {DOWN: target < start, UP: target > start} if ordered else {MOVED: target != start}
    found = []
    for direction, this_way in ways.items():
        candidates = order[(usable & this_way & (mass > 0))[order]]
        if len(candidates):
            row = int(candidates[0])
            epoch = int(left[row]) if left[row] < len(soft) else None
            found.append(Choice(row, direction, int(start[row]), int(target[row]), epoch))
    return found


def _left(away: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(E + 1, N) -> (N,): the epoch from which on it is away until the end; E + 1 if it is not."""
    stays = np.logical_and.accumulate(away[::-1], axis=0)[::-1]
    return np.where(stays.any(axis=0), stays.argmax(axis=0), len(away))
