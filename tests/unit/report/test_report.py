"""The report: well-formed, self-contained, escaped, deterministic, right in what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tricord
from tricord.api import Run
from tricord.config import Momentum
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.evaluation.statistics import Interval
from tricord.inference.predictor import Predictions
from tricord.inference.recovery import epochs_to_move, mass_that_stays, movements
from tricord.labels import nominal
from tricord.presets import METHODS
from tricord.report import figures, write_report
from tricord.report.facts import disagreement, furthest_apart, router_weights
from tricord.report.markup import Html, markup, tag
from tricord.report.words import decision_rule
from tricord.types import Subset

NASTY = '<script>alert("1")</script> & $\\frac{$ \u202e生气'
LIMIT = {s: {"pos>neg+neutral": v} for s, v in (("D_test", 0.8), ("D_msc", 0.9), ("D_msi", 0.7))}
SIMULATION = {"bayes_limit": {"population": {"all": LIMIT}}}
WIDTHS = {"text": 5, "audio": 3, "vision": 4}
VOID = {"meta"}
TINY = {"pretrain.epochs": 2, "finetune.epochs": 2}


def split(name: str, seed: int, modalities: tuple[str, ...], clips: int = 18) -> FeatureTable:
    rng = np.random.default_rng(seed)
    scores = rng.choice([-1.0, 0.0, 0.6], size=(clips, 1 + len(modalities)))
    scores[:9] = np.repeat([[-1.0], [0.0], [0.6]], 3, axis=0)  # consistent, every class
    lengths = np.full(clips, 3)
    return FeatureTable(
        name=name,
        ids=tuple(f"{name}{i // 3}$_${i}" for i in range(clips)),
        sequences={
            m: Ragged.from_padded(
                (rng.normal(size=(clips, 3, WIDTHS[m])) + scores[:, :1, None]).astype(np.float32),
                lengths,
            )
            for m in modalities
        },
        scores=scores,
        raw_text=tuple(f"words {i}" for i in range(clips)),
    )


def dataset(modalities: tuple[str, ...] = tuple(WIDTHS), **settings: Any) -> Dataset:
    names = ("train", "valid", "test")
    return Dataset(
        {n: split(n, i, modalities) for i, n in enumerate(names)}, "some.pkl", **settings
    )


def every_split(data: Dataset, change: Any) -> Dataset:
    return replace(data, splits={n: change(t) for n, t in data.splits.items()})


def train(data: Dataset, **settings: Any) -> Run:
    return tricord.train(data, "tiny", seed=1, settings={**TINY, **settings})


def report(run: Run, path: Path, data: Dataset | None = None) -> str:
    used = run.data if data is None else data
    assert used is not None
    models = {run.name: run.trained}
    evaluation = run.evaluate("test", used)
    write_report(path, evaluation=evaluation, models=models, data=used, split="test")
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Checks nesting; gathers attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(name)
        if name not in VOID:
            self.open.append(name)
        self._attributes(attrs)

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(name)
        self._attributes(attrs)

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        assert not [n for n, _ in attrs if n.startswith("on")]
        self.links += [v or "" for n, v in attrs if n in {"src", "href", "xlink:href", "action"}]
        self.ids += [v or "" for n, v in attrs if n == "id"]

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def simulated() -> Run:
    return train(dataset(simulation=SIMULATION))


@pytest.fixture(scope="module")
def real() -> Run:
    return train(dataset())


@pytest.fixture(scope="module")
def page(simulated: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(simulated, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the drawing, most of the time that a report takes."""
    monkeypatch.setattr(figures, "_figure", lambda draw, title, height: tag("figure", title))


def test_is_well_formed_and_needs_nothing_else(page: str) -> None:
    found = Page(page)
    assert found.links
    assert all(link.startswith("#") for link in found.links)
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert not {"script", "link", "iframe", "img", "object", "base"} & found.tags
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {f"#{i}" for i in found.ids}
    assert len(page) < 1_000_000


