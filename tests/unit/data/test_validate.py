"""Labels against a scheme: what is encoded, what is refused, and how it is said."""

from __future__ import annotations

import numpy as np
import pytest

from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.validate import check_labels
from tricord.errors import DataError
from tricord.labels import nominal, sentiment
from tricord.types import Polarity

SENTIMENT = sentiment(Polarity.NON_POSITIVE, 1.0)
MOODS = nominal(("angry", "calm", "happy"))
NAN = np.nan


def table(
    name: str, scores: list[list[float]], words: tuple[str, ...] | None = None
) -> FeatureTable:
    rows = len(scores)
    frames = Ragged(np.zeros((rows, 2), np.float32), np.arange(rows + 1), 1)
    return FeatureTable(
        name=name,
        ids=tuple(f"{name}$_${i}" for i in range(rows)),
        sequences={"text": frames, "vision": frames},
        scores=np.array(scores, dtype=np.float64),
        label_names=words,
    )


def dataset(*tables: FeatureTable) -> Dataset:
    return Dataset(splits={t.name: t for t in tables}, source="a.pkl")


GOOD = [[-0.2, 0.4, NAN], [0.4, 0.2, 1.0], [NAN, 0.0, 0.0]]


def test_good_labels_stay_as_they_are() -> None:
    data = dataset(table("train", GOOD), table("test", GOOD))
    checked = check_labels(data, SENTIMENT)
    for name in data:
        np.testing.assert_array_equal(checked[name].scores, data[name].scores)


def test_words_become_class_numbers() -> None:
    unknown = [[NAN, NAN, NAN]] * 3
    data = dataset(
        table("train", unknown, ("happy", "angry", "calm")),
        table("test", unknown, ("calm", "calm", "angry")),
    )
    checked = check_labels(data, MOODS)
    assert checked["train"].scores[:, 0].tolist() == [2, 0, 1]
    assert checked["test"].scores[:, 0].tolist() == [1, 1, 0]
    assert np.isnan(data["train"].scores).all()


def test_a_label_of_test_alone_is_refused_with_what_to_do() -> None:
    unknown = [[NAN, NAN, NAN]] * 3
    words = dataset(
        table("train", unknown, ("happy", "angry", "calm")),
        table("test", unknown, ("calm", "bored", "angry")),
    )
    with pytest.raises(
        DataError, match=r"split 'test'.*'bored'.*split anew \(tricord data split\)"
    ):
        check_labels(words, MOODS)
    numbers = dataset(table("train", GOOD), table("test", [[1.5, NAN, NAN]]))
    with pytest.raises(DataError, match=r"split 'test'.*label 1\.5 found.*split anew"):
        check_labels(numbers, SENTIMENT)


@pytest.mark.parametrize(
    ("column", "key"),
    [(0, "regression_labels"), (1, "regression_labels_T"), (2, "regression_labels_V")],
)
def test_a_label_outside_the_range(column: int, key: str) -> None:
    scores = np.array(GOOD)
    scores[1, column] = 1.4
    data = dataset(table("train", GOOD), table("valid", scores.tolist()))
    with pytest.raises(DataError) as caught:
        check_labels(data, SENTIMENT)
    assert str(caught.value) == (
        f"a.pkl: split 'valid', key '{key}': label 1.4 found, expected a number from -1 to 1"
    )


def test_a_word_that_is_no_class() -> None:
    data = dataset(table("train", [[NAN] * 3] * 2, ("angry", "bored")))
    with pytest.raises(DataError, match=r"a\.pkl: split 'train', key 'annotations': .*'bored'"):
        check_labels(data, MOODS)


def test_one_class_only() -> None:
    data = dataset(table("train", [[0.2, 0, 0], [1.0, 0, 0], [NAN, 0, 0]]))
    with pytest.raises(DataError, match=r"a\.pkl: split 'train'.*every label is 'positive'"):
        check_labels(data, SENTIMENT)
    only_test = dataset(table("test", [[0.2, 0, 0]]))
    assert check_labels(only_test, SENTIMENT)["test"].scores[0, 0] == 0.2


def test_train_without_labels() -> None:
    with pytest.raises(DataError, match=r"split 'train'.*no label found"):
        check_labels(dataset(table("train", [[NAN, 0.2, 0.2]])), SENTIMENT)
    words = dataset(table("train", [[NAN] * 3] * 2, ("angry", "calm")))
    with pytest.raises(DataError, match="labels are words"):
        check_labels(words, SENTIMENT)
