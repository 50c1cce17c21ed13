from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from tricord.evaluation import metrics as m
from tricord.labels import LabelScheme, nominal, sentiment
from tricord.types import Polarity

SIMS = sentiment(Polarity.NON_POSITIVE, 1)
MOSI = sentiment(Polarity.NON_NEGATIVE, 3)
MOODS = nominal(("angry", "calm", "happy", "sad"))


def regression(scheme: LabelScheme) -> LabelScheme:
    return scheme.model_copy(update={"head": "regression"})


def pairs(top: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(0, top), st.integers(0, top)), min_size=1, max_size=30)


def test_two_way_metrics_by_hand() -> None:
    truth = [True, True, True, False, False]
    predicted = [True, False, True, True, False]
    assert m.counts(truth, predicted) == m.Counts(tp=2, tn=1, fp=1, fn=1)
    assert m.acc2(truth, predicted) == 3 / 5
    assert m.f1(truth, predicted) == pytest.approx(2 / (3 / 2 + 3 / 2))  # P = R = 2/3
    assert m.weighted_f1(truth, predicted, 2) == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)
    assert m.macro_f1(truth, predicted, 2) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_confusion_has_truth_in_rows() -> None:
    assert m.confusion([0, 0, 2], [1, 0, 2], 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@given(pairs(3))
def test_f1_agrees_with_scikit_learn(clips: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(clips).T
    for ours, average in ((m.weighted_f1, "weighted"), (m.macro_f1, "macro")):
        theirs = f1_score(truth, predicted, labels=range(4), average=average, zero_division=0)
        assert ours(truth, predicted, 4) == pytest.approx(theirs)
    theirs = f1_score(truth > 1, predicted > 1, zero_division=0)
    assert m.f1(truth > 1, predicted > 1) == pytest.approx(theirs)


def test_empty_classes_and_subsets_are_zero_not_nan() -> None:
    assert m.f1([False, False], [False, False]) == 0
    assert m.weighted_f1([1, 1], [0, 0], 3) == 0
    assert m.acc2([], []) == m.accuracy([], []) == m.weighted_f1([], [], 2) == 0
    for scheme in (SIMS, MOSI, MOODS):
        found = m.classification_metrics(np.zeros((0, scheme.num_classes)), [], scheme)
        assert set(found.values()) == {0.0}
    assert set(m.regression_metrics([], [], regression(SIMS)).values()) == {0.0}


def test_two_way_ignores_neutral_and_ties_are_negative() -> None:
    logits = np.array([[0, 9, 1], [1, 9, 0], [2, 9, 2], [-np.inf, 0, -np.inf]])
    assert m.two_way(logits).tolist() == [True, False, False, False]


def test_polarity_decides_the_side_of_zero() -> None:
    labels = np.array([0, 1, 2])
    assert m.truth_two_way(labels, Polarity.NON_POSITIVE).tolist() == [False, False, True]
    assert m.truth_two_way(labels, Polarity.NON_NEGATIVE).tolist() == [False, True, True]


def test_classification_metrics_by_hand() -> None:
    logits = np.array([[3, 0, 0], [0, 3, 1], [0, 0, 3], [0, 1, 3], [3, 0, 0]])
    labels = np.array([0, 1, 2, 0, 2])  # two-way predictions: - + + + -
    common = {"accuracy": 3 / 5, "acc2_non0": 2 / 4, "f1_non0": 1 / 2}
    found = m.classification_metrics(logits, labels, SIMS)
    assert found == pytest.approx(
        common
        | {
            "acc2": 2 / 5,  # neutral is negative and predicted positive
            "f1": 2 / 5,  # negative: 2/5 of support 3; positive: 2/5 of support 2
            "f1_positive": 2 / 5,
            "f1_weighted": (2 * 1 / 2 + 1 * 1 + 2 * 1 / 2) / 5,
            "macro_f1": 2 / 3,
        }
    )
    found = m.classification_metrics(logits, labels, MOSI)
    assert found["acc2"] == 3 / 5  # neutral is positive
    assert found["f1_positive"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx((2 * 1 / 2 + 3 * 2 / 3) / 5)
    assert {k: found[k] for k in common} == pytest.approx(common)


def test_non0_drops_neutral_and_matches_positives() -> None:
    logits = np.array([[0, 0, 5], [5, 0, 0], [0, 0, 5]])
    found = m.classification_metrics(logits, np.array([2, 0, 1]), SIMS)
    assert found["acc2_non0"] == found["f1_non0"] == 1  # codes 2 and 0 both count


def test_two_classes_with_a_sign_have_no_zero_class() -> None:
    scheme = LabelScheme(
        classes=("no", "yes"), cuts=(">0",), low=-1, high=1, polarity=Polarity.NON_POSITIVE
    )
    found = m.classification_metrics(np.array([[0, 1], [1, 0]]), np.array([1, 1]), scheme)
    assert found["acc2"] == found["accuracy"] == 1 / 2
    assert "acc2_non0" not in found


def test_nominal_labels_report_accuracy_and_f1() -> None:
    found = m.classification_metrics(np.eye(4), np.array([0, 1, 2, 2]), MOODS)
    assert found == pytest.approx(
        {"accuracy": 3 / 4, "f1_weighted": (1 + 1 + 2 * 2 / 3) / 4, "macro_f1": 8 / 3 / 4}
    )


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((2, 3)), [0, -1]),
        (np.zeros((2, 3)), [0, 3]),
        (np.zeros((2, 2)), [0, 1]),
        (np.zeros((2, 3)), [[0], [1]]),
        (np.full((2, 3), np.nan), [0, 1]),
    ],
)
def test_bad_classification_input_is_refused(logits: np.ndarray, labels: list[int]) -> None:
    with pytest.raises(ValueError, match="found"):
        m.classification_metrics(logits, labels, SIMS)
    with pytest.raises(ValueError, match="found"):
        m.correct(logits, labels, SIMS)