def test_has_every_part(page: str) -> None:
    text = Page(page).text
    for part in (
        "How well it does",
        "Gap to the Bayes limit",
        "Stage 1: vision",
        "Stage 2: consensus",
        "Where pseudo labels moved",
        "D_msi minus D_msc",
        "Ten clips where the modalities disagree",
        "What may be concluded",
    ):
        assert part in text
    assert page.count('<article class="case">') == 10
    assert page.count("<figure>") == 3 + (3 + 1) + (3 + 2) + 3  # table, stages 1 and 2, weights


def test_table_shows_the_numbers_of_the_evaluation(simulated: Run, page: str) -> None:
    evaluation = simulated.evaluate("test")
    text = Page(page).text
    for row in evaluation.rows:
        for cell in filter(None, row.cells.values()):
            i = cell.interval
            ends = f"{100 * i.estimate:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]"
            assert ends in text
    assert all(note in text for note in evaluation.notes())
    cell = evaluation.row("cmc").cells[Subset.TEST]
    assert cell is not None
    i = cell.interval
    gap, low, high = (f"{80 - 100 * v:.1f}" for v in (i.estimate, i.high, i.low))
    assert f"cmc{gap} [{low}, {high}]".replace("-", "−") in text.split("Points below the limit")[1]


def test_clips_are_the_furthest_apart_with_their_outcome(simulated: Run, page: str) -> None:
    found = simulated.predict(simulated.data, "test")
    rows = furthest_apart(disagreement(found), found.ids, 10)
    cases = [Page(c + "</article>").text for c in re.findall(r"<article.*?(?=</article>)", page)]
    scores = simulated.data["test"].scores[:, 0]
    for row, case in zip(rows, cases, strict=True):
        assert case.startswith(f"{found.ids[row]}words {row}True labels: multimodal ")
        right = (found.outputs[row, 2] > found.outputs[row, 0]) == (scores[row] > 0)
        assert ("right" if right else "wrong") in case
        assert ("wrong" if right else "right") not in case
        for k in range(3):
            p = found.vote_probabilities[row, k].max()
            assert f"{p:.2f}{found.weights[row, k]:.3f}" in case


@pytest.mark.usefixtures("plain")
def test_simulated_banner_and_title_exactly_when_simulated(
    page: str, real: Run, tmp_path: Path
) -> None:
    assert page.count("SIMULATED DATA:") == 2
    assert "<title>SIMULATED DATA:" in page
    other = report(real, tmp_path / "real.html")
    assert "SIMULATED" not in other
    assert "simulated" not in other
    assert "sign oracle" in other
    assert "Bayes limit" not in other


def test_same_input_same_bytes(simulated: Run, page: str, tmp_path: Path) -> None:
    assert report(simulated, tmp_path / "again.html") == page


@pytest.mark.usefixtures("plain")
def test_hostile_ids_and_words_are_shown_as_text(real: Run, tmp_path: Path) -> None:
    assert real.data is not None

    def hostile(table: FeatureTable) -> FeatureTable:
        ids = tuple(f"{NASTY}{i // 3}$_${i}" for i in range(len(table)))
        return replace(
            table, ids=ids, raw_text=tuple(f"\ud800{NASTY}{i}" for i in range(len(table)))
        )

    data = every_split(real.data, hostile)
    data = replace(data, source=f"{NASTY}.pkl", notices=(NASTY,))
    html = report(real, tmp_path / "report.html", data)
    found = Page(html)
    assert "of other data than the model was trained on" in found.text
    assert "script" not in found.tags
    assert '<script>alert("1")' in found.text
    assert found.text.count('alert("1")') >= 2 * 10 + 1
    assert "this is not the data that the model was trained on" in found.text


@pytest.mark.usefixtures("plain")
def test_hostile_class_and_model_names(tmp_path: Path) -> None:
    scheme = nominal((NASTY, "<b>calm", "happy"))
    names = np.array(scheme.classes, dtype=object)

    def worded(table: FeatureTable) -> FeatureTable:
        classes = np.sign(table.scores[:, 0]).astype(int) + 1
        scores = np.full(table.scores.shape, np.nan)
        return replace(table, scores=scores, label_names=tuple(names[classes]))

    run = train(every_split(dataset(), worded), **{"supcon.labels": "classes"})
    run.name = NASTY
    html = report(run, tmp_path / "report.html")
    found = Page(html)
    assert not {"script", "b>calm"} & found.tags
    assert "<b>calm" in found.text
    assert "D_msi" not in found.text.split("The weights are over all clips")[0]
    assert "none are known" in found.text
    assert "the most probable class is the true one" in found.text


