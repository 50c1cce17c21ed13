from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from conftest import ROOT
from drawn_clips import CODECS, numbered, talking, voice, write_clip
from tricord.errors import DataError
from tricord.media import source as source_module
from tricord.media.audio import read_audio
from tricord.media.info import AudioInfo, probe
from tricord.media.source import Source
from tricord.media.video import frames

NO_MEDIA = "is not audio or video that can be read"


@pytest.mark.parametrize("suffix", CODECS)
def test_what_is_in_a_file_is_told(clips: dict[str, Path], suffix: str) -> None:
    info = probe(clips[suffix])
    assert info.duration == pytest.approx(1.0, abs=0.07)
    assert info.audio is not None
    assert info.audio.channels == 1
    assert info.audio.rate == (48_000 if suffix == ".webm" else 16_000)
    assert info.audio.start == 0.0
    if CODECS[suffix][0] is None:
        assert info.video is None
        return
    assert info.video is not None
    assert (info.video.width, info.video.height, info.video.rotation) == (64, 48, 0)
    assert info.video.rate == pytest.approx(25)
    assert not info.video.variable


def test_two_channels_and_no_pictures(tmp_path: Path) -> None:
    sound = np.stack([voice(0.5, rate=22_050)] * 2)
    info = probe(write_clip(tmp_path / "a.flac", sound=sound, rate=22_050))
    assert info.audio == AudioInfo(rate=22_050, channels=2, codec="flac", start=0.0)
    assert (info.container, info.duration, info.video) == ("flac", 0.5, None)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_uneven_pictures_are_a_variable_rate(tmp_path: Path, suffix: str) -> None:
    images = [numbered(i) for i in range(10)]
    uneven = [i / 10 + 0.03 * (i % 2) for i in range(10)]
    thirtieths = [i / 30 for i in range(10)]
    for times, variable in ((uneven, True), (thirtieths, False)):
        video = probe(write_clip(tmp_path / f"a{suffix}", images, times=times)).video
        assert video is not None
        assert (video.variable, probe(tmp_path / f"a{suffix}").audio) == (variable, None)


def test_a_duration_that_nobody_declared_is_measured(tmp_path: Path) -> None:
    images = [numbered(i) for i in range(25)]
    path = write_clip(tmp_path / "live.mkv", images, voice(1.0), options={"live": "1"})
    with_no_word = Source(path)
    assert with_no_word.duration() is None
    with_no_word.close()
    assert probe(path).duration == pytest.approx(1.0, abs=0.08)


def test_a_drawn_face_talks(tmp_path: Path) -> None:
    path = talking(tmp_path / "face.mp4", 0.5, smile=1.0)
    assert probe(path).video is not None
    images = np.stack([f.image for f in frames(path, 25)]).astype(float)
    motion = images.std(axis=0).mean(axis=(1, 2))
    assert motion[30:42].mean() > 5 * motion[:24].mean(), "the mouth moves and not the eyes"


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mp3", ".wav", ".txt"])
@pytest.mark.parametrize(
    "text",
    [
        "hello\n" * 300,
        "ffconcat version 1.0\nfile '{clip}'\n",
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{clip}</BaseURL>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["text", "concat", "hls", "dash", "sdp"],
)
def test_a_script_that_names_other_files_opens_none(
    clips: dict[str, Path], tmp_path: Path, suffix: str, text: str
) -> None:
    path = tmp_path / f"script{suffix}"
    path.write_text(text.format(clip=clips[".mp4"]), "utf-8")
    with pytest.raises(DataError, match=rf"script\{suffix}: {NO_MEDIA}"):
        probe(path)


def test_the_whitelist_is_what_refuses_a_script(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips[".mp4"].parent / "script.ffconcat"
    path.write_text("ffconcat version 1.0\nfile clip.mp4\n", "utf-8")
    with pytest.raises(DataError, match=NO_MEDIA):
        probe(path)
    monkeypatch.setattr(source_module, "FORMATS", (*source_module.FORMATS, "concat"))
    assert probe(path).container == "concat"


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/a.mp4", "https:/a.b/c.mp4", "rtsp://a/b", "FILE:///etc/passwd", "data:/x"],
)
def test_an_address_is_refused(address: str) -> None:
    for place in (address, Path(address)):
        with pytest.raises(DataError, match=r"is an address, expected a file"):
            probe(place)


@pytest.mark.parametrize("name", ["concat:a.mp4|b.mp4", "pipe:0", "file:clip.mp4"])
def test_a_name_like_a_protocol_is_only_a_name(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        probe(name)
    Path(name).write_bytes(clips[".mp4"].read_bytes())
    assert probe(name).video is not None


def test_what_is_no_file_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, words in (
        ("empty.mp4", r"empty\.mp4: is empty \(0 bytes\)"),
        ("pipe.mp4", r"pipe\.mp4: is no file"),
        (".", "is no file"),
        ("gone.mp4", r"gone\.mp4: no such file"),
    ):
        with pytest.raises(DataError, match=words):
            probe(tmp_path / name)


def test_a_picture_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "face.png"), "w", format="image2", options={"update": "1"}) as file:
        stream = file.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(7))))
    with pytest.raises(DataError, match=NO_MEDIA):
        probe(tmp_path / "face.png")


def test_a_claim_of_a_huge_picture_is_refused(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(DataError, match=r"clip\.mp4: claims pictures of 64 x 48"):
        probe(clips[".mp4"])


def test_without_pyav_it_is_said_what_to_install(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for read in (probe, lambda path: read_audio(path, 8_000), lambda path: frames(path, 5)):
        with pytest.raises(DataError, match=r'pip install "tricord\[clips\]"'):
            read(clips[".mp4"])


def test_the_modules_load_without_pyav_and_say_nothing(clips: dict[str, Path]) -> None:
    broken = clips[".mp4"].parent / "broken.mkv"
    broken.write_bytes(clips[".mkv"].read_bytes()[:6_000])
    script = (
        "import sys\nfrom tricord.media import audio, info, video\nassert 'av' not in sys.modules\n"
        f"info.probe({str(broken)!r})\nassert list(video.frames({str(broken)!r}, 5))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_real_clips(shared: Path) -> None:
    found = sorted((shared / "data" / "mosi_clips").glob("Raw/*/*.mp4"))[::70]
    if not found:
        pytest.skip("needs data/mosi_clips in the folder of TRICORD_SHARED")
    for path in found:
        info = probe(path)
        sound, pictures = read_audio(path, 16_000, end=2.0), frames(path, 5, end=2.0)
        times = [frame.time for frame in pictures]
        length = min(2.0, info.duration)
        assert sound.end == pytest.approx(length, abs=0.15)
        assert times == pytest.approx([n / 5 for n in range(len(times))])
        assert len(times) == pytest.approx(5 * length, abs=1)
        for part in (sound, pictures):
            assert (part.truncated, part.broken) == (False, 0)
