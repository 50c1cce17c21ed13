"""tricord predict on video and sound files, as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from commands import SETTINGS, Said, Type, narrow
from drawn_clips import FPS, face, numbered, voice, write_clip
from fake_extractors import all_three, opener, recipe_of, sight, sound
from measured import features
from tricord import api
from tricord.cli.clip_view import block, reasons
from tricord.clips import measure
from tricord.clips.clip import Clip
from tricord.clips.measure import Measurer
from tricord.clips.recipe import KEY
from tricord.data.schema import Dataset
from tricord.data.store import write_store
from tricord.inference.clip import ClipPredictions, predict_clips, predict_features
from tricord.inference.predictor import Predictions
from tricord.labels import nominal

WIDTHS = {"text": 1, "audio": 1, "vision": 2}


def learnt_from(extractors: dict[str, Any]) -> Dataset:
    recipe = {KEY: recipe_of(extractors).model_dump(mode="json")}
    return replace(tiny_data.dataset(widths=WIDTHS), recipe=recipe)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt from clips measured by the fake extractors."""
    out = tmp_path_factory.mktemp("run") / "run"
    settings = {**tiny_data.SETTINGS, **SETTINGS}
    api.train(learnt_from(all_three()), "tiny", out=out, settings=settings)
    return out


@pytest.fixture(autouse=True)
def extractors(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found = all_three()
    monkeypatch.setattr(measure, "open_extractor", opener(found))
    return found


@pytest.fixture(scope="module")
def drawn_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """talk.mp4 of three seconds with a face that leaves after two, its subtitles, and voice.wav."""
    folder = tmp_path_factory.mktemp("clips")
    images = [face()] * (2 * FPS) + [numbered(0)] * FPS
    write_clip(folder / "talk.mp4", images, voice(3.0))
    write_clip(folder / "voice.wav", (), voice(1.0))
    return folder


@pytest.fixture
def clips(drawn_files: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_files, tmp_path / "clips"))


def assert_mistake(said: Said, *words: str) -> None:
    assert said.code == 2
    assert said.err.count("error:") == 1
    for word in words:
        assert word in said.err


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------------------------- one clip


def test_one_clip_is_told_on_one_page(model: Path, clips: Path, user: Type) -> None:
    said = user("predict", model, clips / "talk.mp4", "--text", "so it is")
    assert said.code == 0
    assert narrow(said.out)
    lines = said.out.splitlines()
    assert lines[0].startswith("talk.mp4, 3.0")
    assert "probabilities calibrated on 9 clips of valid" in said.out
    for name in WIDTHS:
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert len(line.split()) == 6  # name, vote, three probabilities, weight
    assert "conflict: " in said.out


def test_the_page_says_what_the_model_says(model: Path, clips: Path, user: Type) -> None:
    said = user("predict", model, clips / "talk.mp4", "--text", "so it is", "--json")
    (row,) = json.loads(said.out)["clips"]
    trained = api.load_model(model).best
    assert trained.recipe is not None
    clip = Clip("talk.mp4", clips / "talk.mp4", "so it is")
    found = predict_clips(trained, [clip], Measurer(trained.recipe)).predictions
    shown = [row[f"p_{c}"] for c in found.scheme.classes]
    np.testing.assert_allclose(shown, found.probabilities[0], atol=1e-6)
    assert sum(row[f"weight_{name}"] for name in WIDTHS) == pytest.approx(1, abs=1e-5)


def test_one_clip_into_a_file(model: Path, clips: Path, user: Type, tmp_path: Path) -> None:
    for name in ("p.csv", "p.jsonl"):
        said = user("predict", model, clips / "talk.mp4", "--out", tmp_path / name)
        assert said.code == 0
        assert "1 clip written to" in said.err
    (row,) = rows_of(tmp_path / "p.csv")
    line = json.loads((tmp_path / "p.jsonl").read_text())
    assert row["id"] == line["id"] == "talk.mp4"
    assert line["vote_text"] is None
    assert line["notices"] == "text: no words"


def test_what_is_missing_is_said_and_why(model: Path, clips: Path, user: Type) -> None:
    said = user("predict", model, clips / "voice.wav")
    assert said.code == 0
    assert narrow(said.out)
    assert "text    missing: no words" in said.out
    assert "without text: unchecked, all clips of the calibration had it" in said.out
    assert "without audio" not in said.out
    assert "vision  missing: no video track" in said.out
    silent = write_clip(clips / "dark.mp4", [numbered(0)] * FPS)
    said = user("predict", model, silent, "--text", "so it is")
    assert "audio   missing: no audio track" in said.out
    assert "vision  missing: no face" in said.out