def test_hostile_model_name_is_drawn_as_text() -> None:
    interval = Interval(0.5, 0.4, 0.6, 0.95, "by hand", 10)
    drawn = Page(figures.forest([(NASTY, interval)], "D_test", (0.3, 0.7), frozenset({NASTY}), {}))
    assert NASTY[:20] in drawn.text
    assert "script" not in drawn.tags


@pytest.mark.usefixtures("plain")
def test_regression_head_shows_scores(tmp_path: Path) -> None:
    run = train(dataset(), **{"labels.head": "regression", "pretrain.labels": "multimodal"})
    html = report(run, tmp_path / "report.html")
    text = Page(html).text
    assert "Consensus: score " in text
    assert "the largest vote minus the smallest" in text
    assert "Jensen" not in text
    assert "No label moves." in text


@pytest.mark.usefixtures("plain")
def test_two_modalities_no_words_no_router(tmp_path: Path) -> None:
    data = every_split(dataset(("text", "audio")), lambda t: replace(t, raw_text=None))
    html = report(train(data, **{"finetune.router": "mean"}), tmp_path / "report.html")
    text = Page(html).text
    assert "There is no MCR" in text
    assert "Stage 1: audio" in text
    assert "Stage 1: vision" not in text
    assert "blockquote" not in Page(html).tags


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("epochs", "told"), [(0, "No epoch was run: kept is"), (1, "Dotted")])
def test_the_method_tricord_tells_its_scales_and_epoch_0(
    epochs: int, told: str, tmp_path: Path
) -> None:
    run = train(dataset(), **{**METHODS["tricord"], "finetune.epochs": epochs})
    text = Page(report(run, tmp_path / "report.html")).text
    assert run.best.model.evidence is not None
    assert f"{run.best.model.evidence.scale[-1, 1]:.2f}" in text.split("A scale of 0")[1]
    assert told in text.split("Stage 2: the consensus")[1]
    assert "models that were not trained on the clip" in text


@pytest.mark.usefixtures("plain")
def test_unimodal_labels_unknown_and_few_clips(real: Run, tmp_path: Path) -> None:
    assert real.data is not None

    def only_multimodal(table: FeatureTable) -> FeatureTable:
        scores = table.scores.copy()
        scores[:, 1:] = np.nan
        kept = replace(table, scores=scores)
        return kept.take(np.arange(4)) if table.name == "test" else kept

    run = train(every_split(real.data, only_multimodal))
    text = Page(report(run, tmp_path / "report.html")).text
    assert "4 clips where the modalities disagree" in text
    assert "the modalities' own labels are not known" in text
    assert (
        "D_msc"
        not in text.split("How the modalities are weighed")[1].split("The weights are over")[0]
    )


@pytest.mark.usefixtures("plain")
def test_absent_modality_is_said_and_casts_no_vote(real: Run, tmp_path: Path) -> None:
    assert real.data is not None

    def without_audio(table: FeatureTable) -> FeatureTable:
        audio = Ragged.from_padded(
            np.zeros((len(table), 3, WIDTHS["audio"]), np.float32), np.zeros(len(table), int)
        )
        return replace(table, sequences={**table.sequences, "audio": audio})

    text = Page(report(real, tmp_path / "r.html", every_split(real.data, without_audio))).text
    assert text.split("Ten clips")[1].count("absent") == 10


