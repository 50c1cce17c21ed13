"""Which classes the labels of a data set are, found on train and valid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.validate import check_labels
from tricord.errors import ConfigError, DataError, SealedSplitError
from tricord.presets import MOST_GRADES
from tricord.training.label_kinds import cut_by_hand, labels_of, listed, words_alone
from tricord.types import Polarity

NAN = float("nan")
PLACE = r"x\.pkl: split 'train', key 'regression_labels': "


def labelled(name: str, labels: Sequence[float | str]) -> FeatureTable:
    """Clips with these numbers or words and nothing of interest else."""
    plain = tiny_data.table(name, len(labels), widths={"text": 2}, longest=1)
    words = tuple(label for label in labels if isinstance(label, str))
    scores = np.full((len(labels), 2), NAN)
    if not words:
        scores[:, 0] = labels
    return FeatureTable(
        name=name,
        ids=plain.ids,
        sequences=plain.sequences,
        scores=scores,
        label_names=words or None,
    )


def data(
    train: Sequence[float | str],
    valid: Sequence[float | str] | None = None,
    test: Sequence[float | str] = (),
) -> Dataset:
    """valid: as train if not given."""
    tables = [labelled("train", train), labelled("valid", train if valid is None else valid)]
    tables += [labelled("test", test)] if test else []
    return Dataset({table.name: table for table in tables}, source="x.pkl")


# ------------------------------------------------------------------------------------------- kinds


def test_words_are_classes_in_order_of_the_alphabet_as_written() -> None:
    found = labels_of(data(["sad", "Angry", "sad", "happy"]))
    assert found.scheme.classes == ("Angry", "happy", "sad")
    assert (found.scheme.nominal, found.scheme.polarity) == (True, None)
    assert (found.kind, found.why) == ("3 words", "no order")


def test_words_that_scores_only_number_are_words() -> None:
    table = labelled("train", ["b", "a", "b"])
    numbered = FeatureTable(
        name="train",
        ids=table.ids,
        sequences=table.sequences,
        scores=np.array([[1.0, NAN], [0.0, NAN], [1.0, NAN]]),
        label_names=table.label_names,
    )
    assert words_alone(numbered) == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "low", "high", "classes"),
    [
        ((0, 1, 1), 0, 1, ("0", "1")),
        ((5, 1, 2), 1, 5, ("1", "2", "3", "4", "5")),
        ((0, 10), 0, 10, tuple(map(str, range(11)))),
        ((7, 8, NAN), 7, 8, ("7", "8")),
    ],
)
def test_whole_numbers_from_zero_up_are_grades(
    labels: tuple[float, ...], low: float, high: float, classes: tuple[str, ...]
) -> None:
    scheme = labels_of(data(labels)).scheme
    assert (scheme.low, scheme.high, scheme.classes) == (low, high, classes)
    assert (scheme.polarity, scheme.head) == (None, "classification")
    every = np.arange(low, high + 1, dtype=float)
    assert [scheme.classes[c] for c in scheme.to_class(every)] == [f"{n:g}" for n in every]


@pytest.mark.parametrize(
    ("labels", "bound", "polarity"),
    [
        ((-1, 0, 1), 1, Polarity.NON_POSITIVE),
        ((-0.2, 0, 0.4), 1, Polarity.NON_POSITIVE),
        ((-1, 0, 1.2), 3, Polarity.NON_NEGATIVE),
        ((-3, 0, 2), 3, Polarity.NON_NEGATIVE),
        ((-3.4, 0, 2), 4, Polarity.NON_NEGATIVE),
        ((-2, 0, 0), 3, Polarity.NON_NEGATIVE),
    ],
)
def test_signed_numbers_with_zeros_have_three_classes(
    labels: tuple[float, ...], bound: float, polarity: Polarity
) -> None:
    found = labels_of(data(labels))
    scheme = found.scheme
    assert (scheme.low, scheme.high, scheme.polarity) == (-bound, bound, polarity)
    assert scheme.to_class(np.array([-0.1, 0.0, 0.1])).tolist() == [0, 1, 2]
    assert ("negative" in found.why) == (polarity is Polarity.NON_POSITIVE)


def test_the_scale_is_that_of_train_and_valid() -> None:
    scheme = labels_of(data((-2.9, 0, 2), (1, -3.4))).scheme
    assert (scheme.low, scheme.high) == (-4, 4)
    assert labels_of(data((-0.4, 1), (2,))).scheme.polarity is Polarity.NON_NEGATIVE


@pytest.mark.parametrize(("scale", "zero"), [(1.0, 0), (2.5, 1)])
def test_without_zeros_there_are_two_classes_and_zero_falls_where_it_counts(
    scale: float, zero: int
) -> None:
    found = labels_of(data((-scale, scale)))
    assert found.scheme.classes == ("negative", "positive")
    assert found.scheme.to_class(np.array([-scale, 0.0, scale])).tolist() == [0, zero, 1]
    assert found.why == "no label of train is 0"


@pytest.mark.parametrize(
    "labels",
    [(0.5, 99.0, 50.0), (0, MOST_GRADES), (1, 1.5, 2), (0.0, 0.4)],
)
def test_other_numbers_are_refused_with_what_to_pass(labels: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=PLACE + "numbers from .* --set labels.high=") as told:
        labels_of(data(labels))
    assert "\n" not in str(told.value)


def test_the_refusal_names_settings_that_work() -> None:
    with pytest.raises(ConfigError) as told:
        labels_of(data((20.5, 80.25, 60, 30)))
    for part in (
        """'labels.cuts=[">=45"]'""",
        """'labels.classes=["low","high"]'""",
        "labels.low=20",
        "labels.high=81",
    ):
        assert f"--set {part}" in str(told.value)
    room = cut_by_hand(data((20.5, 80.25, 60, 30))).scheme
    assert (room.low, room.high, room.polarity) == (20, 81, None)


signed = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=30).filter(
    lambda x: min(x) < 0 and max(x) > 0
)
whole = st.lists(st.integers(0, MOST_GRADES - 1), min_size=2, max_size=30).filter(
    lambda x: len(set(x)) > 1
)
words = st.lists(st.text(min_size=1, max_size=4), min_size=2, max_size=30).filter(
    lambda x: len(set(x)) > 1
)


def classes_of(labels: Sequence[float | str]) -> list[int]:
    """As training sees them."""
    found = data(labels)
    scheme = labels_of(found).scheme
    classes = scheme.to_class(check_labels(found, scheme)["train"].scores[:, 0]).tolist()
    assert len(classes) == len(labels)
    assert all(0 <= c < scheme.num_classes for c in classes)
    return [int(c) for c in classes]


@repeatable
@given(whole | words)
def test_every_grade_and_word_is_a_class_of_its_own(labels: list[int] | list[str]) -> None:
    pairs = set(zip(classes_of(labels), labels, strict=True))
    assert len(pairs) == len({c for c, _ in pairs}) == len(set(labels))


@repeatable
@given(signed)
def test_every_signed_number_has_the_class_of_its_sign(labels: list[float]) -> None:
    classes = classes_of(labels)
    signs = np.sign(labels).astype(int).tolist()
    ranked = {sign: c for c, sign in enumerate(sorted(set(signs)))}
    assert classes == [ranked[sign] for sign in signs]


# -------------------------------------------------------------------------------- test stays closed


@pytest.mark.parametrize(
    ("labels", "strange"),
    [((-1, 0, 1), (900.0, NAN)), (("a", "b"), ("z", "")), ((1, 2, 3), (-7.5, 0.0))],
)
def test_labels_of_test_change_nothing(
    labels: tuple[float | str, ...], strange: tuple[float | str, ...]
) -> None:
    with_test = data(labels, test=strange).seal("test")
    assert labels_of(with_test) == labels_of(data(labels))
    with pytest.raises(SealedSplitError):
        with_test["test"]  # or the test above could not fail


# ----------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("calm", "calm"), "key 'annotations': every label is 'calm', expected at least two"),
        ((3, 3), "key 'regression_labels': every label is 3, expected at least two"),
        ((-1, -0.5), "every label is 'negative', expected at least two"),
        ((0, 0), "every label is 0,"),
        ((NAN, NAN), "no clip has a multimodal label"),
        ((), "no clip has a multimodal label"),
        (("", ""), "no clip has a multimodal label"),
    ],
)
def test_nothing_to_learn(labels: tuple[float | str, ...], told: str) -> None:
    with pytest.raises(DataError, match=f"x.pkl: split 'train'.*{told}"):
        labels_of(data(labels, (1, 2)))


def test_a_missing_split_is_told_with_the_command_that_helps() -> None:
    whole = data((1, 2))
    for left in ("train", "valid"):
        one = Dataset({left: whole[left]}, "x.pkl")
        with pytest.raises(DataError, match=r"not found, needed for training.*tricord data split"):
            labels_of(one)


@pytest.mark.parametrize(
    ("train", "valid", "told"),
    [
        ((1, 2, 5), (6.0,), r"label 6 found, expected a number from 1 to 5 \(from the labels of"),
        ((1, 2, 5), (2.5,), "label 2.5 found, expected whole numbers as in train"),
        ((1, 2), (NAN,), "no clip has a multimodal label"),
    ],
)
def test_valid_must_fit_train(
    train: tuple[float, ...], valid: tuple[float, ...], told: str
) -> None:
    with pytest.raises(DataError, match=f"split 'valid'.*{told}"):
        labels_of(data(train, valid))


def test_classes_that_are_rare_or_not_in_valid_are_told() -> None:
    found = labels_of(data(["a"] * 5 + ["b"] * 4, ["a"]))
    few, unseen = found.notices
    assert few == "hardly to be learned from under 5 clips of train: b (4)"
    assert unseen == "no clip in valid, so that no epoch is chosen by it: b"
    gap = labels_of(data([1] * 5 + [3] * 5)).notices
    assert [notice.rpartition(": ")[2] for notice in gap] == ["2 (0)", "2"]
    assert labels_of(data(["a", "b"] * 5)).notices == ()


def test_words_that_look_alike_are_told() -> None:
    found = labels_of(data(["Sad", "sad ", "calm"] * 5))
    assert found.notices == ("'Sad' and 'sad ' are taken as two classes",)


def test_a_long_list_is_cut() -> None:
    names = [str(n) for n in range(MOST_GRADES + 2)]
    assert listed(names).endswith(f"{MOST_GRADES - 1} and 2 more")
    assert listed(names[:2]) == "0, 1"
