"""What Figure 6 shows of one data set: how many labels moved, and the chosen clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tricord.config import RunConfig
from tricord.data.schema import FeatureTable
from tricord.experiments.reproduce.frame_words import frame_words
from tricord.experiments.reproduce.label_paths import Choice, LabelPaths, choose
from tricord.features.text import TEXT
from tricord.inference.attribution import gradient_times_input
from tricord.inference.recovery import mass_that_stays
from tricord.labels import LabelScheme
from tricord.training.session import Session

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """A chosen clip of train.

    paths: modality -> (E + 1, c) soft labels, of the modalities present. words: (n,) what stands
    at each frame of the text, numbers from 1 where that is not known (``named`` False).
    attribution: (n,) of these frames, for the logit of ``choice.target``. truth: modality, or
    "multimodal" -> true class, where known.
    """

    id: str
    choice: Choice
    paths: Mapping[str, Floats]
    words: Sequence[str]
    named: bool
    attribution: Floats
    truth: Mapping[str, str]

    @property
    def shares(self) -> Floats:
        """(n,) the attribution as shares (0 to 1) of the largest."""
        largest = self.attribution.max(initial=0)
        return self.attribution / largest if largest > 0 else np.zeros_like(self.attribution)


@dataclass(frozen=True)
class Agreement:
    """Moved text labels whose true one is known: how many were right before, and are after."""

    clips: int
    before: int
    after: int


@dataclass(frozen=True)
class Followed:
    """One data set.

    kept: epoch whose labels are kept; epochs: how many stage 1 had. clips: labelled ones of train.
    moved: modality -> how many of their labels moved. down, up: how many of the text's, and to
    which side. must_stay: share (0 to 1) of a text label's mass that its momentum keeps at the
    start through the kept epoch, whatever the model says.
    """

    preset: str
    fingerprint: str
    scheme: LabelScheme
    epochs: int
    kept: int
    clips: int
    moved: Mapping[str, int]
    down: int
    up: int
    must_stay: float
    agreement: Agreement
    cases: Sequence[Case]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {k: v for k, v in vars(self).items() if k not in ("scheme", "cases", "agreement")}
        return {
            **plain,
            "moved": dict(self.moved),
            "classes": list(self.scheme.classes),
            "text_labels_moved_with_known_truth": asdict(self.agreement),
            "cases": [self._case(case) for case in self.cases],
        }

    def _case(self, case: Case) -> dict[str, Any]:
        classes = self.scheme.classes
        return {
            "id": case.id,
            "direction": case.choice.direction,
            "from": classes[case.choice.start],
            "to": classes[case.choice.target],
            "left_after_epoch": case.choice.left,
            "true": dict(case.truth),
            "paths": {name: np.round(path, 6).tolist() for name, path in case.paths.items()},
            "words": list(case.words),
            "words_known": case.named,
            "attribution": [float(f"{a:.6g}") for a in case.attribution],
        }


def gather(session: Session[RunConfig], paths: LabelPaths, preset: str) -> Followed:
    """Of CMC's stage 1 on the train split of the session."""
    config, train = session.config, session.data["train"]
    scheme, modalities = config.labels, list(session.widths)
    text = modalities.index(TEXT)
    soft = paths.soft[: paths.kept + 1].numpy()
    hard = soft.argmax(axis=-1)
    known = scheme.to_class(train.scores[:, 0]) >= 0
    moved = (hard[-1] != hard[0]) & known[:, None]
    table = session.loaders.table("train", tokens=False)
    usable = known & table.present[:, text].numpy()
    ordered = not scheme.nominal
    choices = choose(soft[:, :, text], usable, train.ids, ordered=ordered)
    momentum = config.modalities[TEXT].label_momentum
    way = np.sign(hard[-1, :, text] - hard[0, :, text]) * known
    return Followed(
        preset=preset,
        fingerprint=session.fingerprint,
        scheme=scheme,
        epochs=len(paths.soft) - 1,
        kept=paths.kept,
        clips=int(known.sum()),
        moved=dict(zip(modalities, moved.sum(axis=0).tolist(), strict=True)),
        down=int((way < 0).sum()),
        up=int((way > 0).sum()),
        must_stay=mass_that_stays(momentum, paths.kept, config.pretrain.schedule),
        agreement=_agreement(train, scheme, hard[0, :, text], hard[-1, :, text], moved[:, text]),
        cases=[_case(session, paths, choice) for choice in choices],
    )


def _agreement(
    train: FeatureTable,
    scheme: LabelScheme,
    before: NDArray[np.integer],
    after: NDArray[np.integer],
    moved: NDArray[np.bool_],
) -> Agreement:
    truth = scheme.to_class(train.scores[:, 1 + list(train.sequences).index(TEXT)])
    rows = moved & (truth >= 0)
    return Agreement(
        int(rows.sum()), int((before == truth)[rows].sum()), int((after == truth)[rows].sum())
    )


def _case(session: Session[RunConfig], paths: LabelPaths, choice: Choice) -> Case:
    train, row = session.data["train"], choice.row
    attribution = _attribution(session, paths, choice)
    words = frame_words(session.source, train, row, len(attribution))
    present = session.loaders.table("train", tokens=False).present[row].tolist()
    soft = paths.soft[:, row].numpy()
    return Case(
        id=train.ids[row],
        choice=choice,
        paths={
            name: soft[:, k]
            for k, (name, here) in enumerate(zip(session.widths, present, strict=True))
            if here
        },
        words=words or [str(number) for number in range(1, 1 + len(attribution))],
        named=words is not None,
        attribution=attribution,
        truth=true_classes(train, session.config.labels, row),
    )


def _attribution(session: Session[RunConfig], paths: LabelPaths, choice: Choice) -> Floats:
    """(n,) of the clip's real frames."""
    config = session.config
    batch = session.loaders.table("train", tokens=False).fetch(np.array([choice.row]))
    frames = batch.frames[TEXT]
    output = 0 if config.labels.head == "regression" else choice.target
    model = paths.text_model(config, session.widths[TEXT], TEXT)
    found = gradient_times_input(model, frames, torch.tensor([output])).numpy()
    real = frames.lengths if frames.real is None else frames.real
    return np.asarray(found[: int(real[0])])


def true_classes(table: FeatureTable, scheme: LabelScheme, row: int) -> dict[str, str]:
    """What is known of a clip: "multimodal" and modalities -> true class."""
    classes = scheme.to_class(table.scores[row]).tolist()
    names = ("multimodal", *table.sequences)
    return {n: scheme.classes[c] for n, c in zip(names, classes, strict=True) if c >= 0}