def test_cmu_regression_rounds_half_to_even() -> None:
    truth = [0, 2, 2, 3, -3, -1]
    predicted = [0.5, 1.5, 2.5, 9, -2.4, -0.5]  # rounded: 0 2 2 3 -2 -0
    found = m.regression_metrics(predicted, truth, regression(MOSI))
    assert found["acc7"] == pytest.approx(4 / 6)
    assert found["acc5"] == pytest.approx(5 / 6)  # both sides of -3 and of 9 clip to 2
    assert found["mae"] == pytest.approx((0.5 + 0.5 + 0.5 + 6 + 0.6 + 0.5) / 6)  # unclipped
    assert found["corr"] == pytest.approx(np.corrcoef(truth, predicted)[0, 1], abs=1e-6)


def test_cmu_regression_zero_rules() -> None:
    truth, predicted = [0, 0, 1, 1, -1], [0, -1, 0, 1, -1]
    found = m.regression_metrics(predicted, truth, regression(MOSI))
    assert found["acc2"] == pytest.approx(4 / 5)  # zero is non-negative on both sides
    assert found["acc2_non0"] == pytest.approx(2 / 3)  # a predicted zero is negative
    assert found["f1"] == pytest.approx(
        f1_score([1, 1, 1, 1, 0], [1, 0, 1, 1, 0], average="weighted")
    )
    assert found["f1_non0"] == pytest.approx(f1_score([1, 1, 0], [0, 1, 0], average="weighted"))


