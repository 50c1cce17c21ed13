"""Figure 7: votes before MCR, its weights, and the consensus after it.

The paper draws clips of CH-SIMS and CH-SIMS v2 with consistent and with inconsistent labels. Here
the clips are chosen by a rule, and beside them stands how often MCR saved and lost a clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tricord import api
from tricord.experiments.reproduce import page
from tricord.experiments.reproduce.drawing import note_on_letters
from tricord.experiments.reproduce.figure7_cases import KINDS, RULE, Case, Decided, decide
from tricord.experiments.reproduce.figure7_drawing import draw_decided
from tricord.experiments.reproduce.plan import Row
from tricord.experiments.reproduce.work import Context, presets_of
from tricord.inference.predictor import predict
from tricord.report.words import decision_rule, grid

CAUTION = (
    "What may be concluded: what the model did with the clips shown, which were chosen among those "
    "that it decides rightly. That MCR helps does not follow from them; how many clips of D_msi "
    "it saved and lost against the text's vote, and the rows without MCR in Table V, speak to that."
)


class Figure7:
    """CMC, the seed with the best criterion on valid."""

    name = "fig7"
    title = "Figure 7: what MCR makes of the votes"
    presets = ("ch-sims", "ch-sims-v2")

    def run(self, context: Context) -> None:
        """fig7.json, fig7.md, fig7.png and fig7.svg.

        Raises ConfigError where none of its data sets is given, TricordError where a seed cannot
        be trained.
        """
        presets = presets_of(self.name, self.presets, context.datasets)
        tried = {preset: _of(context, preset) for preset in presets}
        found = [decided for decided in tried.values() if decided is not None]
        unknown = [preset for preset, decided in tried.items() if decided is None]
        above = page.marked(context, self.title)
        draw_decided(found, context.out / self.name, above)
        results = {
            "rule": RULE,
            "caution": CAUTION,
            "not_shown": unknown,
            "datasets": {decided.preset: decided.to_json() for decided in found},
        }
        page.write(context, self.name, self.title, _paragraphs(found, unknown), results)


def _of(context: Context, preset: str) -> Decided | None:
    row = Row("CMC", "cmc")
    run = api.Run("cmc", context.train([row], preset)[row.name], data=context.datasets[preset])
    best, data = run.best, run.dataset(context.datasets[preset])
    return decide(predict(best, data, "test"), data["test"], preset, data.fingerprint(), best.seed)


def _paragraphs(found: Sequence[Decided], unknown: Sequence[str]) -> Iterator[str]:
    yield (
        "CMC, of all seeds the one with the best criterion on valid. Votes and consensus as class "
        "probabilities; the dotted line is the weight that all modalities would have without MCR."
    )
    yield RULE
    yield CAUTION
    if any(decided.cases for decided in found):
        yield f"![{Figure7.title}]({Figure7.name}.svg)"
        yield note_on_letters(case.words for decided in found for case in decided.cases)
    for preset in unknown:
        yield f"{preset}: not shown, since not every clip of test has a label for each modality."
    for decided in found:
        yield f"## {decided.preset}, seed {decided.seed}"
        yield (
            f"Of {decided.inconsistent} inconsistent clips of test, {decided.saved} are wrong by "
            f"the text's vote and right by the consensus, {decided.lost} the other way round. "
            f"Right is as in the tables: {decision_rule(decided.scheme)}."
        )
        for case in decided.cases:
            yield from _case(decided, case)
        if len(decided.cases) < len(KINDS):
            yield "Where a kind of clip is missing there was none to choose from."


def _case(decided: Decided, case: Case) -> Iterator[str]:
    truth = ", ".join(f"{name} {label}" for name, label in case.truth.items())
    words = f" Words: {case.words}" if case.words else ""
    yield f"**{case.kind}**, one of {case.candidates}: `{case.id}`. True labels: {truth}.{words}"
    lines = [
        [name, *(f"{p:.3f}" if here else page.NONE for p in vote.tolist()), f"{weight:.3f}"]
        for name, vote, weight, here in zip(
            decided.modalities, case.votes, case.weights.tolist(), case.present, strict=True
        )
    ]
    after = ["consensus", *(f"{p:.3f}" for p in case.consensus.tolist()), ""]
    yield grid(["", *decided.scheme.classes, "weight"], [*lines, after])
