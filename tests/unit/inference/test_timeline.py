"""A whole file piece by piece."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from measured import features
from tricord.clips.clip import Clip, ClipFeatures
from tricord.errors import ConfigError, DataError
from tricord.inference import timeline as timeline_module
from tricord.inference.clip import predict_features
from tricord.inference.timeline import Span, subtitles, timeline, windows, with_words
from tricord.words.transcripts import Segment, of_segments

FILE = Path("film.mp4")


def measure(clip: Clip) -> ClipFeatures:
    """Other features for every place; none at all between 4 and 6 s."""
    assert clip.end is not None
    if clip.start == 4:
        raise DataError("film.mp4: nothing in it can be measured")
    return features(
        clip.id, text=clip.text, duration=clip.end - clip.start, start=clip.start, seed=1
    )


def test_windows_by_hand() -> None:
    spans = windows(11.0, 6.0, 2.0)
    assert [(s.start, s.end) for s in spans] == [(0, 6), (2, 8), (4, 10), (5, 11)]
    assert [(s.start, s.end) for s in windows(10.0, 6.0, 2.0)] == [(0, 6), (2, 8), (4, 10)]
    assert windows(3.5) == [Span(0.0, 3.5)]
    assert Span(2, 8).middle == 5


@repeatable
@given(st.floats(0.1, 500), st.floats(0.2, 20), st.floats(0.05, 1))
def test_windows_cover_the_file(duration: float, window: float, share: float) -> None:
    spans = windows(duration, window, share * window)
    assert spans[0].start == 0
    assert spans[-1].end == pytest.approx(duration, abs=1e-5)
    for before, after in pairwise(spans):
        assert before.start < after.start <= before.end + 1e-6
    if duration > window:
        assert {round(s.end - s.start, 5) for s in spans} == {round(window, 5)}


@pytest.mark.parametrize(
    ("window", "step", "said"),
    [(0, 2, "--window 0"), (6, 0, "--step 0"), (float("nan"), 2, "--window nan"), (2, 6, "left")],
)
def test_windows_that_cannot_be(window: float, step: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        windows(20.0, window, step)


def test_subtitles_are_spans_within_the_file() -> None:
    segments = [
        Segment(0, 2, "so"),
        Segment(8, 12, "it"),
        Segment(11, 12, "is"),
        Segment(3, 3, "x"),
    ]
    assert subtitles(segments, 10.0, "a.srt") == [Span(0, 2, "so"), Span(8, 10.0, "it")]
    with pytest.raises(DataError, match=r"a\.srt: no subtitle within the 1\.0 s"):
        subtitles(segments[1:], 1.0, "a.srt")


def test_windows_get_the_words_said_in_them() -> None:
    said = of_segments([Segment(0, 2, "so it"), Segment(5, 7, "is")])
    spans = with_words([Span(0, 1), Span(1, 4), Span(3, 5)], said)
    assert [span.text for span in spans] == ["so", "it", None]


def test_each_span_is_predicted_as_a_clip_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_module, "AT_ONCE", 2)  # so that parts are joined
    trained = tiny_data.untrained()
    spans = [Span(0, 2, "a"), Span(2, 4), Span(4, 6), Span(6, 8), Span(8, 10)]
    ticks: list[int] = []
    found = timeline(trained, FILE, spans, measure, lambda done, total: ticks.append(done))
    assert found.places.tolist() == [0, 1, 3, 4]
    assert list(found.failures) == [2]
    assert ticks == [1, 2, 3, 4, 5]
    rows = list(found.rows())
    assert [(r["start"], r["end"], r["text"]) for r in rows[:2]] == [(0, 2, "a"), (2, 4, None)]
    assert {k: v for k, v in rows[2].items() if v is not None} == {"start": 4, "end": 6}
    assert list(rows[2]) == list(rows[0])
    alone = predict_features(trained, [measure(Clip("film@6.00", FILE, start=6, end=8))])
    np.testing.assert_allclose(
        found.predictions.probabilities[2], alone.probabilities[0], atol=1e-6
    )
    np.testing.assert_allclose(found.predictions.weights[2], alone.weights[0], atol=1e-6)


def test_a_file_of_which_nothing_can_be_predicted() -> None:
    with pytest.raises(DataError, match="nothing in it can be measured"):
        timeline(tiny_data.untrained(), FILE, [Span(4, 6)], measure)
    with pytest.raises(DataError, match="no part of it"):
        timeline(tiny_data.untrained(), FILE, [], measure)


def test_scores_are_joined() -> None:
    trained = tiny_data.untrained({"labels.head": "regression", "pretrain.labels": "multimodal"})
    rows = list(timeline(trained, FILE, [Span(0, 2), Span(2, 4)], measure).rows())
    assert [isinstance(row["score"], float) for row in rows] == [True, True]
