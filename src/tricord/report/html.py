"""`report.html` of a run: what was trained, how well it does, why, and what may be concluded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset, FeatureTable
from tricord.data.splits import subset_masks
from tricord.evaluation.metrics import correct
from tricord.evaluation.statistics import Interval
from tricord.evaluation.table import BAYES_RULE, MAJORITY, Cell, Evaluation
from tricord.files import write_atomically
from tricord.inference.predictor import Predictions, predict, softmax
from tricord.labels import LabelScheme
from tricord.report import figures
from tricord.report.facts import (
    HALF,
    Movement,
    Weights,
    disagreement,
    furthest_apart,
    movements,
    router_weights,
)
from tricord.report.markup import Html, items, join, table, tag
from tricord.training.run import Trained
from tricord.types import Polarity, Subset

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
BAYES = "Bayes limit"
CASES = 10
_WORDS = 240  # characters of a clip's words
_MEANING = {
    Subset.TEST: "all",
    Subset.MSC: "labels agree in sign",
    Subset.MSI: "labels differ in sign",
}


def write_report(
    path: Path,
    *,
    evaluation: Evaluation,
    models: Mapping[str, Sequence[Trained]],
    data: Dataset,
    split: str,
) -> None:
    """One HTML file that needs nothing else; the same input gives the same bytes.

    evaluation: the table of these models on this split. models: name -> one trained model a seed;
    figures and clips are those of the first name's first seed. data: with labels checked, as for
    `tricord.evaluation.table.evaluate`. The file is replaced whole or not at all.
    """
    page = render(_Run(evaluation, models, data, split))
    # what UTF-8 cannot hold, as a reference
    content = page.encode("utf-8", "xmlcharrefreplace")
    write_atomically(path, lambda p: p.write_bytes(content))


@dataclass(frozen=True)
class _Run:
    """All that the sections look at."""

    evaluation: Evaluation
    models: Mapping[str, Sequence[Trained]]
    data: Dataset
    split: str

    @property
    def name(self) -> str:
        return next(iter(self.models))

    @property
    def first(self) -> Trained:
        return self.models[self.name][0]

    @property
    def scheme(self) -> LabelScheme:
        return self.first.config.labels

    @property
    def simulated(self) -> bool:
        return self.data.simulated or self.first.simulated

    @property
    def several_seeds(self) -> bool:
        return len(self.models[self.name]) > 1

    @property
    def table(self) -> FeatureTable:
        return self.data[self.split]

    @property
    def subsets(self) -> Mapping[Subset, Bools]:
        """The subsets of the table, (N,) each."""
        if Subset.MSI in self.evaluation.clips:
            return subset_masks(self.table.scores)
        return {Subset.TEST: np.ones(len(self.table), dtype=np.bool_)}

    @cached_property
    def predictions(self) -> Predictions:
        return predict(self.first, self.data, self.split)

    @cached_property
    def right(self) -> Bools:
        """(N,) whether the first model decides each clip rightly."""
        truth = self.scheme.to_class(self.table.scores[:, 0])
        return correct(self.predictions.outputs, truth, self.scheme)


def render(run: _Run) -> Html:
    """The whole page."""
    title = f"{'SIMULATED DATA: ' if run.simulated else ''}tricord report: {run.name}"
    style = files("tricord.report").joinpath("style.css").read_text(encoding="utf-8")
    sections = (_table, _curves, _labels, _weights, _cases, _conclusions)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style)),
    )
    body = tag("body", _banner(run), _head(run), tag("main", *(s(run) for s in sections)))
    return Html(f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n")


def _banner(run: _Run) -> Html:
    if not run.simulated:
        return Html()
    what = (
        "clips and features come from a generator"
        if run.data.simulated
        else ("the model was trained on clips and features from a generator")
    )
    return tag(
        "p",
        tag("strong", "SIMULATED DATA:"),
        f" {what}, not from people. Nothing here says how a method does on real data.",
        class_="banner",
        role="note",
    )


def _head(run: _Run) -> Html:
    first, evaluation = run.first, run.evaluation
    seeds = ", ".join(map(str, evaluation.seeds))
    data = f"{Path(run.data.source).name}, fingerprint {evaluation.fingerprint[:12]}"
    facts = {
        "Models": ", ".join(f"{n} ({len(t)} seed{_s(len(t))})" for n, t in run.models.items()),
        "Preset": first.config.preset,
        "Seeds": seeds,
        "Parameters": f"{first.model.size:,} outside the language model",
        "Data": data + (" (simulated)" if run.data.simulated else ""),
        "Split": f"{run.split}, {len(run.table)} clips, {_use(run)}",
        "Classes": ", ".join(run.scheme.classes),
        "Versions": ", ".join(f"{k} {v}" for k, v in first.versions.items()),
    }
    if run.several_seeds:
        shown = f"{run.name}, seed {first.seed}, the first; the table is over all seeds"
        facts["Figures and clips"] = shown
    pairs = (join([tag("dt", k), tag("dd", tag("bdi", v))]) for k, v in facts.items())
    return tag(
        "header",
        tag("h1", f"{run.name} on {run.split}"),
        tag(
            "p",
            "A run of Calibrated Multimodal Consensus: each modality votes, a router weighs the "
            "votes, the weighted sum decides. This page says how well that goes, with intervals "
            "and floors, and lets you look at why.",
        ),
        tag("dl", *pairs),
        _folded("What was found and mended in the data", items(run.data.notices))
        if run.data.notices
        else Html(),
        _folded("All settings", tag("pre", _settings(first))),
    )


def _use(run: _Run) -> str:
    """What training made of the split's clips."""
    if run.evaluation.fingerprint != run.first.fingerprint:
        return "of other data than the model was trained on"
    uses = {
        "train": "trained on: its numbers say nothing of new clips",
        "valid": "used to choose epochs: its numbers are too good",
    }
    return uses.get(run.split, "never seen in training")


