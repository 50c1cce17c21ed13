"""`tricord clips transcribe`, with a model that hears one letter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from commands import Type, narrow
from drawn_clips import write_clip
from tiny_speech import make_ctc_folder
from tricord.words.transcripts import read


def test_a_folder_gets_transcripts_once(tmp_path: Path, user: Type) -> None:
    sound = np.sin(np.arange(16_000) / 20).astype(np.float32) / 2
    clips = tmp_path / "clips"
    (clips / "anna").mkdir(parents=True)
    for name in ("1.wav", "anna/2.wav"):
        write_clip(clips / name, [], sound=sound)
    model = f"transformers:{make_ctc_folder(tmp_path / 'model', always='A')}"
    said = user("clips", "transcribe", clips, "--model", model)
    assert said.code == 0, said.err
    assert "2 transcripts written" in said.out
    assert read(clips / "anna" / "2.srt").text == "A"
    again = user("clips", "transcribe", clips, "--model", model)
    assert "none written" in again.out
    assert "1.srt is there" in again.out
    broken = clips / "broken.wav"
    broken.write_bytes(b"noise" * 99)
    partly = user("clips", "transcribe", clips, "--model", model)
    assert partly.code == 0
    assert "1 failed" in partly.out
    alone = user("clips", "transcribe", broken, "--model", model)
    assert alone.code == 2
    assert "none of 1 clips could be transcribed; the first: " in alone.err


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path, user: Type) -> None:
    (tmp_path / "1.wav").write_bytes(b"")
    said = user("clips", "transcribe", tmp_path, "--model", "transformers:no-such-model")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "--download" in said.err
    assert narrow(said.out)
