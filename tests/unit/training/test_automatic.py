"""Settings chosen from the data, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord import presets
from tricord.config import RunConfig
from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.labels import sentiment
from tricord.models.baselines import early_fusion, self_mm
from tricord.presets import AUTOMATIC, SIZES, of_size
from tricord.training.automatic import Choice, Line, choose, explained
from tricord.training.label_kinds import Labels, grades
from tricord.types import Polarity


def data(rows: tuple[int, int, int] = (20, 9, 12), **options: Any) -> Dataset:
    return tiny_data.dataset(rows, **options).seal("test")


def settings(found: Dataset) -> RunConfig:
    choice = choose(found)
    return choice.applied(presets.get(choice.size.preset)).only(found.modalities)


def told(found: Dataset, config: RunConfig | None = None) -> dict[str, Line]:
    return {line.what: line for line in explained(found, config or settings(found))}


@pytest.mark.parametrize(
    ("clips", "preset"),
    [
        *((1, "mosi"), (599, "mosi"), (600, "ch-sims"), (5999, "ch-sims")),
        *((6000, "mosei"), (10**7, "mosei")),
    ],
)
def test_sizes_follow_the_number_of_clips(clips: int, preset: str) -> None:
    assert of_size(clips).preset == preset


def test_all_sizes_are_settings_that_exist() -> None:
    for size in SIZES:
        presets.get(size.preset)
    assert [size.below for size in SIZES][-1] is None


def test_the_same_data_give_the_same_settings() -> None:
    first, again = settings(data()), settings(data())
    assert first == again
    assert first.preset == AUTOMATIC
    assert first.labels == sentiment(Polarity.NON_POSITIVE, 1)
    assert list(first.modalities) == ["text", "audio", "vision"]


def test_scores_outside_ch_sims_are_taken_as_in_mosi() -> None:
    whole = data()
    splits = {k: replace(t, scores=3 * t.scores) for k, t in whole.splits.items()}
    assert settings(Dataset(splits, "x")).labels == sentiment(Polarity.NON_NEGATIVE, 3)


def choice(labels: Labels) -> Choice:
    return Choice(labels, of_size(10))


def test_a_model_keeps_its_own_head_and_rule() -> None:
    signed = choice(Labels(sentiment(Polarity.NON_NEGATIVE, 3), ""))
    assert signed.applied(self_mm.config("mosi")).labels.head == "regression"
    assert signed.applied(presets.mosi("tricord")).labels.decision == "sides"
    graded = choice(Labels(grades(1, 5), ""))
    assert graded.applied(early_fusion.config("mosi")).labels.head == "classification"
    with pytest.raises(ConfigError, match="this model has no 'classification'"):
        graded.applied(self_mm.config("mosi"))


def test_each_choice_is_told() -> None:
    lines = told(data())
    assert list(lines) == ["labels", "clips", "features", "sizes"]
    assert lines["labels"].value == "scores from -1 to 1 by their sign: negative, neutral, positive"
    assert lines["clips"].value == "20 train, 9 valid, 12 test"
    assert lines["features"].value == "text 5, audio 3, vision 4"
    assert lines["sizes"].why == "fewer than 600 clips to train on"
    assert lines["sizes"].to_json() == {
        "what": "sizes",
        "value": lines["sizes"].value,
        "why": lines["sizes"].why,
    }


@pytest.mark.parametrize(
    ("by_hand", "shown"),
    [
        ({"modalities.layers": 3}, "layers 3, heads 4"),
        ({"modalities.audio.layers": 1}, "layers 2/1, heads 4"),
        ({"finetune.batch_size": 3}, "layers 2, heads 4"),
    ],
)
def test_what_was_set_by_hand_is_told(by_hand: dict[str, int], shown: str) -> None:
    line = told(data(), settings(data()).with_settings(by_hand))["sizes"]
    assert line.why == "set by hand"
    assert line.value.startswith(shown)


def test_what_may_be_wrong_with_the_labels_is_told() -> None:
    whole = data()
    scores = whole["train"].scores.copy()
    scores[1:, 0] = np.abs(scores[1:, 0]) + 0.1
    scores[0, 0] = -1
    few = Dataset({**whole.splits, "train": replace(whole["train"], scores=scores)}, "x")
    assert "negative (1)" in told(few)["note"].value


def test_what_may_be_wrong_with_classes_that_are_not_used_is_not_told() -> None:
    whole = data()
    splits = {k: replace(t, scores=np.where(t.scores < 0, 1, 5)) for k, t in whole.splits.items()}
    gap = Dataset(splits, "x").seal("test")  # grades 1 to 5, of which three are missing
    assert told(gap)["note"].value.endswith(": 2, 3, 4")
    by_hand: dict[str, Any] = {"labels.cuts": [">=3"], "labels.classes": ["low", "high"]}
    config = choose(gap, by_hand).applied(presets.mosi()).with_settings(by_hand)
    assert told(gap, config)["labels"].why == "set by hand"
    assert "note" not in told(gap, config)


def test_one_modality_is_enough() -> None:
    audio = data(widths={"audio": 3})
    assert list(settings(audio).modalities) == ["audio"]
    assert told(audio)["features"].value == "audio 3"
    assert told(audio)["sizes"].why != "set by hand"


def test_words_without_features_are_told_with_what_to_do() -> None:
    silent = data(widths={"audio": 3})
    splits = {k: replace(t, raw_text=("hello",) * len(t)) for k, t in silent.splits.items()}
    spoken = Dataset(splits, "x").seal("test")
    assert "text.encoder=" in told(spoken)["text"].why
    named = settings(spoken).with_settings({"text.encoder": "some-bert"})
    assert "text" not in told(spoken, named)
    assert told(spoken, named)["features"].value == "audio 3, text by some-bert"
    empty = {k: replace(t, raw_text=(" ",) * len(t)) for k, t in silent.splits.items()}
    assert "text" not in told(Dataset(empty, "x"))


def test_cuts_by_hand_stand_in_for_the_labels_kind() -> None:
    whole = data()
    splits = {k: replace(t, scores=50.5 + 50 * t.scores) for k, t in whole.splits.items()}
    hundred = Dataset(splits, "x").seal("test")
    with pytest.raises(ConfigError, match="say where classes begin"):
        choose(hundred)
    by_hand: dict[str, Any] = {"labels.cuts": [">=50"], "labels.classes": ["low", "high"]}
    by_hand |= {"labels.low": 0, "labels.high": 101}
    config = choose(hundred, by_hand).applied(presets.mosi()).with_settings(by_hand)
    assert config.supcon.labels == "classes"
    assert config.labels.to_class(np.array([49.0, 51.0])).tolist() == [0, 1]
    line = told(hundred, config)["labels"]
    assert (line.value, line.why) == ("2 classes: low, high", "set by hand")


def test_of_a_preset_there_is_nothing_to_tell() -> None:
    assert explained(data(), presets.tiny()) == ()
