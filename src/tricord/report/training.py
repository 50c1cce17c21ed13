"""How training went: the curves of both stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tricord.report import figures
from tricord.report.markup import Html, charts, section, tag
from tricord.report.subject import Subject
from tricord.training.cmc import TrainedCMC

_TOWARDS = {
    "pseudo": "the pseudo labels",
    "multimodal": "the multimodal label",
    "ground_truth": "each modality's own true label",
}


def show(subject: Subject) -> Html:
    """The section."""
    first = subject.first
    which = f"Of {subject.name}, seed {first.seed}, as are all figures and clips below."
    nothing = tag("p", "No epoch was run.")
    return section(
        "How training went",
        tag("p", which, class_="soft") if subject.several_seeds else Html(),
        tag("h3", "Stage 1: each modality by itself"),
        _stage1(first) if first.history["pretrain"] else nothing,
        tag("h3", "Stage 2: the consensus"),
        _stage2(first) if first.history["finetune"] else nothing,
    )


def _stage1(trained: TrainedCMC) -> Html:
    history, settings = trained.history["pretrain"], trained.config.pretrain
    drawn = [
        _chart(history, name, f"Stage 1: {name}", trained.pretrained.epochs[name])
        for name in trained.model.modalities
    ]
    drawn.append(_chart(history, "supcon", "Stage 1: SupCon"))
    valid = "the fixed multimodal label" if settings.valid_targets == "fixed" else "moving labels"
    if trained.pretrained.transition:
        valid = "labels made as those of train"
    how = "the last" if settings.select == "last" else "the best on valid"
    return charts(
        drawn,
        f"Task losses: train against {_TOWARDS[settings.labels]}, valid (of the averaged model) "
        f"against {valid}. Dotted: the epoch kept, {how}.",
    )


def _stage2(trained: TrainedCMC) -> Html:
    every, settings = trained.history["finetune"], trained.config.finetune
    history = [row for row in every if row["epoch"]]
    kept, how = len(history), "the last"
    if settings.select == "best":
        kept = int(min(every, key=lambda row: row[f"valid_{settings.criterion}"])["epoch"])
        how = f"the smallest valid {settings.criterion}"
    if not kept:
        how += "; it is epoch 0, what stage 1 handed over"
    if not history:
        return tag("p", f"No epoch was run: kept is {how}.")
    named = {"consensus": "consensus", "supcon": "SupCon"}
    named |= {m: m for m in trained.model.modalities if f"train_{m}" in history[0]}
    drawn = (_chart(history, key, f"Stage 2: {name}", kept) for key, name in named.items())
    return charts(
        drawn,
        "The consensus against the multimodal label, each modality's vote against its kept label. "
        f"Dotted: the epoch kept, {how}{'' if settings.criterion == 'loss' else ' loss'}.",
    )


def _chart(
    history: Sequence[Mapping[str, float]], key: str, title: str, kept: int | None = None
) -> Html:
    lines = {part: [row[f"{part}_{key}"] for row in history] for part in ("train", "valid")}
    return figures.curves(lines, title, kept or None)
