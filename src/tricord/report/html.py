"""`report.html` of a run: what was trained, how well it does, why, and what may be concluded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.evaluation.table import Evaluation
from tricord.files import write_atomically
from tricord.report import clips, conclusions, labels, table, training, weights
from tricord.report.markup import Html, folded, items, join, tag
from tricord.report.subject import Subject
from tricord.report.words import counted
from tricord.training.cmc import TrainedCMC
from tricord.training.trained import TrainedModel

_SECTIONS = (table, training, labels, weights, clips, conclusions)


def write_report(
    path: Path,
    *,
    evaluation: Evaluation,
    models: Mapping[str, Sequence[TrainedModel]],
    data: Dataset,
    split: str,
) -> None:
    """One HTML file that needs nothing else; the same input gives the same bytes.

    evaluation: the table of these models on this split. models: name -> one trained model a seed;
    figures and clips are those of the first name's first seed. data: with labels checked, as for
    `tricord.evaluation.table.evaluate`. The file is replaced whole or not at all.
    Raises ConfigError where none of the models has votes to show.
    """
    voting = {name: [t for t in ts if isinstance(t, TrainedCMC)] for name, ts in models.items()}
    voting = {name: trained for name, trained in voting.items() if trained}
    if not voting:
        raise ConfigError(f"{', '.join(models)}: a report shows votes, and there are none")
    page = _page(Subject(evaluation, voting, data, split))
    # what UTF-8 cannot hold, as a reference
    content = page.encode("utf-8", "xmlcharrefreplace")
    write_atomically(path, lambda p: p.write_bytes(content))


def _page(subject: Subject) -> Html:
    title = f"{'SIMULATED DATA: ' if subject.simulated else ''}tricord report: {subject.name}"
    style = files("tricord.report").joinpath("style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style)),
    )
    main = tag("main", *(part.show(subject) for part in _SECTIONS))
    body = tag("body", _banner(subject), _header(subject), main)
    return Html(f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n")


def _banner(subject: Subject) -> Html:
    if not subject.simulated:
        return Html()
    whose = "" if subject.data.simulated else "the model was trained on "
    return tag(
        "p",
        tag("strong", "SIMULATED DATA:"),
        f" {whose}clips and features {'from' if whose else 'come from'} a generator, not from "
        "people. Nothing here says how a method does on real data.",
        class_="banner",
        role="note",
    )


def _header(subject: Subject) -> Html:
    notices = subject.data.notices
    settings = subject.first.config.model_dump(mode="json")
    pairs = (join([tag("dt", k), tag("dd", tag("bdi", v))]) for k, v in _facts(subject).items())
    return tag(
        "header",
        tag("h1", f"{subject.name} on {subject.split}"),
        tag(
            "p",
            "A run of Calibrated Multimodal Consensus: each modality votes, a router weighs the "
            "votes, the weighted sum decides. This page says how well that goes, with intervals "
            "and floors, and lets you look at why.",
        ),
        tag("dl", *pairs),
        folded("What was found and mended in the data", items(notices)) if notices else Html(),
        folded("All settings", tag("pre", json.dumps(settings, indent=1, ensure_ascii=False))),
    )


def _facts(subject: Subject) -> dict[str, str]:
    """What was trained, on what."""
    first, evaluation = subject.first, subject.evaluation
    data = f"{Path(subject.data.source).name}, fingerprint {evaluation.fingerprint[:12]}"
    models = (f"{n} ({counted(len(t), 'seed')})" for n, t in subject.models.items())
    facts = {
        "Models": ", ".join(models),
        "Preset": first.config.preset,
        "Seeds": ", ".join(map(str, evaluation.seeds)),
        "Parameters": f"{first.model.size:,} outside the language model",
        "Data": data + (" (simulated)" if subject.data.simulated else ""),
        "Split": f"{subject.split}, {len(subject.table)} clips, {_use(subject)}",
        "Classes": ", ".join(subject.scheme.classes),
        "Versions": ", ".join(f"{k} {v}" for k, v in first.versions.items()),
    }
    if subject.several_seeds:
        shown = f"{subject.name}, seed {first.seed}, the first; the table is over all seeds"
        facts["Figures and clips"] = shown
    return facts


def _use(subject: Subject) -> str:
    """What training made of the split's clips."""
    if not subject.trained_on:
        return "of other data than the model was trained on"
    uses = {
        "train": "trained on: its numbers say nothing of new clips",
        "valid": "used to choose epochs: its numbers are too good",
    }
    return uses.get(subject.split, "never seen in training")