def _settings(trained: Trained) -> str:
    return json.dumps(trained.config.model_dump(mode="json"), indent=1, ensure_ascii=False)


def _folded(summary: str, content: Html) -> Html:
    return tag("details", tag("summary", summary), content)


def _section(title: str, *content: object) -> Html:
    return tag("section", tag("h2", title), *content)


# The table


def _table(run: _Run) -> Html:
    evaluation = run.evaluation
    subsets = list(evaluation.clips)
    head = ["", *(_subset_head(s, evaluation.clips[s]) for s in subsets)]
    rows = [
        [
            join([tag("bdi", row.name), tag("span", row.note, class_="note")]),
            *(_cell(row.cells.get(s)) for s in subsets),
        ]
        for row in evaluation.rows
    ]
    if evaluation.limits is not None:
        rows.insert(1, _limit_row(evaluation.limits, subsets))
    spread = " ± is the standard deviation over seeds." if run.several_seeds else ""
    caption = (
        f"Share of clips decided rightly, %: {decision_rule(run.scheme)}. In brackets the "
        f"{_level(evaluation)} interval, whole videos resampled.{spread}"
    )
    return _section(
        "How well it does",
        table(head, rows, caption),
        _forests(evaluation, subsets, frozenset(run.models)),
        _gaps(run),
        _folded("All metrics, means over seeds", _all_metrics(evaluation)),
    )


def decision_rule(scheme: LabelScheme) -> str:
    """What counts as right, in words."""
    if scheme.polarity is None:
        return "the most probable class is the true one"
    sides = {
        Polarity.NON_POSITIVE: "positive (score above 0) against all else",
        Polarity.NON_NEGATIVE: "negative (score below 0) against all else",
    }[scheme.polarity]
    if scheme.head == "regression":
        return f"{sides}, by the sign of the score"
    return f"{sides}, by whether '{scheme.classes[-1]}' beats '{scheme.classes[0]}'"


def _subset_head(subset: Subset, clips: int) -> Html:
    return join([str(subset), tag("span", f"{clips} clips: {_MEANING[subset]}", class_="note")])


def _cell(cell: Cell | None) -> Html:
    if cell is None:
        return Html("–")
    interval = cell.interval
    ends = f" [{_percent(interval.low)}, {_percent(interval.high)}]"
    spread = "" if cell.spread is None else f" ±\u00a0{_percent(cell.spread)}"
    return join(
        [
            tag("b", _percent(interval.estimate)),
            tag("span", ends, class_="range"),
            tag("span", spread, class_="range"),
        ]
    )