@pytest.mark.usefixtures("plain")
def test_several_seeds_and_models(tmp_path: Path) -> None:
    data = dataset()
    run = tricord.train(data, "tiny", seed=[3, 4], settings=TINY)
    other = tricord.train(data, "tiny", "cmc-variant", seed=[3, 4], pretrained=run, settings=TINY)
    models: Mapping[str, Any] = {"cmc": run.trained, "cmc-variant": other.trained}
    evaluation = tricord.evaluation.table.evaluate(models, data)
    path = tmp_path / "report.html"
    write_report(path, evaluation=evaluation, models=models, data=data, split="test")
    text = Page(path.read_text(encoding="utf-8")).text
    assert "cmc (2 seeds), cmc-variant (2 seeds)" in text
    assert "cmc, seed 3, the first" in text
    assert "standard deviation over seeds" in text


# Numbers


def test_label_that_cannot_move_is_said_with_its_reason(real: Run, page: str) -> None:
    text = Page(page).text
    # 0.99, then 1 - 0.01 / sqrt(2): 0.98299... after the two epochs; rounded down
    assert "audio: no label moved, and none can: over 2 epochs" in text
    assert "keeps at least 98.2 %" in text


def test_mass_that_stays_by_hand() -> None:
    momentum = Momentum(initial=0.8, decay=1.0)
    assert mass_that_stays(momentum, 0, "closed") == 1.0
    assert mass_that_stays(momentum, 3, "closed") == pytest.approx(0.8 * 0.9 * (1 - 0.2 / 3))
    assert mass_that_stays(momentum, 3, "recursive") == pytest.approx(0.8 * 0.9 * (1 - 0.2 / 6))


def test_epochs_to_move_is_the_first_below_one_half() -> None:
    momentum = Momentum(initial=0.8, decay=0.5)
    epochs = epochs_to_move(momentum, "closed")
    assert epochs is not None
    assert mass_that_stays(momentum, epochs, "closed") < 0.5
    assert mass_that_stays(momentum, epochs - 1, "closed") >= 0.5
    assert epochs_to_move(momentum, "recursive") is None
    assert epochs_to_move(Momentum(initial=1.0, decay=0.0), "closed") is None


@pytest.fixture
def moved(real: Run) -> Run:
    """With the labels of audio all at the truth."""
    trained = real.trained[0]
    own = trained.config.labels.to_class(real.dataset()["train"].scores[:, 2])
    labels = trained.pretrained.labels.clone()
    labels[:, 1] = 0.0
    labels[np.arange(len(own)), 1, own] = 1.0
    history = {
        **trained.history,
        "pretrain": [{**row, "moved_audio": 1.0} for row in trained.history["pretrain"]],
    }
    pretrained = replace(trained.pretrained, labels=labels)
    return replace(real, trained=[replace(trained, pretrained=pretrained, history=history)])


def test_movements_count_what_left_and_whether_it_went_to_the_truth(moved: Run) -> None:
    train_split, scheme = moved.dataset()["train"], moved.trained[0].config.labels
    start, _, own, _ = scheme.to_class(train_split.scores).T
    text, found, _ = movements(moved.trained[0], moved.dataset())
    assert (text.moved, text.least > 0.5) == (0, True)
    assert (found.modality, found.clips, found.moved) == ("audio", 18, int((own != start).sum()))
    assert found.moves.sum(axis=1).tolist() == np.bincount(start, minlength=3).tolist()
    assert found.moves.sum(axis=0).tolist() == np.bincount(own, minlength=3).tolist()
    agreement = found.agreement["all"]
    assert agreement.after == 1.0
    assert agreement.before == pytest.approx((own == start).mean())
    assert found.agreement["D_msi"].clips < agreement.clips
    assert found.agreement["D_msi"].before < agreement.before


@pytest.mark.usefixtures("plain")
def test_labels_that_moved_are_shown(moved: Run, tmp_path: Path) -> None:
    found = movements(moved.trained[0], moved.dataset())[1]
    text = Page(report(moved, tmp_path / "report.html")).text
    assert f"audio: {found.moved} of 18 labels moved ({found.moved / 0.18:.1f} %)." in text
    assert "Labels moved" in text
    assert f"audioall (18){found.moved}{100 * found.agreement['all'].before:.1f}100.0" in text