def test_a_modality_that_is_not_of_the_recipe_is_said_to_be_so() -> None:
    trained, clip = tiny_data.untrained(), features(text="said")
    tracks = {name: track for name, track in clip.tracks.items() if name != "text"}
    lacks = reasons(trained, replace(clip, tracks=tracks, notices=("audio: parts lost",)))
    assert lacks == {"text": "not measured by the recipe"}


def test_too_long_a_clip_is_refused_before_it_is_measured(
    model: Path,
    clips: Path,
    user: Type,
    extractors: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tricord.inference.clip.MOST_FRAMES", 29
    )  # ten a second of sound, five of pictures

    def measure(*given: Any) -> Any:
        raise AssertionError("measured")

    extractors["audio"] = replace(sound(), measure=measure)
    extractors["vision"] = replace(sight(), measure=measure)
    said = user("predict", model, clips / "talk.mp4", "--text", "so it is")
    assert_mistake(said, "talk.mp4: 30 frames of audio in 3 s", "at most 29", "--timeline")
    assert extractors["text"].calls == []
    long = ("--timeline", "--window", 3)
    assert_mistake(user("predict", model, clips / "talk.mp4", *long), "30 frames of audio in 3 s")
    monkeypatch.setattr(
        "tricord.inference.clip.MOST_FRAMES", 10
    )  # sound of one second is not too long
    extractors["audio"] = sound()
    assert user("predict", model, clips / "voice.wav").code == 0


def test_words_beside_the_file_are_found(
    model: Path, clips: Path, user: Type, extractors: dict[str, Any]
) -> None:
    (clips / "talk.txt").write_text("not so\n")
    assert user("predict", model, clips / "talk.mp4").code == 0
    assert user("predict", model, clips / "talk.mp4", "--text", "rather so").code == 0
    assert extractors["text"].calls == ["not so", "rather so"]


def test_promises_hold_for_clips(model: Path, clips: Path, user: Type) -> None:
    asked = ("--risk", 0.1, "--coverage", 0.9, "--unit", "clip")
    said = user("predict", model, clips / "talk.mp4", "--text", "so", *asked)
    assert "no answer for" in said.err
    assert "set: " in said.out


# ------------------------------------------------------------------------------------ several clips


def test_a_folder_is_a_table(model: Path, clips: Path, user: Type, tmp_path: Path) -> None:
    (clips / "broken.mp4").write_bytes(b"no video")
    (clips / "talk.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nso it is\n")
    said = user("predict", model, clips)
    assert said.code == 0
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [row["id"] for row in rows] == ["talk.mp4", "voice.wav"]
    assert rows[0]["notices"] == ""
    assert "vision: no video track" in rows[1]["notices"]
    assert "broken.mp4: is not audio or video that can be read" in said.err
    assert "1 of 3 not predicted" in said.err
    assert user("predict", model, clips, "--out", tmp_path / "p.csv").out == ""
    assert rows_of(tmp_path / "p.csv") == rows
    content = json.loads(user("predict", model, clips, "--json").out)
    assert len(content["clips"]) == 2
    assert list(content["failures"]) == ["broken.mp4"]


def test_a_folder_with_labels_is_for_extract(model: Path, clips: Path, user: Type) -> None:
    (clips / "label.csv").write_text("file,label\ntalk,1\n")
    assert_mistake(user("predict", model, clips), "tricord extract")


# ----------------------------------------------------------------------------------------- mistakes


def test_a_broken_file(model: Path, clips: Path, user: Type) -> None:
    (clips / "broken.mp4").write_bytes(b"no video")
    assert_mistake(user("predict", model, clips / "broken.mp4"), "broken.mp4: is not audio or")
    assert_mistake(user("predict", model, clips / "none.mp4"), "none.mp4: no such file")


def test_an_unknown_suffix_is_looked_into(model: Path, clips: Path, user: Type) -> None:
    shutil.copy(clips / "voice.wav", clips / "voice.xyz")
    assert user("predict", model, clips / "voice.xyz").out.startswith("voice.xyz, 1.0 s")
    (clips / "words.xyz").write_text("neither")
    assert_mistake(user("predict", model, clips / "words.xyz"), "words.xyz")


def test_a_model_of_ready_features_says_so(run: Path, clips: Path, user: Type) -> None:
    said = user("predict", run, clips / "talk.mp4")
    assert_mistake(said, "trained on ready features", "tricord extract")


