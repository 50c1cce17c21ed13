from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_extractors import all_three, recipe_of, sound
from tricord.clips.cache import Cache, key_of
from tricord.clips.clip import Clip
from tricord.clips.extract import Keeping
from tricord.clips.measure import Measured, Measurer
from tricord.errors import DataError, TricordError
from tricord.track import Track

RECIPE = recipe_of(all_three())
PART = RECIPE.parts["audio"]


def measured(rows: int = 3) -> Measured:
    values = np.arange(rows, dtype=np.float32)[:, None]
    return Measured(Track(values, np.arange(rows) / 7, ("loudness",)), ("a notice",), 5, 4)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_what_is_kept_comes_back_to_the_bit(tmp_path: Path, rows: int) -> None:
    cache, kept = Cache(tmp_path), measured(rows)
    cache.write("a1", kept)
    found = cache.read("a1", PART)
    assert found is not None
    np.testing.assert_array_equal(found.track.values, kept.track.values)
    np.testing.assert_array_equal(found.track.times, kept.track.times)
    assert found.track.columns == ("loudness",)
    assert (found.notices, found.frames, found.faces) == (("a notice",), 5, 4)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert Cache(tmp_path).read("a1", PART) is None


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, "cut", "other"])
def test_a_broken_file_is_as_none(tmp_path: Path, damage: bytes | str) -> None:
    cache = Cache(tmp_path)
    cache.write("a1", measured())
    [path] = tmp_path.rglob("*.safetensors")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "other":
        from safetensors.numpy import save_file

        save_file({"values": np.zeros((2, 1), np.float32)}, path)
    else:
        assert isinstance(damage, bytes)
        path.write_bytes(damage)
    assert cache.read("a1", PART) is None


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TricordError, match=r"cannot be written .*; TRICORD_CACHE names"):
        Cache(tmp_path / "file").write("a1", measured())


def test_the_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path))
    assert Cache().folder == tmp_path / "clips"


def test_a_key_is_of_the_content_and_not_of_the_name(tmp_path: Path) -> None:
    one, other = tmp_path / "one.wav", tmp_path / "other.wav"
    one.write_bytes(b"sound")
    shutil.copy(one, other)
    assert key_of("audio", PART, Clip("a", one)) == key_of("audio", PART, Clip("b", other, "x"))


def test_a_key_changes_with_all_that_decides_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "one.wav"
    path.write_bytes(b"sound")
    clip = Clip("a", path)
    keys = {
        key_of("audio", PART, clip),
        key_of("audio", PART, Clip("a", path, start=1.0)),
        key_of("audio", PART, Clip("a", path, end=1.0)),
        key_of("vision", PART, clip),
        key_of("audio", recipe_of({"audio": sound("2")}).parts["audio"], clip),
    }
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    keys.add(key_of("audio", PART, clip))
    assert len(keys) == 6


def test_a_key_of_text_is_of_the_words_alone(tmp_path: Path) -> None:
    text = RECIPE.parts["text"]
    absent = tmp_path / "none.mp4"
    same = [key_of("text", text, Clip("a", absent, "yes", start)) for start in (0.0, 1.0)]
    assert same[0] == same[1] != key_of("text", text, Clip("a", absent, "no"))


def test_a_key_of_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none"):
        key_of("audio", PART, Clip("a", tmp_path / "none.mp4"))


def test_only_what_changed_is_measured_again(
    measurer: Measurer, extractors: dict[str, Any], talking: Path, tmp_path: Path
) -> None:
    cache, words = Cache(tmp_path), extractors["text"]
    first = Keeping(measurer, cache)(Clip("a", talking, "yes"))
    again = Keeping(measurer, cache)(Clip("b", talking, "yes"))
    assert (first.kept, again.kept, again.features.id) == (False, True, "b")
    assert words.calls == ["yes"]
    assert again.features.notices == first.features.notices
    for name, track in first.features.tracks.items():
        np.testing.assert_array_equal(track.values, again.features.tracks[name].values)
        np.testing.assert_array_equal(track.times, again.features.tracks[name].times)

    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    other = Keeping(measurer, cache)(Clip("a", talking, "no"))
    assert not other.kept
    assert words.calls == ["yes", "no"]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(list(tmp_path.rglob("*.safetensors"))) == len(files) + 1


def test_a_file_that_changes_while_it_is_measured_is_not_kept(
    measurer: Measurer, talking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(talking, tmp_path / "copied.mp4"))
    cache = Cache(tmp_path / "cache")
    measure = measurer.measure

    def copying(clip: Clip, info: Any, modality: str) -> Measured:
        found = measure(clip, info, modality)
        if modality == "vision":
            path.write_bytes(path.read_bytes() + b"more")
        return found

    monkeypatch.setattr(measurer, "measure", copying)
    clip = Clip("a", path, "yes")
    assert not Keeping(measurer, cache)(clip).kept
    kept = {m: cache.read(key_of(m, part, clip), part) for m, part in measurer.recipe.parts.items()}
    assert kept["text"] is not None
    assert kept["vision"] is None
    assert len(list(cache.folder.rglob("*.safetensors"))) == 2  # of the words, and the sound before


@pytest.mark.parametrize(
    ("cause", "kept"), [(OSError(24, "Too many open files"), False), (ValueError("bad"), True)]
)
def test_only_what_is_wrong_with_the_file_itself_is_kept(
    measurer: Measurer,
    talking: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cause: Exception,
    kept: bool,
) -> None:
    def broken(*arguments: Any, **settings: Any) -> Any:
        raise DataError("cannot be read") from cause

    keeping, clip = Keeping(measurer, Cache(tmp_path)), Clip("a", talking, "yes")
    with monkeypatch.context() as patch:
        patch.setattr("tricord.media.audio.read_audio", broken)
        if kept:
            assert keeping(clip).features.notices == ("audio: cannot be read",)
        else:
            with pytest.raises(DataError, match="cannot be read"):
                keeping(clip)
    again = keeping(clip)
    assert again.kept == kept
    assert bool(len(again.features.tracks["audio"])) == (not kept)


def test_without_a_cache_all_is_measured(
    measurer: Measurer, extractors: dict[str, Any], talking: Path
) -> None:
    for _ in range(2):
        assert not Keeping(measurer, None)(Clip("a", talking, "yes")).kept
    assert extractors["text"].calls == ["yes", "yes"]