def _limit_row(limits: Mapping[Subset, float], subsets: Iterable[Subset]) -> list[Html]:
    note = f"of the population, by the rule {BAYES_RULE}"
    name = join([BAYES, tag("span", note, class_="note")])
    return [name, *(tag("b", _percent(limits[s])) for s in subsets)]


def _level(evaluation: Evaluation) -> str:
    levels = {c.interval.level for row in evaluation.rows for c in row.cells.values() if c}
    return " or ".join(f"{100 * level:g} %" for level in sorted(levels))


def _forests(evaluation: Evaluation, subsets: Sequence[Subset], marked: frozenset[str]) -> Html:
    limits = evaluation.limits or {}
    cells = [c.interval for row in evaluation.rows for c in row.cells.values() if c]
    ends = [i.low for i in cells] + [i.high for i in cells] + list(limits.values())
    span = max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03)
    drawn = []
    for subset in subsets:
        rows = [(r.name, c.interval) for r in evaluation.rows if (c := r.cells.get(subset))]
        if rows:
            lines = {"majority": dict(rows)[MAJORITY].estimate}
            if subset in limits:
                lines["limit"] = limits[subset]
            drawn.append(figures.forest(rows, str(subset), span, marked, lines))
    legend = "Points with their intervals. Dashed: the majority class."
    return _charts(drawn, legend + (" Green: the Bayes limit." if limits else ""))


def _charts(drawn: Iterable[Html], legend: str) -> Html:
    return join([tag("div", *drawn, class_="charts"), tag("p", legend, class_="soft")])


def _gaps(run: _Run) -> Html:
    """How far each model stays below the Bayes limit, in points."""
    limits = run.evaluation.limits
    if limits is None:
        return Html()
    rows = []
    for name in run.models:
        cells = run.evaluation.row(name).cells
        gaps = [_gap(limits[s], cells[s]) for s in run.evaluation.clips]
        rows.append([tag("bdi", name), *gaps])
    return tag(
        "div",
        tag("h3", "Gap to the Bayes limit"),
        tag(
            "p",
            "The limit is what the exact posterior of the generator reaches in its population "
            f"when it decides by {BAYES_RULE}, not being told the subset. On D_test nothing beats "
            "it in the long run; on D_msc and D_msi it is what that same classifier gets there. "
            "On few clips an estimate may still lie above it by chance.",
        ),
        table(["Points below the limit", *map(str, run.evaluation.clips)], rows),
    )


def _gap(limit: float, cell: Cell | None) -> Html:
    if cell is None:
        return Html("–")
    i = cell.interval
    ends = f" [{_points(limit - i.high)}, {_points(limit - i.low)}]"
    return join([tag("b", _points(limit - i.estimate)), tag("span", ends, class_="range")])


def _all_metrics(evaluation: Evaluation) -> Html:
    tables = []
    for subset in evaluation.clips:
        filled = [(r.name, c.metrics) for r in evaluation.rows if (c := r.cells.get(subset))]
        if filled:
            names = list(filled[0][1])
            rows = [[tag("bdi", n), *(f"{m[k]:.3f}" for k in names)] for n, m in filled]
            tables.append(table([str(subset), *names], rows))
    return join(tables)


# Learning curves


def _curves(run: _Run) -> Html:
    return _section(
        "How training went",
        _this_model(run),
        tag("h3", "Stage 1: each modality by itself"),
        _stage1(run.first),
        tag("h3", "Stage 2: the consensus"),
        _stage2(run.first),
    )


def _this_model(run: _Run) -> Html:
    which = f"Of {run.name}, seed {run.first.seed}, as are all figures and clips below."
    return tag("p", which, class_="soft") if run.several_seeds else Html()


def _stage1(trained: Trained) -> Html:
    history, settings = trained.history["pretrain"], trained.config.pretrain
    if not history:
        return tag("p", "No epoch was run.")
    epochs = trained.pretrained.epochs
    charts = [
        figures.curves(_losses(history, name), f"Stage 1: {name}", epochs[name])
        for name in trained.model.modalities
    ]
    charts.append(figures.curves(_losses(history, "supcon"), "Stage 1: SupCon"))
    towards = {
        "pseudo": "the pseudo labels",
        "multimodal": "the multimodal label",
        "ground_truth": "each modality's own true label",
    }[settings.labels]
    valid = "the fixed multimodal label" if settings.valid_targets == "fixed" else "moving labels"
    how = "the last" if settings.select == "last" else "the best on valid"
    return _charts(
        charts,
        f"Task losses: train against {towards}, valid (of the averaged model) against {valid}. "
        f"Dotted: the epoch kept, {how}.",
    )