def test_tools_that_measure_otherwise(
    model: Path, clips: Path, user: Type, extractors: dict[str, Any]
) -> None:
    extractors["audio"] = replace(sound(), hop=800)
    assert_mistake(user("predict", model, clips / "talk.mp4"), "audio: hop 1600 here, 800 there")
    extractors["audio"] = sound("2")
    said = user("predict", model, clips / "talk.mp4")
    assert said.code == 0
    assert "warning: audio: tools.numpy 1 here, 2 there" in said.err


def test_features_of_another_recipe(model: Path, user: Type, tmp_path: Path) -> None:
    for name, extractor in (
        ("same", sound()),
        ("hop", replace(sound(), hop=9)),
        ("tool", sound("2")),
    ):
        write_store(learnt_from({**all_three(), "audio": extractor}), tmp_path / f"{name}.tricord")
    same = user("predict", model, tmp_path / "same.tricord")
    assert (same.code, "warning" in same.err) == (0, False)
    assert_mistake(
        user("predict", model, tmp_path / "hop.tricord"), "audio: hop 1600 here, 9 there"
    )
    tool = user("predict", model, tmp_path / "tool.tricord")
    assert tool.out == same.out
    assert "warning: audio: tools.numpy 1 here, 2 there" in tool.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--plot", "a.gif"), "--plot a.gif"),
        (("--window", 3), "--window 3: needs --timeline"),
        (("--timeline", "--text", "so"), "--text: it is not known when"),
        (("--timeline", "--window", 0), "--window 0"),
        (("--timeline", "--step", 0), "--step 0"),
        (("--timeline", "--step", 7), "parts are left out"),
        (("--split", "test"), "has no splits"),
        (("--srt", "none.srt"), "none.srt"),
        (("--out", "a.txt"), "--out a.txt"),
    ],
)
def test_what_does_not_go_together(
    words: tuple[Any, ...], said: str, model: Path, clips: Path, user: Type
) -> None:
    assert_mistake(user("predict", model, clips / "talk.mp4", *words), said)


def test_options_of_clips_are_not_for_features(run: Path, sim: Path, user: Type) -> None:
    assert_mistake(user("predict", run, sim, "--text", "so"), "--text: is for video and sound")


def test_a_folder_has_no_single_words(model: Path, clips: Path, user: Type) -> None:
    assert_mistake(user("predict", model, clips, "--text", "so"), "is a folder")


# ------------------------------------------------------------------------------------------ figures


def test_a_clip_and_its_evidence(model: Path, clips: Path, user: Type, tmp_path: Path) -> None:
    (clips / "talk.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\nso it is\n")
    said = user("predict", model, clips / "talk.mp4", "--plot", tmp_path / "a.svg", "--json")
    assert said.code == 0
    content = (tmp_path / "a.svg").read_text()
    for word in ("Evidence by occlusion", "when they were said", "not what is true of the person"):
        assert word in content
    evidence = json.loads(said.out)["evidence"]["modalities"]
    assert list(evidence) == ["text", "audio", "vision"]
    assert evidence["text"]["words"] == ["so", "it", "is"]
    assert evidence["audio"]["start"][:3] == [0, 0.5, 1]
    assert evidence["text"]["start"] == [0.5, 1, 1.5]
    (clips / "talk.srt").unlink()
    asked = ("--text", "so it is", "--plot", tmp_path / "a.svg", "--json")
    evidence = json.loads(user("predict", model, clips / "talk.mp4", *asked).out)["evidence"]
    assert evidence["modalities"]["text"]["start"] == [None, None, None]
    assert evidence["modalities"]["text"]["times"] == "not known"


# ---------------------------------------------------------------------------------------- time line


def test_a_window_is_what_its_clip_is(model: Path, clips: Path, user: Type, tmp_path: Path) -> None:
    asked = ("--timeline", "--window", 1.5, "--step", 0.5, "--out", tmp_path / "t.jsonl")
    said = user("predict", model, clips / "talk.mp4", *asked, "--plot", tmp_path / "t.svg")
    assert said.code == 0
    assert "without words" in said.err
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [row["start"] for row in rows[:3]] == [0, 0.5, 1.0]
    assert rows[-1]["end"] == pytest.approx(3.0, abs=0.1)
    trained = api.load_model(model).best
    assert trained.recipe is not None
    for row in rows:  # in the last ones the face is gone for a part
        clip = Clip("a", clips / "talk.mp4", None, row["start"], row["end"])
        (alone,) = predict_clips(trained, [clip], Measurer(trained.recipe)).rows()
        same = [name for name in alone if name not in ("id", "notices")]
        assert [row[name] for name in same] == [  # six digits are written
            value if isinstance(value, str | bool | None) else pytest.approx(value, abs=2e-6)
            for value in (alone[name] for name in same)
        ]
    assert "probability" in (tmp_path / "t.svg").read_text()


