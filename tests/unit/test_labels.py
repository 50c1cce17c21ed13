"""From scores and words to classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tricord.errors import ConfigError, DataError
from tricord.labels import LabelScheme, nominal, sentiment
from tricord.types import Polarity

SENTIMENT = sentiment(Polarity.NON_POSITIVE, 1.0)
SEVEN = {
    "classes": tuple(f"level {i}" for i in range(-3, 4)),
    "cuts": (">=-2.5", ">=-1.5", ">=-0.5", ">0.5", ">1.5", ">2.5"),
    "low": -3,
    "high": 3,
}


def scheme(**options: Any) -> LabelScheme:
    return LabelScheme(**{**SENTIMENT.model_dump(), **options})


def test_sentiment_is_the_sign() -> None:
    scores = np.array([[-1.0, -0.2, -0.0], [0.0, 1e-9, 1.0]])
    assert SENTIMENT.to_class(scores).tolist() == [[0, 0, 1], [1, 2, 2]]
    assert SENTIMENT.to_class(scores).dtype == np.int64
    assert SENTIMENT.num_classes == SENTIMENT.outputs == 3
    assert not SENTIMENT.nominal


def test_open_and_closed_cuts() -> None:
    classes = LabelScheme(**SEVEN).to_class(np.array([-3, -2.5, -0.5, 0, 0.5, 0.6, 2.5, 3]))
    assert classes.tolist() == [0, 1, 3, 3, 3, 4, 5, 6]


def test_unknown_scores_are_minus_one() -> None:
    assert SENTIMENT.to_class(np.array([np.nan, 0.5])).tolist() == [-1, 2]
    assert nominal(("a", "b")).to_class(np.array([np.nan, 1.0])).tolist() == [-1, 1]


@pytest.mark.parametrize("score", [1.01, -2.0, np.inf, -np.inf])
def test_a_score_outside_the_range_is_refused(score: float) -> None:
    with pytest.raises(DataError, match=f"label {score:g} found, expected a number from -1 to 1"):
        SENTIMENT.to_class(np.array([0.0, score, np.nan]))


def test_rounding_at_the_ends_is_allowed() -> None:
    ends = np.array([-1.0000001, 1.0000001])
    assert SENTIMENT.to_class(ends).tolist() == [0, 2]
    assert SENTIMENT.to_class(np.float32([-1, 1])).tolist() == [0, 2]


def test_scalars_and_empty_arrays() -> None:
    assert int(SENTIMENT.to_class(np.zeros(()))) == 1
    assert SENTIMENT.to_class(np.zeros((0, 4))).shape == (0, 4)


def test_nominal_labels() -> None:
    labels = nominal(("angry", "calm"))
    assert labels.nominal
    assert labels.polarity is None
    assert labels.outputs == 2
    assert labels.to_class(np.array([0.0, 1.0])).tolist() == [0, 1]
    assert labels.encode(("calm", "angry", "calm")).tolist() == [1, 0, 1]


def test_a_word_that_is_no_class_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"label 'bored' found, expected one of \['angry', 'calm'\]"
    ):
        nominal(("angry", "calm")).encode(("calm", "bored"))


@pytest.mark.parametrize("score", [2.0, -1.0])
def test_a_number_that_is_no_class_is_refused(score: float) -> None:
    with pytest.raises(DataError, match="expected a number from 0 to 1"):
        nominal(("angry", "calm")).to_class(np.array([score]))
    with pytest.raises(DataError, match="not a class number"):
        nominal(("angry", "calm")).to_class(np.array([0.5]))


def test_a_regression_head_has_one_output() -> None:
    regression = scheme(head="regression")
    assert regression.outputs == 1
    assert regression.num_classes == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("one",), "cuts": ()}, "at least two different names"),
        ({"classes": ("a", "b", "a")}, "at least two different names"),
        ({"cuts": (">0",)}, "2 are needed, 1 given"),
        ({"cuts": (">0", ">=0", ">1")}, "2 are needed, 3 given"),
        ({"cuts": (">=0", "<1")}, "'<1' is not of the form"),
        ({"cuts": (">=0", "> x")}, "not of the form"),
        ({"cuts": (), "high": 2, "low": 0, "head": "regression"}, "a regression head needs them"),
        ({"cuts": (), "high": 5, "low": 0}, "nominal labels are the numbers 0 to 2"),
        ({"head": "ranking"}, "head"),
        ({"extra": 1}, "extra"),
    ],
)
def test_schemes_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        scheme(**options)


def test_nominal_reports_a_settings_error() -> None:
    with pytest.raises(ConfigError, match="nominal labels: "):
        nominal(("same", "same"))


def test_a_scheme_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SENTIMENT.high = 3.0  # type: ignore[misc]