def _stage2(trained: Trained) -> Html:
    history, settings = trained.history["finetune"], trained.config.finetune
    if not history:
        return tag("p", "No epoch was run.")
    kept = len(history)
    if settings.select == "best":
        kept = 1 + int(np.argmin([row[f"valid_{settings.criterion}"] for row in history]))
    named = {"consensus": "consensus", "supcon": "SupCon"}
    named |= {m: m for m in trained.model.modalities if f"train_{m}" in history[0]}
    charts = [
        figures.curves(_losses(history, key), f"Stage 2: {name}", kept)
        for key, name in named.items()
    ]
    how = "the last" if settings.select == "last" else f"the smallest valid {settings.criterion}"
    return _charts(
        charts,
        "The consensus against the multimodal label, each modality's vote against its kept label. "
        f"Dotted: the epoch kept, {how}{'' if settings.criterion == 'loss' else ' loss'}.",
    )


def _losses(history: Sequence[Mapping[str, float]], name: str) -> dict[str, list[float]]:
    return {part: [row[f"{part}_{name}"] for row in history] for part in ("train", "valid")}


# Pseudo labels


def _labels(run: _Run) -> Html:
    title = "Where pseudo labels moved"
    trained = run.first
    fixed = {
        "ground_truth": "Each modality was trained on its own true labels (CMC-GT). "
        "There are no pseudo labels.",
        "multimodal": "Each modality was trained on the multimodal label throughout "
        "(w/o PLGM). No label moves.",
    }
    if trained.config.pretrain.labels != "pseudo":
        return _section(title, tag("p", fixed[trained.config.pretrain.labels]))
    if "train" not in run.data or run.evaluation.fingerprint != trained.fingerprint:
        return _section(
            title, tag("p", "Not shown: this is not the data that the model was trained on.")
        )
    found = movements(trained, run.data["train"])
    history = trained.history["pretrain"]
    counts = {m.modality: [row[f"moved_{m.modality}"] for row in history] for m in found}
    charts = Html()
    if any(map(any, counts.values())):
        kept = max(trained.pretrained.epochs.values())
        chart = figures.curves(counts, "Labels moved", kept, "clips of train")
        charts = tag("div", chart, class_="charts")
    return _section(
        title,
        tag(
            "p",
            "Every modality starts from the multimodal label of its clip; PLGM moves that label "
            "where the modality's own model disagrees for long enough.",
        ),
        items(_movement_in_words(m, len(history)) for m in found),
        charts,
        tag("div", *(_moves(m, run.scheme) for m in found if m.moved), class_="tables"),
        _agreements(found),
    )


def _movement_in_words(found: Movement, epochs: int) -> Html:
    name = tag("b", tag("bdi", found.modality))
    least = f"the least mass found at a start class is {_percent(found.least)} %"
    if found.moved:
        share = found.moved / found.clips
        text = f": {found.moved} of {found.clips} labels moved ({_percent(share)} %)."
    elif found.must_stay >= HALF:
        text = (
            f": no label moved, and none can: over {epochs} epoch{_s(epochs)} its momentum keeps "
            f"at least {_floor(found.must_stay)} % of a label's mass at its start class, whatever "
            f"the model says, and more than half must leave; {least}. {_needed(found)}"
        )
    else:
        text = (
            f": no label moved, though the momentum allows it (at least "
            f"{_floor(found.must_stay)} % of the mass stays after {epochs} epochs); {least}."
        )
    return join([name, text])


def _needed(found: Movement) -> str:
    if found.epochs_needed is None:
        return "No number of epochs is enough."
    return f"The first label could move after {found.epochs_needed:,} epochs."


def _moves(found: Movement, scheme: LabelScheme) -> Html:
    rows = [[c, *map(str, row)] for c, row in zip(scheme.classes, found.moves, strict=True)]
    caption = f"{found.modality}: clips of train, multimodal class (rows) to kept label"
    return tag("div", table(["", *scheme.classes], rows, caption))


