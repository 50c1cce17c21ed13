"""Logistic regression on time means, against scikit-learn and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import tiny_data
from tricord.config import TextConfig
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import DataError, SealedSplitError
from tricord.features.text import TextSource
from tricord.inference import linear
from tricord.inference.linear import fit, linear_floor, log_loss, time_means
from tricord.labels import sentiment
from tricord.types import Polarity

SIMS = sentiment(Polarity.NON_POSITIVE, 1.0)
PLAIN = TextSource(TextConfig())


def made_up(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two of six columns tell the class; another is constant, another far from zero."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, rows)
    x = rng.standard_normal((rows, 6))
    x[:, 0] += classes
    x[:, 1] -= 2 * (classes == 1)
    x[:, 2] = 7.3
    x[:, 3] = 1000 + 50 * x[:, 3]
    return x, classes


@pytest.mark.parametrize("strength", [10.0, 0.1, 0.001])
def test_it_is_the_minimum_that_scikit_learn_finds(
    strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "STRENGTHS", (strength,))
    (x, y), (v, w) = made_up(120, 1), made_up(60, 2)
    ours = fit(x, y, v, w, 3)
    scale = np.where(x.std(axis=0) > 1e-9, x.std(axis=0), 1)
    theirs = LogisticRegression(C=1 / (len(x) * strength), tol=1e-8, max_iter=5000)
    theirs.fit((x - x.mean(axis=0)) / scale, y)
    expected = theirs.predict_proba((v - x.mean(axis=0)) / scale)
    logits = ours.logits(v)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_strength_is_the_best_on_valid() -> None:
    (x, y), (v, w) = made_up(40, 3), made_up(60, 4)
    chosen = fit(x, y, v, w, 3)
    alone = {}
    for strength in linear.STRENGTHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(linear, "STRENGTHS", (strength,))
            alone[strength] = log_loss(fit(x, y, v, w, 3).logits(v), w)
    assert chosen.strength == min(alone, key=lambda s: alone[s])
    assert linear.STRENGTHS[-1] < chosen.strength < linear.STRENGTHS[0]
    noise = np.random.default_rng(0).integers(0, 3, 60)
    assert fit(x, y, v, noise, 3).strength == linear.STRENGTHS[0]


def test_a_class_that_train_does_not_have_is_never_said() -> None:
    (x, y), (v, w) = made_up(60, 5), made_up(30, 6)
    found = fit(x[y > 0], y[y > 0], v, w, 3).logits(v)
    assert np.isfinite(found).all()
    assert (found.argmax(axis=1) > 0).all()


def clips(name: str, labels: list[float]) -> FeatureTable:
    """Text of 1 to 2 frames and width 2; every second clip has no audio, of width 1."""
    n = len(labels)
    lengths = np.arange(n) % 2 + 1
    text = Ragged(
        np.arange(2 * lengths.sum(), dtype=np.float32).reshape(-1, 2),
        np.concatenate([[0], np.cumsum(lengths)]),
        9,
    )
    heard = np.arange(n) % 2
    audio = Ragged(
        np.full((heard.sum(), 1), 5, np.float32), np.concatenate([[0], np.cumsum(heard)]), 9
    )
    scores = np.repeat(np.array(labels)[:, None], 3, axis=1)
    ids = tuple(f"{name}$_${i}" for i in range(n))
    return FeatureTable(name, ids, {"text": text, "audio": audio}, scores)


def test_means_are_over_real_frames_and_zero_where_there_is_none() -> None:
    found = time_means(clips("x", [0, 0, 0]), ("text", "audio"), "x", PLAIN)
    assert found.tolist() == [[0, 1, 0], [3, 4, 5], [6, 7, 0]]
    assert time_means(clips("x", [0, 0]), ("audio",), "x", PLAIN).tolist() == [[0], [5]]


def test_clips_without_a_label_are_left_out_of_the_fit() -> None:
    known = [0.2, -0.2, 0.4, -0.4]
    data = Dataset({s: clips(s, known) for s in ("train", "valid", "test")}, "x.pkl")
    gap = replace(data, splits={**data.splits, "train": clips("train", [*known, np.nan])})
    found = [linear_floor(d, d, "test", SIMS, PLAIN) for d in (data, gap)]
    np.testing.assert_array_equal(found[0].outputs, found[1].outputs)
    assert found[0].model.modalities == ("text", "audio")


def test_the_test_split_is_not_looked_at_to_fit_and_the_result_is_the_same_twice() -> None:
    data = tiny_data.dataset()
    sealed = data.seal("test")
    first, again = (linear_floor(sealed, data, "test", SIMS, PLAIN) for _ in range(2))
    np.testing.assert_array_equal(first.outputs, again.outputs)
    with pytest.raises(SealedSplitError):
        linear_floor(data, sealed, "test", SIMS, PLAIN)


def test_it_learns_what_is_linear() -> None:
    data = tiny_data.dataset((120, 40, 80))
    found = linear_floor(data, data, "test", SIMS, PLAIN).outputs
    positive = data["test"].scores[:, 0] > 0
    assert ((found[:, 2] > found[:, 0]) == positive).mean() > 0.7


def test_a_modality_that_only_one_side_has_is_not_used() -> None:
    data = tiny_data.dataset()
    table = data["test"]
    less = {k: v for k, v in table.sequences.items() if k != "audio"}
    fewer = Dataset({"test": replace(table, sequences=less, scores=table.scores[:, :3])}, "y.pkl")
    found = linear_floor(data, fewer, "test", SIMS, PLAIN)
    assert found.model.modalities == ("text", "vision")


class Encoder(TextSource):
    """A language model in front of the text: a clip's tokens become one frame of 4 numbers."""

    def __init__(self) -> None:
        self.encoder = mock.Mock()

    def features(self, table: FeatureTable, where: str, tick: Any = None) -> Ragged:
        rows = np.random.default_rng(len(table)).standard_normal((len(table), 4))
        return Ragged(rows.astype(np.float32), np.arange(len(table) + 1), 1)


def test_text_is_what_the_frozen_language_model_makes_of_it() -> None:
    table = clips("x", [0, 0, 0])
    found = time_means(table, ("text", "audio"), "x", Encoder())
    np.testing.assert_array_equal(found[:, :4], Encoder().features(table, "x").values)
    assert found[:, 4].tolist() == [0, 5, 0]
    bare = Ragged(np.zeros((6, 0), np.float32), np.arange(7), 1)

    def tokens_alone(name: str) -> FeatureTable:
        own = clips(name, [0.2, -0.2] * 3)
        return replace(own, sequences={**own.sequences, "text": bare})

    data = Dataset({s: tokens_alone(s) for s in ("train", "valid", "test")}, "x")
    for source, names in ((Encoder(), ("text", "audio")), (PLAIN, ("audio",))):
        found_of = linear_floor(data, data, "test", SIMS, source).model
        assert found_of.modalities == names


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0.2] * 4, "two classes in train"), ([np.nan] * 4, "two classes in train")],
)
def test_what_cannot_be_fitted_is_an_error(labels: list[float], message: str) -> None:
    data = Dataset({s: clips(s, labels) for s in ("train", "valid", "test")}, "x.pkl")
    with pytest.raises(DataError, match=message):
        linear_floor(data, data, "test", SIMS, PLAIN)
    only = Dataset({"train": data["train"], "test": data["test"]}, "x.pkl")
    with pytest.raises(DataError, match=r"x\.pkl: split 'valid' not found"):
        linear_floor(only, data, "test", SIMS, PLAIN)
