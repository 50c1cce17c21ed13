"""From a folder of clips to a data set, by the command."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import Type
from drawn_clips import FPS, face, numbered, talking, voice, write_clip
from tricord import cli
from tricord.data.load import load
from tricord.data.schema import Dataset

pytest.importorskip("av")
pytest.importorskip("librosa")

QUICK = ("--text", "none", "--audio", "logmel-80", "--vision", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos of a second, of six speakers; sound alone, a dark picture, and noise."""
    folder = tmp_path_factory.mktemp("clips")
    rows = ["file,label,text,speaker"]
    for number in range(12):
        name = f"clip{number:02}.mp4"
        talking(folder / name, smile=(-1) ** number, pitch=100 + 10 * number)
        rows.append(f"{name},{(-1) ** number},so {number},s{number % 6}")
    write_clip(folder / "sound.wav", (), voice(1.0))
    write_clip(folder / "dark.mp4", [numbered(0)] * FPS, voice(1.0))
    (folder / "noise.mp4").write_bytes(b"noise" * 99)
    rows += ["sound.wav,1,,s0", "dark.mp4,-1,it is dark,s1", "noise.mp4,1,what,s2"]
    (folder / "label.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def fresh(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of one worker and no cache."""
    out = tmp_path_factory.mktemp("fresh") / "fresh.tricord"
    assert cli.run(words(folder, out, *QUICK, "--no-cache", "--workers", "1")) == 0
    return out


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clips"


def words(folder: Path, out: Path, *more: str) -> list[str]:
    return ["extract", str(folder), "--labels", str(folder / "label.csv"), "--out", str(out), *more]


def digests(store: Path) -> dict[str, str]:
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def clips_of(data: Dataset) -> list[str]:
    return sorted(clip for table in data.splits.values() for clip in table.ids)


def test_a_folder_becomes_a_data_set(user: Type, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "my.tricord"
    said = user(*words(folder, out, *QUICK, "--workers", "2"))
    assert said.code == 0, said.err
    data = load(out)
    assert list(data.splits) == ["train", "valid", "test"]
    assert len(clips_of(data)) == 14
    assert data.widths == {"audio": 80}
    assert "no speaker is in two splits" in said.err
    assert any("no speaker is in two splits" in notice for notice in data.notices)
    assert set(data.recipe["speakers"].values()) == {f"s{number}" for number in range(6)}
    assert "14 clips" in said.out
    with (tmp_path / "my.failures.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["id"] == "noise"
    assert "failed: noise: is not audio or video" in said.out
    summary = json.loads((tmp_path / "my.extraction.json").read_text())
    assert (summary["clips"], summary["failures"], summary["recipe"]) == (14, 1, "light")
    assert summary["real_time_factor"] > 0


def test_nothing_depends_on_how_many_work(
    user: Type, folder: Path, fresh: Path, tmp_path: Path
) -> None:
    out = tmp_path / "two.tricord"
    said = user(*words(folder, out, *QUICK, "--workers", "2", "--no-cache"))
    assert said.code == 0, said.err
    assert digests(out) == digests(fresh)
    assert not (tmp_path / "cache").exists()


def test_a_killed_run_goes_on_where_it_was(
    user: Type, folder: Path, fresh: Path, tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "my.tricord"
    command = [sys.executable, "-m", "tricord", *words(folder, out, *QUICK, "--workers", "1")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    while len(list(cache.glob("*/*.safetensors"))) < 3:
        assert running.poll() is None, "ended before it was killed"
        assert time.monotonic() - start < 120
        time.sleep(0.002)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not out.exists()
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("*/*.safetensors")}

    said = user(*words(folder, out, *QUICK, "--workers", "1"))
    assert said.code == 0, said.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "from an earlier run" in said.out
    assert digests(out) == digests(fresh)


def test_a_store_is_only_replaced_where_that_is_asked(
    user: Type, folder: Path, fresh: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(fresh, tmp_path / "my.tricord")
    said = user(*words(folder, out, *QUICK))
    assert said.code == 2
    assert "exists already" in said.err
    assert digests(out) == digests(fresh)
    short = tmp_path / "short.csv"
    short.write_text("file,label,mode\nclip00.mp4,1,train\n")
    said = user(*words(folder, out, *QUICK, "--labels", str(short), "--overwrite"))
    assert said.code == 0, said.err
    assert clips_of(load(out)) == ["clip00"]


def test_where_no_clip_can_be_measured_it_is_said(user: Type, tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"noise" * 99)
    table = ["file,label,mode", "noise.mp4,1,train"]
    (tmp_path / "label.csv").write_text("\n".join(table))
    said = user(*words(tmp_path, tmp_path / "my.tricord", *QUICK))
    assert said.code == 2
    assert "none of 1 clips could be measured" in said.err
    assert (tmp_path / "my.failures.csv").is_file()
    assert not (tmp_path / "my.tricord").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--recipe", "heavy"), "no recipe 'heavy'"),
        (("--shares", "many"), "--shares: 'many' found"),
        (("--audio", "x"), "no audio extractor 'x'"),
    ],
)
def test_what_does_not_exist_is_said_before_anything_is_measured(
    user: Type, folder: Path, tmp_path: Path, cache: Path, more: tuple[str, ...], said: str
) -> None:
    found = user(*words(folder, tmp_path / "my.tricord", "--text", "none", *more))
    assert found.code == 2
    assert said in found.err
    assert not cache.exists()


@pytest.mark.slow
def test_the_light_recipe_measures_words_sound_and_faces(user: Type, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    face_and_voice = [face(mouth=0.4, width=320, height=240)] * FPS
    rows = ["file,label,text,mode"]
    for name, images in (("face", face_and_voice), ("dark", [numbered(0)] * FPS), ("sound", ())):
        path = write_clip(tmp_path / f"{name}{'.mp4' if images else '.wav'}", images, voice(1.0))
        rows.append(f"{path.name},1,{'' if name == 'sound' else 'so it is'},train")
    (tmp_path / "label.csv").write_text("\n".join(rows), encoding="utf-8")
    out = tmp_path / "my.tricord"
    said = user(*words(tmp_path, out, "--workers", "2"))
    assert said.code == 0, said.err
    train = load(out)["train"]
    assert train.ids == ("dark", "face", "sound")
    assert train.lengths["vision"].tolist() == [0, 5, 0]
    assert train.lengths["text"].tolist() == [5, 5, 0]  # three words between two special tokens
    assert (train.lengths["audio"] > 40).all()
    assert train.widths["audio"] == 33
    summary = json.loads((tmp_path / "my.extraction.json").read_text())
    assert summary["missing"] == {"text": 1, "audio": 0, "vision": 2}
    assert summary["splits"]["train"] == {"clips": 3, "frames": 10, "faces": 5}