def _agreements(found: Sequence[Movement]) -> Html:
    rows = [
        [
            tag("bdi", m.modality),
            f"{part} ({a.clips})",
            _percent(a.before),
            _percent(a.after),
            _change(a.change),
        ]
        for m in found
        for part, a in m.agreement.items()
    ]
    if not rows:
        return tag("p", "Whether labels moved to the true ones cannot be said: none are known.")
    head = ["", "Clips of train", "Before, %", "After, %", "Change, points"]
    caption = (
        "Share of labels that are the modality's true label. Before: the multimodal label; after: "
        "the kept pseudo label. In brackets the 95 % interval, whole videos resampled."
    )
    return table(head, rows, caption)


def _change(change: Interval) -> Html:
    ends = f" [{_signed(100 * change.low, 1)}, {_signed(100 * change.high, 1)}]"
    return join([tag("b", _signed(100 * change.estimate, 1)), tag("span", ends, class_="range")])


# Weights


def _weights(run: _Run) -> Html:
    title = "How MCR weighs the modalities"
    if run.first.model.router is None:
        return _section(
            title,
            tag(
                "p",
                "There is no MCR in this model: it takes the plain mean, so every modality "
                "present has the same weight in every clip.",
            ),
        )
    subsets = dict(run.subsets)
    if Subset.MSI in subsets:
        del subsets[Subset.TEST]
    found = router_weights(run.predictions, subsets, run.table.videos)
    top = float(run.predictions.weights.max())
    charts = (
        figures.boxes(
            {str(s): v for s, v in w.groups.items() if len(v)}, f"Weight of {w.modality}", top
        )
        for w in found
    )
    return _section(
        title,
        _charts(
            charts,
            "Boxes: quartiles and median; whiskers: the middle 90 % of clips; in brackets how "
            f"many. Without a preference every weight would be {1 / len(found):.3f}.",
        ),
        _weight_table(found, list(subsets)),
        tag("p", _weights_in_words(found, Subset.MSI in subsets)),
    )


def _weight_table(found: Sequence[Weights], subsets: Sequence[Subset]) -> Html:
    rows: list[list[object]] = [
        [tag("bdi", w.modality), *(_mean_and_deviation(w.groups[s]) for s in subsets)]
        for w in found
    ]
    head = ["Mean weight", *map(str, subsets)]
    if any(w.difference for w in found):
        head.append("D_msi minus D_msc")
        for row, w in zip(rows, found, strict=True):
            row.append(_weight_difference(w.difference))
    return table(head, rows, "± is the standard deviation over clips")


def _mean_and_deviation(values: Array) -> str:
    return f"{values.mean():.3f} ±\u00a0{values.std():.3f}" if len(values) else "–"


def _weight_difference(difference: Interval | None) -> Html:
    if difference is None:
        return Html("–")
    ends = f" [{_signed(difference.low, 3)}, {_signed(difference.high, 3)}]"
    return join([tag("b", _signed(difference.estimate, 3)), tag("span", ends, class_="range")])


def _weights_in_words(found: Sequence[Weights], split_known: bool) -> str:
    if not split_known:
        return (
            "The weights are over all clips: without a sign for every modality's label, D_msc and "
            "D_msi are not known."
        )
    gaps = {w.modality: w.difference for w in found if w.difference}
    if not gaps:
        return "D_msc or D_msi is empty here, so that the two cannot be compared."
    largest = math.ceil(1000 * max(max(-i.low, i.high) for i in gaps.values())) / 1000
    sure = [
        f"{name} {'more' if i.estimate > 0 else 'less'}"
        for name, i in gaps.items()
        if i.low > 0 or i.high < 0
    ]
    level = f"{100 * next(iter(gaps.values())).level:g} %"
    told = (
        f"On D_msi MCR weighs {', '.join(sure)} than on D_msc"
        if sure
        else "No modality's mean weight can be told apart between D_msc and D_msi"
    )
    return (
        f"{told} ({level} intervals, each by itself, whole videos resampled). Going by the ends "
        f"of the intervals, the two mean weights of a modality do not differ by more than "
        f"{largest:.3f}."
    )


# Clips


