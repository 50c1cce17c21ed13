"""The figures of a clip and of a whole file: what is drawn where, and files that are whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import tiny_data
from drawn_clips import FPS, face, numbered, voice, write_clip
from figures import letters
from measured import encode, features
from tricord.clips.clip import Clip
from tricord.errors import ConfigError
from tricord.inference.clip import predict_features
from tricord.inference.occlusion import occlude
from tricord.inference.timeline import Span, Timeline
from tricord.report import clip_figure, clip_material, timeline_figure
from tricord.report.clip_figure import Subject, draw_clip, save
from tricord.report.clip_material import Material, material
from tricord.report.timeline_figure import draw_timeline
from tricord.words.transcripts import Segment


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: silence, then a voice; a face throughout."""
    sound = np.concatenate([np.zeros(16_000, np.float32), voice(1.0)])
    path = tmp_path_factory.mktemp("clips") / "talking.mkv"
    return write_clip(path, [face(width=320, height=240)] * (2 * FPS), sound)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that are drawn and not saved."""
    found: list[Figure] = []

    def keep(path: Path, size: tuple[float, float], draw: object) -> None:
        assert callable(draw)
        found.append(Figure(figsize=size))
        draw(found[-1])

    monkeypatch.setattr(clip_figure, "save", keep)
    monkeypatch.setattr(timeline_figure, "save", keep)
    return found


def subject(**changes: object) -> Subject:
    trained = tiny_data.untrained()
    tracks = {**features().tracks, "text": encode("so it is")}
    clip = replace(features(), tracks=tracks)
    pictures = ((0.5, face()), (1.5, face()))
    wave = np.linspace(0, 1, clip_material.BINS, dtype=np.float32)
    found = Subject(
        name="clip.mp4",
        predictions=predict_features(trained, [clip]),
        occlusion=occlude(trained, clip, encode=encode),
        material=Material(0.0, 2.0, pictures, -wave, wave),
        calibrated=["probabilities not calibrated"],
    )
    return replace(found, **changes)


def test_a_clip_has_a_panel_for_all_there_is(drawn: list[Figure]) -> None:
    found = subject()
    draw_clip(Path("a.png"), found)
    (figure,) = drawn
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["pictures", "sound"]
    assert [title.split(":")[0] for title in titles[2:]] == ["audio", "vision", "text"]
    assert "in order, not in time" in titles[4]
    said = letters(figure)
    for word in ("so", "it", "is", "Evidence by occlusion", "not what is true", "clip.mp4"):
        assert word in said
    for axes, evidence in zip(figure.axes[2:], ("audio", "vision", "text"), strict=True):
        (change,) = [e.change for e in found.occlusion.evidence if e.modality == evidence]
        bars = [p.get_height() for p in axes.patches if isinstance(p, Rectangle)]
        assert bars == pytest.approx(change.tolist())
    assert len({axes.get_ylim() for axes in figure.axes[2:]}) == 1  # so that they compare


def test_words_with_times_stand_on_the_time_axis(drawn: list[Figure]) -> None:
    clip = replace(features(), tracks={**features().tracks, "text": encode("so it is")})
    segments = [Segment(0, 0.8, "so it"), Segment(1.5, 2.0, "is")]
    found = occlude(tiny_data.untrained(), clip, encode=encode, segments=segments)
    draw_clip(Path("a.png"), subject(occlusion=found))
    axes = drawn[0].axes[-1]
    assert axes.get_xlim() == (0, 2)
    assert list(axes.get_xticks()) == pytest.approx([0.2, 0.6, 1.75])
    assert "when they were said" in letters(drawn[0])


def test_what_the_model_does_not_use_is_said(drawn: list[Figure]) -> None:
    trained, clip = tiny_data.untrained(), features(lengths={"audio": 0, "text": 0}, text=None)
    draw_clip(
        Path("a.png"),
        subject(
            predictions=predict_features(trained, [clip]),
            occlusion=occlude(trained, clip),
            notices=["audio: no audio track", "text: no words"],
            calibrated=["calibrated on 9 clips", "without audio: unchecked"],
        ),
    )
    said = letters(drawn[0])
    assert "sound (not used by the model)" in said
    assert "Not used: audio: no audio track" in said
    assert "Probabilities without audio: unchecked" in said


def test_a_clip_of_nothing_but_words_is_drawn(drawn: list[Figure]) -> None:
    trained = tiny_data.untrained()
    clip = features(lengths={"audio": 0, "vision": 0})
    draw_clip(
        Path("a.png"),
        subject(
            predictions=predict_features(trained, [clip]),
            occlusion=occlude(trained, clip),
            material=Material(0, 2),
        ),
    )
    assert len(drawn[0].axes) == 1


def test_many_words_stand_on_end(drawn: list[Figure]) -> None:
    trained, text = tiny_data.untrained(), " ".join(f"extraordinary{i}" for i in range(30))
    clip = replace(features(text=text), tracks={**features().tracks, "text": encode(text)})
    draw_clip(Path("a.png"), subject(occlusion=occlude(trained, clip, encode=encode)))
    labels = drawn[0].axes[-1].get_xticklabels()
    assert labels[0].get_text() == "extraord…"
    assert labels[0].get_rotation() == 90


@pytest.mark.parametrize("kind", [".png", ".svg", ".pdf"])
def test_the_suffix_says_the_kind_and_bytes_are_the_same_each_time(
    kind: str, tmp_path: Path
) -> None:
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[kind]
    files = []
    for folder in ("a", "b"):
        path = tmp_path / folder / f"figure{kind}"
        save(path, (2, 1), lambda figure: figure.text(0.1, 0.1, "很好"))
        files.append(path.read_bytes())
    assert files[0].startswith(begins)
    assert files[0] == files[1]


def test_another_suffix_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a\.gif: a name ending in \.png, \.svg, \.pdf"):
        draw_clip(Path("a.gif"), subject())


# -------------------------------------------------------------------------------- pictures, sound


def test_material_of_a_clip(talking: Path) -> None:
    found = material(Clip("a", talking), features(duration=2.0))
    assert [time for time, _ in found.pictures] == pytest.approx(np.arange(8) / 4 + 0.125)
    assert found.low is not None
    assert found.high is not None
    # 24 parts of 50 bins; a period of the voice takes 4
    high, low = found.high.reshape(24, -1).max(axis=1), found.low.reshape(24, -1).min(axis=1)
    assert high[:11].max() < 0.02
    assert low[:11].min() > -0.02
    assert high[13:-1].min() > 0.1
    assert low[13:-1].max() < -0.1
    short = material(Clip("a", talking, start=1.5), features(duration=0.05))
    assert short.high is not None
    assert len(short.high) == 50


def test_material_of_a_part_and_of_what_is_missing(talking: Path, tmp_path: Path) -> None:
    part = material(Clip("a", talking, start=1.0), features(duration=1.0))
    assert (part.start, part.end) == (1, 2)
    assert min(time for time, _ in part.pictures) > 1
    sound = write_clip(tmp_path / "a.wav", (), voice(1.0))
    assert material(Clip("a", sound), features(duration=1.0)).pictures == ()
    silent = write_clip(tmp_path / "a.mp4", [numbered(3)] * FPS)
    assert material(Clip("a", silent), features(duration=1.0)).low is None


def test_the_face_that_is_meant_is_cut_out(talking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = pytest.importorskip("tricord.sight.faces")
    there = [faces.Box(100, 40, 50, 50), faces.Box(200, 40, 20, 20)]
    monkeypatch.setattr(faces, "Detector", lambda: lambda image: there)
    found = material(Clip("a", talking), features(duration=2.0), "largest")
    assert {image.shape for _, image in found.pictures} == {(70, 70, 3)}
    monkeypatch.setattr(faces, "Detector", lambda: lambda image: [])
    found = material(Clip("a", talking), features(duration=2.0), "largest")
    assert {image.shape for _, image in found.pictures} == {(240, 320, 3)}


# ---------------------------------------------------------------------------------- a whole file


def test_a_timeline_leaves_a_gap_where_nothing_is_known(drawn: list[Figure]) -> None:
    clips = [features(name, {"audio": 0} if name == "b" else None) for name in "abc"]
    found = predict_features(tiny_data.untrained(), clips)
    spans = tuple(Span(2.0 * i, 2.0 * i + 6) for i in range(4))
    places = np.array([0, 1, 3])
    draw_timeline(Path("a.png"), "film.mp4", Timeline(spans, found, places, {2: "dark"}), "x")
    says, votes = drawn[0].axes
    for k, line in enumerate(says.lines):
        x, y = line.get_data()
        assert list(x) == [3, 5, 7, 9]
        assert np.asarray(y)[places] == pytest.approx(found.probabilities[:, k])
        assert np.isnan(np.asarray(y)[2])
    bars = sorted(
        (round(p.get_y() + 0.43), p.get_x(), p.get_width())
        for p in votes.patches
        if isinstance(p, Rectangle)
    )
    assert bars[:3] == [(0, 0, 4), (0, 4, 2), (0, 8, 4)]  # text; windows meet in the middle
    assert [b[1] for b in bars if b[0] == 1] == [0, 8]  # the second clip has no audio
    assert [t.get_text() for t in votes.get_yticklabels()] == ["text", "audio", "vision"]


def test_a_timeline_of_scores_and_of_minutes(drawn: list[Figure]) -> None:
    settings = {"labels.head": "regression", "pretrain.labels": "multimodal"}
    found = predict_features(tiny_data.untrained(settings), [features()])
    spans = (Span(0, 6), Span(396, 402))
    draw_timeline(Path("a.png"), "film.mp4", Timeline(spans, found, np.array([1]), {}), "x")
    says = drawn[0].axes[0]
    assert says.get_ylabel() == "score"
    assert says.get_xlabel() == "minutes:seconds"
    assert says.xaxis.get_major_formatter()(390, None) == "6:30"