def predictions(votes: Any, weights: Any = None, present: Any = None) -> Predictions:
    votes = np.asarray(votes, float)
    n, k, _ = votes.shape
    return Predictions(
        ids=tuple(f"v{i}$_$0" for i in range(n)),
        modalities=("text", "audio", "vision")[:k],
        scheme=tricord.presets.tiny().labels,
        outputs=votes.mean(axis=1),
        votes=votes,
        weights=np.full((n, k), 1 / k) if weights is None else np.asarray(weights, float),
        present=np.ones((n, k), bool) if present is None else np.asarray(present),
    )


def test_disagreement_is_the_conflict_score() -> None:
    sure = 800.0
    votes = [
        [[0, 0, 0], [0, 0, 0]],
        [[sure, 0, 0], [0, sure, 0]],
        [[np.log(3), 0, -sure], [0, np.log(3), -sure]],
    ]
    # third: (3/4, 1/4) and (1/4, 3/4) mix to (1/2, 1/2); H(1/4) = 0.811278 bits
    assert disagreement(predictions(votes)) == pytest.approx([0.0, 1.0, 1 - 0.8112781245])
    alone = predictions(votes, present=[[True, False]] * 3)
    assert disagreement(alone) == pytest.approx([0.0, 0.0, 0.0])


def test_furthest_apart_breaks_ties_by_id() -> None:
    rows = furthest_apart(np.array([0.5, 0.9, 0.5, 0.1]), ["c", "d", "b", "a"], 3)
    assert rows.tolist() == [1, 2, 0]


def test_weight_difference_is_that_of_the_means_of_clips_present() -> None:
    text = np.array([0.2, 0.3, 0.6, 0.7, 0.0, 0.8])
    here = np.array([True, True, True, True, False, True])
    msi = np.array([False, False, True, True, True, True])
    found = predictions(
        np.zeros((6, 2, 3)),
        weights=np.stack([text, 1 - text], axis=1),
        present=np.stack([here, np.ones(6, bool)], axis=1),
    )
    videos = np.array(["a", "b", "a", "b", "c", "c"])
    first, second = router_weights(found, {Subset.MSC: ~msi, Subset.MSI: msi}, videos)
    assert first.difference is not None
    assert first.difference.estimate == pytest.approx(0.7 - 0.25)
    assert first.difference.low < 0.45 < first.difference.high
    assert first.groups[Subset.MSI].tolist() == [0.6, 0.7, 0.8]
    assert second.difference is not None
    assert second.difference.estimate == pytest.approx((0.4 + 0.3 + 1.0 + 0.2) / 4 - 0.75)
    assert router_weights(found, {Subset.TEST: msi | ~msi}, videos)[0].difference is None


def test_weight_interval_covers_at_its_level() -> None:
    rng = np.random.default_rng(0)
    msi = np.tile([True, False, False, True], 60)
    videos = np.repeat(np.arange(60).astype(str), 4)
    hits, widths = 0, []
    for _ in range(100):
        speaker = np.repeat(rng.normal(size=60), 4)  # cancels: both groups meet each speaker
        weights = 0.1 * msi + 0.05 * (3 * speaker + rng.normal(size=240))
        found = predictions(np.zeros((240, 1, 3)), weights=weights[:, None])
        subsets = {Subset.MSC: ~msi, Subset.MSI: msi}
        difference = router_weights(found, subsets, videos)[0].difference
        assert difference is not None
        hits += difference.low <= 0.1 <= difference.high
        widths.append(difference.high - difference.low)
    assert 88 <= hits <= 100
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 0.05 * np.sqrt(2 / 120), rel=0.1)


def test_markup_escapes_all_but_markup() -> None:
    assert tag("p", "<b>", Html("<i></i>"), class_='"') == '<p class="&quot;">&lt;b&gt;<i></i></p>'
    assert markup(3) == "3"


def test_what_counts_as_right_is_said_as_it_is_decided() -> None:
    labels = tricord.presets.ch_sims().labels
    assert decision_rule(labels).endswith("by whether 'positive' beats 'negative'")
    sides = tricord.presets.ch_sims(method="tricord").labels
    assert decision_rule(sides).endswith("by which side is likelier, all its classes together")