def _cases(run: _Run) -> Html:
    predictions, scheme = run.predictions, run.scheme
    distances = disagreement(predictions)
    rows = furthest_apart(distances, predictions.ids, CASES)
    regression = scheme.head == "regression"
    rule = (
        "the largest vote minus the smallest"
        if regression
        else "Jensen-Shannon divergence of the votes' probabilities, in bits"
    )
    unit = "" if regression else " bits"
    cases = (_case(run, int(i), f"{distances[i]:.3f}{unit}") for i in rows)
    return _section(
        f"{_number(len(rows))} where the modalities disagree",
        tag(
            "p",
            f"Not picked by hand: the clips of {run.split} with the largest disagreement "
            f"({rule}), ties by id. Right or wrong as in the table: {decision_rule(scheme)}.",
        ),
        tag("p", _conflict_in_words(run)),
        Html() if regression else _legend(scheme),
        *cases,
    )


def _number(cases: int) -> str:
    return "Ten clips" if cases == CASES else f"{cases} clip{_s(cases)}"


def _conflict_in_words(run: _Run) -> str:
    conflict, right = run.predictions.conflict, run.right
    number = int(conflict.sum())
    parts = [f"The votes' classes differ in {number} of {len(conflict)} clips."]
    if 0 < number < len(conflict):
        parts.append(
            f"The consensus is right on {_percent(right[conflict].mean())} % of these and on "
            f"{_percent(right[~conflict].mean())} % of the others."
        )
    return " ".join(parts)


def _legend(scheme: LabelScheme) -> Html:
    keys = (
        tag("span", _bar([1.0], [colour], name), tag("bdi", name), class_="key")
        for name, colour in zip(scheme.classes, class_colours(scheme), strict=True)
    )
    return tag("p", *keys)


def _case(run: _Run, row: int, distance: str) -> Html:
    predictions, clips = run.predictions, run.table
    right = bool(run.right[row])
    outcome = tag("span", "right" if right else "wrong", class_="right" if right else "wrong")
    words = Html()
    if clips.raw_text is not None:
        words = tag("blockquote", tag("bdi", _shortened(clips.raw_text[row])))
    rows: list[list[object]] = [
        [
            tag("bdi", name),
            *_vote(predictions, predictions.votes[row, k]),
            f"{predictions.weights[row, k]:.3f}",
        ]
        if predictions.present[row, k]
        else [tag("bdi", name), "absent", "", ""]
        for k, name in enumerate(predictions.modalities)
    ]
    consensus = predictions.outputs[row]
    rows.append(["consensus", *_vote(predictions, consensus), outcome])
    head = ["", "vote", "class", "weight"]
    return tag(
        "article",
        tag("h3", tag("bdi", clips.ids[row])),
        words,
        tag("p", _true_labels(run, row)),
        table(head, rows),
        tag("p", f"Disagreement {distance}. {_in_numbers(run.scheme, consensus)}", class_="soft"),
        class_="case",
    )


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}…"


def _true_labels(run: _Run, row: int) -> Html:
    classes = run.scheme.to_class(run.table.scores[row])
    names = ("multimodal", *run.table.sequences)
    known = {
        n: run.scheme.classes[c] for n, c in zip(names, classes.tolist(), strict=False) if c >= 0
    }
    labels = join((join([n, " ", tag("b", tag("bdi", c))]) for n, c in known.items()), ", ")
    rest = "" if len(known) > 1 else "; the modalities' own labels are not known"
    return join(["True labels: ", labels, rest, "."])


def _vote(predictions: Predictions, output: Array) -> tuple[Html, Html]:
    """The bar, and the class in words."""
    scheme = predictions.scheme
    name = scheme.classes[int(predictions.classes(output))]
    if scheme.head == "regression":
        score = float(output[0])
        return _score_bar(score, scheme), join([tag("bdi", name), f" ({_signed(score, 2)})"])
    p = softmax(output)
    spoken = ", ".join(f"{n} {v:.2f}" for n, v in zip(scheme.classes, p, strict=True))
    return _bar(p, class_colours(scheme), spoken), join([tag("bdi", name), f" {p.max():.2f}"])


def _in_numbers(scheme: LabelScheme, output: Array) -> str:
    if scheme.head == "regression":
        return f"Consensus: score {_signed(float(output[0]), 3)}."
    pairs = zip(scheme.classes, softmax(output), strict=True)
    return f"Consensus: {', '.join(f'{name} {p:.3f}' for name, p in pairs)}."


