"""What a decision hangs on within a clip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from measured import encode, features
from tricord.clips.clip import ClipFeatures
from tricord.inference.clip import predict_features
from tricord.inference.occlusion import Evidence, Occlusion, occlude, times_of, without, words_of
from tricord.track import Track
from tricord.words.transcripts import Segment


def by_modality(found: Occlusion) -> dict[str, Evidence]:
    return {e.modality: e for e in found.evidence}


def only(clip: ClipFeatures, modality: str, rows: np.ndarray) -> ClipFeatures:
    track = clip.tracks[modality]
    fewer = Track(track.values[rows], track.times[rows], track.columns)
    return replace(clip, tracks={**clip.tracks, modality: fewer})


def test_a_window_is_what_the_decision_loses_without_its_rows() -> None:
    trained, clip = tiny_data.untrained(), features()
    found = occlude(trained, clip, encode=encode)
    whole = predict_features(trained, [clip])
    name = int(whole.probabilities[0].argmax())
    assert found.value == f"log-probability of '{whole.scheme.classes[name]}'"
    assert found.seconds == 0.5
    audio = by_modality(found)["audio"]
    assert audio.starts.tolist() == [0, 0.5, 1, 1.5]
    assert audio.ends.tolist() == [0.5, 1, 1.5, 2]
    rows = np.ones(20, dtype=bool)
    rows[5:10] = False  # ten rows a second: 0.55 to 0.95 s
    fewer = predict_features(trained, [only(clip, "audio", rows)])
    expected = np.log(whole.probabilities[0, name]) - np.log(fewer.probabilities[0, name])
    assert audio.change[1] == pytest.approx(expected, abs=1e-6)
    assert abs(expected) > 1e-4
    none = predict_features(trained, [only(clip, "audio", np.zeros(20, dtype=bool))])
    expected = np.log(whole.probabilities[0, name]) - np.log(none.probabilities[0, name])
    assert audio.whole == pytest.approx(expected, abs=1e-6)


def test_words_are_taken_out_of_the_text() -> None:
    trained = tiny_data.untrained()
    tracks = {**features().tracks, "text": encode("so it is")}
    clip = replace(features(), tracks=tracks)
    text = by_modality(occlude(trained, clip, encode=encode))["text"]
    assert text.words == ("so", "it", "is")
    assert np.isnan([text.starts, text.ends]).all()  # nobody says when
    whole = predict_features(trained, [clip])
    k = int(whole.probabilities[0].argmax())
    fewer = replace(clip, tracks={**tracks, "text": encode("so is")})
    after = predict_features(trained, [fewer]).probabilities[0, k]
    assert text.change[1] == pytest.approx(np.log(whole.probabilities[0, k] / after), abs=1e-6)


def test_words_are_said_when_their_subtitle_is_or_nobody_knows_when() -> None:
    tracks = {**features().tracks, "text": encode("so it is")}
    clip = replace(features(), tracks=tracks)
    segments = [Segment(0.2, 1.0, "so it"), Segment(1.5, 2.0, "is")]

    def text(segments: list[Segment]) -> dict[str, Any]:
        found = occlude(tiny_data.untrained(), clip, encode=encode, segments=segments)
        return dict(found.to_json()["modalities"]["text"])

    timed, other, none = text(segments), text(segments[:1]), text([])
    assert (timed["start"], timed["end"]) == ([0.2, 0.6, 1.5], [0.6, 1.0, 2.0])
    assert timed["times"] == "spread evenly over subtitles"
    assert other == none
    assert (none["start"], none["end"], none["times"]) == ([None] * 3, [None] * 3, "not known")
    assert none["change"] == timed["change"]


def test_words_stay_where_they_cannot_be_encoded() -> None:
    assert "text" not in by_modality(occlude(tiny_data.untrained(), features()))


def test_what_is_absent_has_no_evidence() -> None:
    found = by_modality(
        occlude(tiny_data.untrained(), features(lengths={"text": 0, "vision": 0}, text=None))
    )
    assert list(found) == ["audio"]


def test_a_window_of_everything_there_is_says_nothing() -> None:
    clip = features(lengths={"text": 0, "vision": 0}, text=None, duration=0.4)
    audio = by_modality(occlude(tiny_data.untrained(), clip))["audio"]
    assert np.isnan(audio.change).tolist() == [True]
    assert np.isnan(audio.whole)
    assert occlude(tiny_data.untrained(), clip).to_json()["modalities"]["audio"]["whole"] is None
    # with another modality the model can do without
    both = by_modality(occlude(tiny_data.untrained(), features(lengths={"text": 0}, duration=0.4)))
    assert np.isfinite(both["audio"].change).all()


def test_a_window_without_rows_says_nothing() -> None:
    clip = only(features(), "vision", np.arange(10) < 5)  # the second half has none
    vision = by_modality(occlude(tiny_data.untrained(), clip))["vision"]
    assert np.isnan(vision.change).tolist() == [False, False, True, True]


def test_times_count_from_the_files_beginning() -> None:
    audio = by_modality(occlude(tiny_data.untrained(), features(start=7.0), start=7.0))["audio"]
    assert audio.starts[0] == 7
    assert audio.ends[-1] == 9
    assert np.isfinite(audio.change).all()


def test_a_long_clip_has_longer_windows_and_groups_of_words() -> None:
    words = " ".join(f"w{i}" for i in range(100))
    clip = features(lengths={"audio": 300}, text=words, duration=120.0)
    found = occlude(tiny_data.untrained(), clip, encode=encode)
    assert found.seconds == 2.5
    assert [len(e.change) for e in found.evidence] == [48, 48, 48]
    assert " ".join(by_modality(found)["text"].words) == words


def test_a_score_is_followed_where_there_are_no_classes() -> None:
    trained = tiny_data.untrained({"labels.head": "regression", "pretrain.labels": "multimodal"})
    clip = features()
    found = occlude(trained, clip)
    assert found.value == "score"
    rows = np.arange(20) >= 5
    fewer = predict_features(trained, [only(clip, "audio", rows)])
    expected = predict_features(trained, [clip]).outputs[0, 0] - fewer.outputs[0, 0]
    assert by_modality(found)["audio"].change[0] == pytest.approx(expected, abs=1e-6)


def test_json_has_no_number_that_is_none() -> None:
    clip = only(features(), "vision", np.arange(10) < 5)
    content = occlude(tiny_data.untrained(), clip).to_json()
    assert content["modalities"]["vision"]["change"][2:] == [None, None]
    assert content["method"] == "occlusion"


def test_words_of_scripts_with_and_without_spaces() -> None:
    text = "我很 happy, ok"
    assert [text[w.start : w.end] for w in words_of(text)] == ["我", "很", "happy,", "ok"]
    assert without(text, words_of(text)[1:3]) == "我 ok"
    assert words_of("  ") == []


@repeatable
@given(st.text(alphabet="ab 我好\n", max_size=30))
def test_all_words_out_leaves_nothing_and_none_out_leaves_all(text: str) -> None:
    words = words_of(text)
    assert without(text, words) == ""
    assert without(text, []) == " ".join(text.split())
    assert sum(w.end - w.start for w in words) == len("".join(text.split()))


def test_words_are_spread_evenly_over_their_segment() -> None:
    segments = [Segment(1.0, 2.0, "so it"), Segment(4.0, 5.0, "is")]
    found = times_of("so it is", segments)
    assert found is not None
    assert found.tolist() == [[1, 1.5], [1.5, 2], [4, 5]]
    assert times_of("so it was", segments) is None
    assert times_of("", []) is not None
