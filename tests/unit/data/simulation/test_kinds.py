"""Kinds of simulated data: what differs, that their limit is exact, that nothing beats it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from conftest import ROOT
from tricord.data.schema import FeatureTable, Ragged
from tricord.data.simulation import kinds
from tricord.data.simulation.limits import limits
from tricord.data.simulation.model import (
    MEANS,
    GenerativeModel,
    Statistics,
    ch_sims_joint,
    draw_classes,
    rebalance,
)
from tricord.data.simulation.sequences import CHANNELS, clip_statistics, frame_rows
from tricord.data.simulation.simulate import simulate
from tricord.data.simulation.speakers import SPEAKER_SHARE, TEXT_SPEAKER_SD, Shift
from tricord.types import MODALITIES

KINDS = list(kinds.KINDS)
RULE = "pos>neg+neutral"
LABELS = ("regression_labels", *(f"regression_labels_{k}" for k in "TAV"))


@cache
def simulated(kind: str, length_scale: float = 0.05) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """(splits, record, the statistics drawn for all clips)."""
    kept: list[Statistics] = []
    draw = GenerativeModel.draw_statistics

    def keep(self: GenerativeModel, *args: Any) -> Statistics:
        kept.append(draw(self, *args))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GenerativeModel, "draw_statistics", keep)
        patch.setattr("tricord.data.simulation.simulate.DRAWS", 30_000)  # for speed
        splits, config = simulate(kind=kind, scale=0.2, length_scale=length_scale, seed=3)
    record: Any = config["simulation"]
    return splits, record, kept[0]


def table(split: dict[str, Any]) -> FeatureTable:
    lengths = split["text_bert"][:, 1].sum(axis=1)
    frames = {k: Ragged.from_padded(split[k], split[f"{k}_lengths"]) for k in MODALITIES[1:]}
    return FeatureTable(
        name="any",
        ids=tuple(split["id"]),
        sequences=frames,
        scores=np.stack([split[k] for k in LABELS], axis=1),
        tokens=Ragged.from_padded(split["text_bert"][:, 0], lengths),
    )


def classes_of(split: dict[str, Any]) -> np.ndarray:
    return (np.sign(table(split).scores) + 1).astype(np.int64)


def model(kind: str) -> GenerativeModel:
    chosen = kinds.get(kind)
    joint = ch_sims_joint() if chosen.shares is None else rebalance(ch_sims_joint(), chosen.shares)
    return GenerativeModel.from_preset("ch-sims", joint, chosen.useless, chosen.shift)


# ----------------------------------------------------------------------------- of every kind


@pytest.mark.parametrize(
    ("kind", "length_scale"), [*((k, 0.05) for k in KINDS), ("bursts", 0.3), ("white", 0.3)]
)
def test_sequences_give_back_the_latent_statistics(kind: str, length_scale: float) -> None:
    splits, record, drawn = simulated(kind, length_scale)
    assert record["kind"] == kind
    style = kinds.get(kind).style
    found = [clip_statistics(table(split), style) for split in splits.values()]
    for name in MODALITIES:
        recovered = np.concatenate([getattr(f, name) for f in found])
        np.testing.assert_allclose(recovered, getattr(drawn, name), atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_limit_of_the_file_is_that_of_its_sequences(kind: str) -> None:
    splits, record, _ = simulated(kind)
    test = splits["test"]
    again = GenerativeModel.from_record(record["model"])
    statistics = clip_statistics(table(test), kinds.get(kind).style)
    found = limits(again, statistics, classes_of(test), shifted=True)
    assert found == record["bayes_limit"]["test"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_reader_of_the_statistics_comes_near_the_limit_and_not_above(kind: str) -> None:
    rng = np.random.default_rng(5)
    drawn = model(kind)

    def draw(clips: int, *, shifted: bool) -> tuple[Statistics, np.ndarray]:
        classes = draw_classes(drawn.joint, clips, rng)
        flags = np.full(clips, shifted)
        words = rng.integers(1, 13, clips)
        return drawn.draw_statistics(classes, np.arange(clips), words, rng, flags), classes

    def columns(s: Statistics) -> np.ndarray:
        weight = drawn.text_weights[s.text.sum(axis=1) - 1]
        return np.hstack([s.text * weight[:, None], s.audio, s.vision])

    train, classes = draw(6_000, shifted=False)
    test, truth = draw(20_000, shifted=True)
    scaler = StandardScaler().fit(columns(train))
    reader = LogisticRegression(max_iter=200).fit(
        scaler.transform(columns(train)), classes[:, 0] == 2
    )
    reached = reader.score(scaler.transform(columns(test)), truth[:, 0] == 2)
    # the reader knows train alone
    limit = limits(drawn, test, truth, shifted=False)["all"]["D_test"][RULE]
    best = limits(drawn, test, truth, shifted=True)["all"]["D_test"][RULE]
    assert limit is not None
    assert best is not None
    assert limit - 0.025 < reached < best + 0.005


# --------------------------------------------------------------------------------- one by one


def test_a_record_without_a_kind_or_its_settings_is_smooth() -> None:
    record = model("smooth").record()
    assert set(record) == {"joint", "text_weights", "noise"}
    found = GenerativeModel.from_record(record)
    assert (found.useless, found.shift) == ((), Shift())


def test_kinds_change_nothing_but_what_they_name() -> None:
    labels = {kind: simulated(kind)[0]["train"]["regression_labels"] for kind in KINDS}
    same = [kind for kind in KINDS if (labels[kind] == labels["smooth"]).all()]
    assert same == [kind for kind in KINDS if kind != "balance"]
    plain, white = simulated("smooth")[0]["train"], simulated("white")[0]["train"]
    np.testing.assert_array_equal(plain["text"], white["text"])


def test_white_noise_has_no_memory_and_there_is_more_of_it() -> None:
    level, lengths = np.zeros((40, 6)), np.full(40, 200)
    memory, size = {}, {}
    for kind in ("smooth", "white"):
        rng = np.random.default_rng(0)
        channel, style = CHANNELS["audio"], kinds.get(kind).style
        frames = frame_rows("audio", level, lengths, channel, style, rng)[:, :200]
        frames = frames - frames.mean(axis=(0, 1))
        memory[kind] = (frames[:, 1:] * frames[:, :-1]).mean() / (frames**2).mean()
        size[kind] = frames.std()
    assert memory["smooth"] > 0.4
    assert abs(memory["white"]) < 0.02
    assert size["white"] > 2 * size["smooth"]


def test_only_one_run_of_frames_depends_on_the_evidence() -> None:
    clips, style = 300, kinds.get("bursts").style
    lengths = np.full(clips, 60)
    level = np.zeros((clips, 6))
    level[:, :2] = 1.0
    drawn = [
        frame_rows("audio", x, lengths, CHANNELS["audio"], style, np.random.default_rng(1))[:, :60]
        for x in (level, 2 * level)
    ]
    differ = (np.abs(drawn[0] - drawn[1]) > 1e-3).any(axis=2)
    assert (differ.sum(axis=1) == 10).all()
    assert (np.diff(differ.astype(int), axis=1, prepend=0, append=0) == 1).sum() == clips
    assert len(np.unique(differ.argmax(axis=1))) > 40  # of 51 possible places


def test_the_time_mean_of_a_burst_is_mostly_noise() -> None:
    splits, _, drawn = simulated("bursts", 0.3)
    means = np.concatenate([clip_statistics(table(split)).audio for split in splits.values()])
    assert np.corrcoef(means[:, 0], drawn.audio[:, 0])[0, 1] < 0.75


def test_evidence_words_stand_in_one_run() -> None:
    ids = simulated("bursts", 0.3)[0]["train"]["text_bert"][:, 0]
    evident = ((ids >= 1000) & (ids < 4000)).astype(int)
    assert ((np.diff(evident, axis=1) == 1).sum(axis=1) == 1).all()
    spread = simulated("smooth", 0.3)[0]["train"]["text_bert"][:, 0]
    evident = ((spread >= 1000) & (spread < 4000)).astype(int)
    assert (np.diff(evident, axis=1) == 1).sum(axis=1).max() > 1


def test_another_class_balance_keeps_what_modalities_show() -> None:
    joint, found = ch_sims_joint(), model("balance").joint
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), [0.2, 0.1, 0.7])
    for m in range(3):
        np.testing.assert_allclose(found[m] / found[m].sum(), joint[m] / joint[m].sum())
    positive = [simulated(k)[0]["train"]["classification_labels"] == 2 for k in KINDS]
    shares = {k: p.mean() for k, p in zip(KINDS, positive, strict=True)}
    assert shares["balance"] > 0.6 > 0.4 > shares["smooth"]


def test_useless_vision_looks_alive_and_says_nothing() -> None:
    classes = draw_classes(ch_sims_joint(), 40_000, np.random.default_rng(0))
    drawn = {
        kind: model(kind).draw_statistics(
            classes, np.arange(40_000), np.full(40_000, 6), np.random.default_rng(1)
        )
        for kind in ("smooth", "useless")
    }
    spread = {kind: np.cov(s.vision.T) for kind, s in drawn.items()}
    np.testing.assert_allclose(spread["useless"], spread["smooth"], atol=0.05)
    with_own = [np.corrcoef(s.vision[:, 0], classes[:, 3])[0, 1] for s in drawn.values()]
    with_own_audio = np.corrcoef(drawn["useless"].audio[:, 0], classes[:, 2])[0, 1]
    assert with_own[0] > 0.3
    assert with_own_audio > 0.3
    assert abs(with_own[1]) < 0.02
    oracle = simulated("useless")[1]["bayes_limit"]["population"]["vision"]["D_test"][RULE]
    assert oracle == pytest.approx(1 - ch_sims_joint()[2].sum(), abs=0.01)


def test_nothing_can_be_gained_on_a_useless_modality() -> None:
    drawn, statistics = model("useless"), simulated("useless")[2]
    likelihoods = drawn.likelihoods(statistics)
    with_vision = drawn.posterior(likelihoods)
    without = drawn.posterior(likelihoods, ("text", "audio"))
    np.testing.assert_allclose(with_vision, without)


def test_speakers_of_test_alone_are_shifted() -> None:
    classes = np.ones((40_000, 4), dtype=np.int64)
    videos, flags = np.arange(40_000) // 2, np.arange(40_000) < 20_000
    words, rng = np.full(40_000, 8), np.random.default_rng(2)
    drawn = model("shift")
    found = drawn.draw_statistics(classes, videos, words, rng, flags)
    noise = drawn.noise["audio"]
    moved, same = ((found.audio[rows] - MEANS[1]) / noise for rows in (flags, ~flags))
    np.testing.assert_allclose(moved.mean(axis=0), np.sqrt(SPEAKER_SHARE), atol=0.04)
    np.testing.assert_allclose(same.mean(axis=0), 0.0, atol=0.04)
    assert moved.var(axis=0) == pytest.approx(1 + SPEAKER_SHARE * 1.25, abs=0.04)
    assert same.var(axis=0) == pytest.approx(1, abs=0.03)
    tilt = found.text[:, 2] - found.text[:, 0]
    assert tilt[flags].mean() > 0.1 + tilt[~flags].mean()


def test_likelihoods_of_shifted_speakers_are_exact() -> None:
    drawn = model("shift")
    clip = Statistics(
        text=np.array([[1, 0, 3]]), audio=np.array([[0.3, -0.2]]), vision=np.array([[-1.0, 2.0]])
    )
    found = drawn.likelihoods(clip, shifted=True)
    for name in ("audio", "vision"):
        s = drawn.noise[name]
        variance = s**2 * (1 - SPEAKER_SHARE + SPEAKER_SHARE * 1.5**2)
        density = [
            multivariate_normal(m + s * np.sqrt(SPEAKER_SHARE), variance).pdf(
                getattr(clip, name)[0]
            )
            for m in MEANS
        ]
        np.testing.assert_allclose(found[name][0] / found[name].sum(), density / np.sum(density))
    weight, counts = drawn.text_weights[3], clip.text[0]

    def words(offset: float, own: int) -> float:
        tilt = TEXT_SPEAKER_SD * (1 + 1.5 * offset) * np.array([-1, 0, 1])
        scores = np.exp(weight * ((np.arange(3) == own) + tilt))
        return float(np.prod((scores / scores.sum()) ** counts)) * float(norm.pdf(offset))

    expected = [quad(words, -9, 9, args=(own,), epsabs=1e-13)[0] for own in range(3)]
    np.testing.assert_allclose(found["text"][0], expected, rtol=1e-6)


def test_the_limit_that_knows_the_shift_is_above_the_one_that_does_not() -> None:
    record = simulated("shift")[1]
    knows, not_knows = (record[k]["population"]["all"] for k in ("bayes_limit", "unaware_limit"))
    assert knows["D_test"][RULE] > not_knows["D_test"][RULE] + 0.01
    assert "unaware_limit" not in simulated("smooth")[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_limits_in_the_documents_are_those_of_the_code(kind: str) -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    record = simulate(kind=kind, scale=0.02, length_scale=0.2)[1]["simulation"]
    for key, name in (("bayes_limit", f"`{kind}`"), ("unaware_limit", f"`{kind}`, unaware")):
        if key in record:
            found = record[key]["population"]
            shares = [found["all"][s][RULE] for s in ("D_test", "D_msc", "D_msi")]
            shares += [found[k]["D_test"][RULE] for k in MODALITIES]
            assert f"| {name} | {' | '.join(f'{100 * x:.1f}' for x in shares)} |" in text