def class_colours(scheme: LabelScheme) -> list[str]:
    """One colour a class: orange over grey to blue where classes are ordered."""
    c = scheme.num_classes
    if scheme.nominal:
        return [figures.LINES[i % len(figures.LINES)] for i in range(c)]
    ends = [figures.ORANGE, figures.GREY, figures.BLUE]
    channels = np.array([[int(e[i : i + 2], 16) for i in (1, 3, 5)] for e in ends])
    places = np.linspace(0, 2, c)
    mixed = np.stack([np.interp(places, [0, 1, 2], column) for column in channels.T], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in np.rint(mixed).astype(int).tolist()]


def _bar(shares: Iterable[float], colours: Sequence[str], spoken: str) -> Html:
    """Shares (0 to 1, one in sum) side by side."""
    start, parts = 0.0, []
    for share, colour in zip(shares, colours, strict=True):
        width = 100 * float(share)
        parts.append(_rect(start, width, colour))
        start += width
    return _strip(parts, spoken)


def _score_bar(score: float, scheme: LabelScheme) -> Html:
    """From zero to the score, on the range of valid scores."""
    places = np.clip([0.0, score], scheme.low, scheme.high)
    zero, end = (100 * (places - scheme.low) / (scheme.high - scheme.low)).tolist()
    colour = figures.BLUE if end > zero else figures.ORANGE
    filled = _rect(min(zero, end), abs(end - zero), colour)
    ground = tag("rect", x=0, y=0, width=100, height=10, fill=figures.GREY, opacity=0.25)
    place = f"{zero:.1f}"
    axis = tag("line", x1=place, x2=place, y1=0, y2=10, stroke="currentColor", stroke_width=0.4)
    return _strip([ground, filled, axis], f"score {score:.2f}")


def _rect(x: float, width: float, colour: str) -> Html:
    return tag("rect", x=f"{x:.1f}", y=0, width=f"{width:.1f}", height=10, fill=colour)


def _strip(parts: Iterable[Html], spoken: str) -> Html:
    return tag(
        "svg",
        tag("title", spoken),
        *parts,
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=spoken,
    )


# Conclusions


def _conclusions(run: _Run) -> Html:
    points: list[str] = []
    if run.simulated:
        points.append(
            "The data is simulated: nothing here is a finding about people, and no ranking of "
            "methods here says how they rank on real data. What may be concluded is whether the "
            "implementation learns what can be learned, and how far it stays from the limit."
        )
    points.append(
        "An interval says how much the number would change with other videos of the same kind. "
        "Two rows whose intervals overlap may still differ, since they meet the same clips: "
        "compare them clip by clip before saying that they do not."
    )
    if run.several_seeds:
        points.append(
            f"± is over {len(run.evaluation.seeds)} training seeds on the same clips: other "
            "training runs, not other data. The seeds share every clip, so they are not "
            "independent experiments."
        )
    else:
        points.append(
            "One training seed: how much another one would change the numbers is not known, and "
            "the interval does not hold it. Give --seed several times to see it."
        )
    points += _on_msi(run.evaluation)
    if run.evaluation.limits is None and Subset.MSI not in run.evaluation.clips:
        points.append("No limit is known for this data, and no subsets by conflict of labels.")
    points.append(
        "Weights and clips describe this model. They do not show why a person felt or was seen "
        "to feel something, nor that a weight causes a decision."
    )
    return _section("What may be concluded, and what not", items(points))


def _on_msi(evaluation: Evaluation) -> list[str]:
    """How little room there is on D_msi."""
    floor = evaluation.row(MAJORITY).cells.get(Subset.MSI)
    if floor is None:
        return []
    low, clips = floor.interval.estimate, evaluation.clips[Subset.MSI]
    start = f"D_msi has {clips} clips, and the majority class alone gets {_percent(low)} % there"
    if evaluation.limits is None:
        return [f"{start}: a result below that is worse than a constant."]
    limit = evaluation.limits[Subset.MSI]
    return [
        f"{start}. The Bayes limit of {_percent(limit)} % is {_points(limit - low)} points above: "
        "that is all the room there is, and differences between methods must be read against it."
    ]


# Numbers in words


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _floor(share: float) -> str:
    """In percent, never rounded up."""
    return f"{math.floor(1000 * share) / 10:.1f}"


def _points(difference: float) -> str:
    return _signed(100 * difference, 1).lstrip("+")


def _signed(number: float, digits: int) -> str:
    """With its sign, a true minus, and no sign for what rounds to zero."""
    text = f"{number:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
