"""Predictions of clips as a person reads them, in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tricord.clips.clip import ClipFeatures
    from tricord.inference.clip import ClipPredictions
    from tricord.inference.predictor import Predictions
    from tricord.inference.timeline import Timeline
    from tricord.training.trained import TrainedModel

WIDTH = 80
_NARROW = 5  # columns of a number


def reasons(trained: TrainedModel, features: ClipFeatures) -> dict[str, str]:
    """Each modality that the model knows and this clip lacks, and why."""
    from tricord.inference.clip import missing
    from tricord.inference.recipe import reads_words

    found = {}
    for name in missing(trained, features):
        said = [n.removeprefix(f"{name}: ") for n in features.notices if n.startswith(f"{name}: ")]
        wanted = name in features.tracks or (name == "text" and reads_words(trained))
        nothing = "no words" if name == "text" else "nothing of it was found"
        found[name] = "; ".join(said) or (nothing if wanted else "not measured by the recipe")
    return found


def block(found: ClipPredictions, row: Mapping[str, Any], lacks: Mapping[str, str]) -> str:
    """One clip: its label, probabilities, votes, weights, conflict, and what it lacks."""
    from tricord.inference.confidence import standing

    predictions, features = found.predictions, found.features[0]
    lines = [_cut(f"{features.id}, {features.duration:.1f} s"), ""]
    if predictions.scheme.head == "regression":
        lines.append(f"{row['label']}, score {row['score']:.2f}")
    else:
        lines.append(f"{row['label']}  {row['p_' + row['label']]:.2f}")
        lines += standing(predictions)
    lines += ["", *_table(predictions, row, lacks)]
    if "conflict" in row:
        score = f" (score {row['conflict_score']:.2f} of 0 to 1)" if "conflict_score" in row else ""
        said = "the votes differ in class" if row["conflict"] else "no"
        lines += ["", f"conflict: {said}{score}"]
    if "set" in row:
        lines.append(f"set: {row['set'].replace('|', ', ')}")
    if row.get("abstain"):
        lines.append("abstain: too unsure for the risk asked for")
    notes = [n for n in features.notices if n.split(":")[0] not in lacks]
    if not predictions.modalities:
        notes += [f"{name}: not used ({why})" for name, why in lacks.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _table(predictions: Predictions, row: Mapping[str, Any], lacks: Mapping[str, str]) -> list[str]:
    """A line a modality and one for the consensus; classes as columns where there is room."""
    classes = predictions.scheme.classes
    names = [*predictions.modalities, "all"]
    first = max(len(name) for name in names) + 2
    label = max(len(c) for c in (*classes, "vote")) + 2
    widths = [max(_NARROW, len(c) + 1) for c in classes]
    shown: Sequence[str] = classes
    if predictions.scheme.head == "regression":
        shown, widths = (), []
    elif first + label + sum(widths) + 8 > WIDTH:  # only the class that was decided for
        shown, widths = (row["label"],), [max(_NARROW, len(row["label"]) + 1)]
    head = "".join(f"{c:>{w}}" for c, w in zip(shown, widths, strict=True))
    lines = [f"{'':{first}}{'vote':{label}}{head}{'weight':>8}"]
    for name in predictions.modalities:
        if name in lacks:
            lines.append(_cut(f"{name:{first}}missing: {lacks[name]}"))
            continue
        numbers = "".join(
            f"{row[f'p_{name}_{c}']:>{w}.2f}" for c, w in zip(shown, widths, strict=True)
        )
        lines.append(
            f"{name:{first}}{row[f'vote_{name}']:{label}}{numbers}{row[f'weight_{name}']:>8.2f}"
        )
    numbers = "".join(f"{row[f'p_{c}']:>{w}.2f}" for c, w in zip(shown, widths, strict=True))
    return [*lines, f"{'all':{first}}{row['label']:{label}}{numbers}"]


def timeline_table(found: Timeline, rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a window: when, label and its probability or score, votes, words."""
    predictions = found.predictions
    regression = predictions.scheme.head == "regression"
    names = predictions.modalities
    label = max(len(c) for c in predictions.scheme.classes)
    vote = min(label, 8) + 1
    head = f"{'from':>8}{'to':>8}  {'label':{label}}{'score' if regression else 'p':>7}  "
    head += "".join(f"{name[: vote - 1]:{vote}}" for name in names)
    lines = [head.rstrip()]
    for row in rows:
        line = f"{row['start']:8.1f}{row['end']:8.1f}  "
        if row["label"] is None:
            line += f"{'-':{label}}"
        else:
            number = row["score"] if regression else row[f"p_{row['label']}"]
            line += f"{row['label']:{label}}{number:7.2f}  "
            line += "".join(f"{(row[f'vote_{n}'] or '-')[: vote - 1]:{vote}}" for n in names)
        line += f" {row['text'] or ''}"
        lines.append(_cut(line.rstrip()))
    return "\n".join(lines)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."