def test_sims_regression_bins_are_right_closed_in_float32() -> None:
    truth = [0.0, 0.2, 1.0, -0.8, -0.2]
    predicted = np.array([0.1, 0.0, 5.0, -0.7, -0.1])
    found = m.regression_metrics(predicted, truth, regression(SIMS))
    assert found["acc2"] == pytest.approx(3 / 5)  # zero is not positive; 0.1 for 0.0 is wrong
    assert found["acc3"] == pytest.approx(4 / 5)  # 0.1 is neutral, -0.1 negative
    assert found["acc5"] == pytest.approx(4 / 5)  # -0.7 is in the lowest bin, -0.1 in the next
    assert found["mae"] == pytest.approx((0.1 + 0.2 + 0 + 0.1 + 0.1) / 5)  # clipped
    assert found["f1"] == pytest.approx(
        f1_score([0, 1, 1, 0, 0], [1, 0, 1, 0, 0], average="weighted")
    )


def test_regression_without_polarity_reports_error_and_correlation() -> None:
    scheme = regression(MOODS)
    found = m.metrics(np.array([[1.0], [2.0]]), [0, 0], [1.0, 3.0], scheme)
    assert found == pytest.approx({"mae": 0.5, "corr": 1.0})
    with pytest.raises(ValueError, match="no right or wrong"):
        m.correct(np.zeros((2, 1)), [0, 0], scheme)


def test_unknown_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        m.regression_metrics([0.0, 0.0], [0.0, np.nan], regression(SIMS))


def test_correlation_of_constants_is_zero() -> None:
    assert m.correlation([0.1] * 3, [1, 2, 3]) == m.correlation([1, 2], [5, 5]) == 0
    assert m.correlation([0, 1e-200], [0, 1e200]) == pytest.approx(1)


finite = st.floats(-1e6, 1e6, width=32)


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, (n, 3), elements=finite),
            arrays(np.int64, n, elements=st.integers(0, 2)),
        )
    )
)
def test_correct_is_the_main_metric_clip_by_clip(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    for scheme in (SIMS, MOSI, nominal(("a", "b", "c"))):
        found = m.metrics(logits, labels, labels, scheme)
        assert m.correct(logits, labels, scheme).mean() == pytest.approx(found[m.primary(scheme)])
        assert all(0 <= value <= 1 for value in found.values())


@given(
    arrays(np.float32, (10, 1), elements=finite), arrays(np.float64, 10, elements=st.floats(-1, 1))
)
def test_correct_of_a_regression_head_is_its_two_way_accuracy(
    predicted: np.ndarray, scores: np.ndarray
) -> None:
    scores = scores.astype(np.float32).round(1)
    for scheme in (regression(SIMS), regression(MOSI)):
        labels = scheme.to_class(scores)
        found = m.metrics(predicted, labels, scores, scheme)
        assert np.isfinite(list(found.values())).all()
        assert m.correct(predicted, labels, scheme).mean() == pytest.approx(found["acc2"])


def test_main_metric_of_each_scheme() -> None:
    assert [m.primary(s) for s in (SIMS, MOODS, regression(MOSI))] == ["acc2", "accuracy", "mae"]
    assert m.higher_is_better("acc2")
    assert not m.higher_is_better("mae")


@pytest.mark.parametrize(
    ("polarity", "expected"),
    [(Polarity.NON_POSITIVE, [False, True, False]), (Polarity.NON_NEGATIVE, [True, True, False])],
)
def test_sides_sum_their_classes(polarity: Polarity, expected: list[bool]) -> None:
    logits = np.log([[0.3, 0.3, 0.4], [0.1, 0.3, 0.6], [0.6, 0.3, 0.1]])
    scheme = sentiment(polarity, 1.0)
    assert m.decided_two_way(logits, scheme).tolist() == [True, True, False]
    sides = scheme.model_copy(update={"decision": "sides"})
    assert m.decided_two_way(logits, sides).tolist() == expected
    truth = np.array([1, 2, 0])
    right = m.correct(logits, truth, sides)
    assert right.mean() == m.classification_metrics(logits, truth, sides)["acc2"]


def test_two_sides_need_a_sign() -> None:
    with pytest.raises(ValueError, match="polarity"):
        m.decided_two_way(np.zeros((1, 2)), nominal(("a", "b")))