def test_subtitles_are_rows_with_their_words(
    model: Path, clips: Path, user: Type, tmp_path: Path
) -> None:
    cues = "1\n00:00:00,000 --> 00:00:01,000\nso it is\n\n2\n00:00:01,500 --> 00:00:02,500\nis it\n"
    (tmp_path / "film.srt").write_text(f"{cues}\n3\n00:01:00,000 --> 00:01:01,000\nlate\n")
    said = user("predict", model, clips / "talk.mp4", "--srt", tmp_path / "film.srt")
    assert said.code == 0
    assert narrow(said.out)
    lines = said.out.splitlines()
    assert len(lines) == 3  # a head and two: the third begins after the end
    assert "note: 1 of 3 subtitles outside the " in said.err
    assert lines[1].endswith("so it is")
    said = user("predict", model, clips / "talk.mp4", "--srt", tmp_path / "film.srt", "--json")
    rows = json.loads(said.out)
    assert [(row["start"], row["end"], row["text"]) for row in rows] == [
        (0, 1, "so it is"),
        (1.5, 2.5, "is it"),
    ]
    assert rows[0]["vote_text"] is not None


def test_windows_take_the_words_said_in_them(
    model: Path, clips: Path, user: Type, tmp_path: Path
) -> None:
    (clips / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nso it is\n")
    asked = ("--timeline", "--window", 1, "--step", 1)
    rows = json.loads(user("predict", model, clips / "talk.mp4", *asked, "--json").out)
    assert [row["text"] for row in rows][:3] == ["so it is", None, None]


def test_a_part_without_anything_is_a_row_without_a_label(
    model: Path, user: Type, tmp_path: Path
) -> None:
    images = [face()] * FPS + [numbered(0)] * (2 * FPS)
    path = write_clip(tmp_path / "leaves.mp4", images)
    said = user("predict", model, path, "--timeline", "--window", 1, "--step", 1, "--json")
    assert said.code == 0
    labels = [row["label"] for row in json.loads(said.out)]
    assert labels[0] is not None
    assert labels[1:] == [None, None]
    assert "2 of 3 not predicted" in said.err
    shown = user("predict", model, path, "--timeline", "--window", 1, "--step", 1)
    assert shown.out.splitlines()[2].split() == ["1.0", "2.0", "-"]


# ------------------------------------------------------------------------------------- many classes


def test_many_long_classes_still_fit_the_page() -> None:
    classes = tuple(f"bewilderment{i}" for i in range(9))
    rng = np.random.default_rng(1)
    predictions = Predictions(
        ids=("a.mp4",),
        modalities=tuple(WIDTHS),
        scheme=nominal(classes),
        outputs=rng.normal(size=(1, 9)),
        votes=rng.normal(size=(1, 3, 9)),
        weights=np.array([[0.5, 0.0, 0.5]]),
        present=np.array([[True, False, True]]),
    )
    clip = features("a.mp4", {"audio": 0})
    found = ClipPredictions((Clip("a.mp4", Path("a.mp4")),), (clip,), predictions, {})
    (row,) = found.rows()
    page = block(found, row, {"audio": f"no audio track {'!' * 80}"})
    assert narrow(page)
    label = classes[int(predictions.outputs.argmax())]
    (consensus,) = [line for line in page.splitlines() if line.startswith("all ")]
    assert consensus.split() == ["all", label, f"{predictions.probabilities.max():.2f}"]
    (text,) = [line for line in page.splitlines() if line.startswith("text ")]
    assert text.split()[1:] == [row["vote_text"], f"{row[f'p_text_{label}']:.2f}", "0.50"]


def test_a_score_is_shown_where_there_are_no_classes() -> None:
    settings = {"labels.head": "regression", "pretrain.labels": "multimodal"}
    clip = features("a.mp4", {"vision": 0})
    predictions = predict_features(tiny_data.untrained(settings), [clip])
    found = ClipPredictions((Clip("a.mp4", Path("a.mp4")),), (clip,), predictions, {})
    (row,) = found.rows()
    page = block(found, row, {"vision": "no face"})
    assert f"{row['label']}, score {row['score']:.2f}" in page
    assert "vision  missing: no face" in page
    assert "probabilities" not in page
