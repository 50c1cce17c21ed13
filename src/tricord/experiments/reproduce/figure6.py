"""Figure 6: how a clip's pseudo labels moved over the epochs, and which words its text hangs on.

The paper draws, from each of its four data sets, clips whose text label went from positive to
negative or back, with words that its authors marked. Here the clips are chosen by a rule, every
modality's label is drawn, and words are coloured by a number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from tricord import api
from tricord.config import RunConfig
from tricord.experiments.reproduce import page
from tricord.experiments.reproduce.cells import code_version
from tricord.experiments.reproduce.drawing import note_on_letters
from tricord.experiments.reproduce.figure6_cases import Case, Followed, gather
from tricord.experiments.reproduce.figure6_drawing import draw_followed
from tricord.experiments.reproduce.label_paths import RULE, follow
from tricord.experiments.reproduce.work import Context, presets_of
from tricord.features.text import TEXT
from tricord.inference.attribution import METHOD
from tricord.inference.recovery import HALF
from tricord.report.words import counted, grid, percent
from tricord.training.session import Session

CAUTION = (
    "What may be concluded: how labels move, in the clips shown, and how many did. A clip chosen "
    "by a rule is not typical of the others, and a label that moved need not be right: see how "
    "many are. The attribution is local and first order: it says what the output hangs on nearby, "
    "not what a person would call the reason."
)


class Figure6:
    """Stage 1 of CMC with the first seed, watched epoch by epoch."""

    name = "fig6"
    title = "Figure 6: how pseudo labels move"
    presets = ("ch-sims", "ch-sims-v2", "mosi", "mosei")

    def run(self, context: Context) -> None:
        """fig6.json, fig6.md, fig6.png and fig6.svg; the labels' paths are kept in fig6/.

        Raises ConfigError where none of its data sets is given.
        """
        presets = presets_of(self.name, self.presets, context.datasets)
        found = [_of(context, preset) for preset in presets]
        above = page.marked(context, f"{self.title}, seed {context.seeds[0]}")
        draw_followed(found, context.out / self.name, above)
        results = {
            "seed": context.seeds[0],
            "rule": RULE,
            "attribution": METHOD,
            "caution": CAUTION,
            "datasets": {followed.preset: followed.to_json() for followed in found},
        }
        page.write(context, self.name, self.title, _paragraphs(found, context.seeds[0]), results)


def _of(context: Context, preset: str) -> Followed:
    data, seed = context.datasets[preset], context.seeds[0]
    settings = context.settings_for("cmc", preset)
    # stage 1 has frozen features whether or not stage 2 trains the language model
    config = api.config_for(data, preset, "cmc", {**settings, "text.finetune": False})
    assert isinstance(config, RunConfig)
    session = Session(api.checked(data, config), config, name="cmc", seed=seed)
    path = context.out / Figure6.name / f"{preset}-{_key(session)}.safetensors"

    def say(line: str) -> None:
        context.say(f"{Figure6.name}, {preset}, seed {seed}: {line}")

    return gather(session, follow(session, TEXT, path, say), preset)


def _key(session: Session[RunConfig]) -> str:
    """What the paths depend on."""
    config = session.config.model_dump(mode="json", exclude={"finetune"})
    content = json.dumps(
        [config, session.fingerprint, session.seed, code_version()], sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _paragraphs(found: list[Followed], seed: int) -> Iterator[str]:
    yield (
        f"Stage 1 of CMC with seed {seed}: the soft label of each modality after every epoch. The "
        "dotted line is the epoch whose labels stage 2 is given."
    )
    yield RULE
    yield (
        f"Words by {METHOD}, of the text model that stage 1 hands over and the logit of the class "
        "that the label went to, as shares of the clip's largest; half of it and more is in bold."
    )
    yield CAUTION
    if any(followed.cases for followed in found):
        yield f"![{Figure6.title}]({Figure6.name}.svg)"
        yield note_on_letters(w for one in found for case in one.cases for w in case.words)
    for followed in found:
        yield f"## {followed.preset}"
        yield _counts(followed)
        for case in followed.cases:
            yield from _case(followed, case)


def _counts(found: Followed) -> str:
    moved = ", ".join(f"{name} {count}" for name, count in found.moved.items())
    text = (
        f"Labels of {counted(found.clips, 'clip')} of train that moved until epoch {found.kept} of "
        f"{found.epochs}: {moved}. Of the text's {found.down} went to a lower class, "
        f"{found.up} to a higher one."
    )
    if found.must_stay > HALF:
        return (
            f"{text} No text label could: over so few epochs its momentum keeps at least "
            f"{percent(found.must_stay)} % of a label's mass at its start."
        )
    known = found.agreement
    if not known.clips:
        return text
    return (
        f"{text} Of {counted(known.clips, 'moved text label')} whose true label is known "
        f"{known.before} were right before and {known.after} are right after."
    )


def _case(followed: Followed, case: Case) -> Iterator[str]:
    classes, choice = followed.scheme.classes, case.choice
    went = (
        f"its text label stayed {classes[choice.start]}; most mass elsewhere is at "
        f"{classes[choice.target]}"
        if choice.left is None
        else f"its text label left {classes[choice.start]} for {classes[choice.target]} in epoch "
        f"{choice.left}"
    )
    truth = ", ".join(f"{name} {label}" for name, label in case.truth.items())
    yield f"**`{case.id}`** ({choice.direction}): {went}. True labels: {truth}."
    yield grid(
        ["mass when kept", *classes],
        [
            [name, *(f"{mass:.3f}" for mass in path[followed.kept].tolist())]
            for name, path in case.paths.items()
        ],
    )
    kind = "Words" if case.named else "Frames of the text"
    yield f"{kind}: {', '.join(map(_word, case.words, case.shares.tolist()))}."


def _word(word: str, share: float) -> str:
    """Quoted, so that no letter of it is taken for a mark of the document."""
    quoted = word.replace("`", "'")
    text = f"`{quoted}` {share:.2f}"
    return f"**{text}**" if share >= HALF else text
