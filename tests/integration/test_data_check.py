"""`tricord data check`, as a user types it, on simulated files and on real data."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tricord import cli
from tricord.data.check import check
from tricord.data.load import read
from tricord.data.readers.label_table import read_label_file
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.store import read_store, write_store

Splits = dict[str, dict[str, Any]]


class User:
    """Runs commands in this process, 80 columns wide."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def types(self, *words: object) -> tuple[int, str, str]:
        self.capfd.readouterr()
        code = cli.run([str(word) for word in ("data", "check", *words)])
        found = self.capfd.readouterr()
        return code, found.out, found.err


@pytest.fixture
def user(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return User(capfd)


@pytest.fixture
def broken(simulated: tuple[Splits, Any], tmp_path: Path) -> Path:
    """The simulated data with an id of train in test, -inf in audio and a dead column."""
    splits = copy.deepcopy(simulated[0])
    splits["test"]["id"] = [splits["train"]["id"][0], *splits["test"]["id"][1:]]
    splits["train"]["audio"][3, 0, 7] = -np.inf
    for split in splits.values():
        split["vision"][..., 11] = 0
    path = tmp_path / "broken.pkl"
    write_mmsa(path, splits)
    return path


def test_a_clean_file_passes_in_strict_mode(user: User, sim: Path) -> None:
    code, out, _ = user.types(sim, "--strict")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "sim.pkl: no data set that is known"
    assert "simulated" in out
    assert lines[-1].startswith("0 errors, 0 warnings, 1 note")
    assert all(len(line) <= 80 for line in lines)


def test_findings_come_worst_first_and_strict_exits_with_1(user: User, broken: Path) -> None:
    code, out, _ = user.types(broken)
    assert code == 0
    places = [out.index(f"\n{what}") for what in ("error id-shared", "warning not-finite")]
    assert places == sorted(places)
    assert "warning constant-columns" in out
    assert "1 -inf" in out
    assert "-> tricord data fix FILE" in out
    assert out.splitlines()[-1].startswith("1 error, ")
    assert user.types(broken, "--strict")[0] == 1


def test_json_says_the_same(user: User, broken: Path) -> None:
    code, out, err = user.types(broken, "--json", "--strict")
    assert code == 1
    assert not err
    report = json.loads(out)
    assert report["findings"][0]["rule"] == "id-shared"
    assert report["findings"][0]["where"]["splits"] == ["train", "test"]
    assert report["verdict"]["error"] == 1
    assert len(report["sha256"]) == len(report["fingerprint"]) == 64


def test_told_to_compare_with_a_known_data_set(user: User, sim: Path) -> None:
    code, out, _ = user.types(sim, "--as", "ch-sims")
    assert code == 0
    assert "CH-SIMS, told by --as" in out.splitlines()[0]
    assert "split-sizes" in out
    assert "Table I" in out


def test_speakers_from_a_file(user: User, sim: Path, tmp_path: Path) -> None:
    videos = sorted({str(v) for t in read(sim).splits.values() for v in t.videos})
    path = tmp_path / "speakers.csv"
    rows = [("video", "speaker"), *((video, "Ann") for video in videos)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert "group-overlap" in user.types(sim, "--by", path)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--as", "mosie"), "mosei"), (("--by", "nowhere.csv"), "nowhere.csv")],
)
def test_what_cannot_be_is_refused_in_a_line(
    user: User, sim: Path, words: tuple[str, ...], said: str
) -> None:
    code, out, err = user.types(sim, *words)
    assert code == 2
    assert not out
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_is_none(user: User, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"no pickle")
    assert user.types(path)[0] == 2
    assert user.types(tmp_path / "missing.pkl")[0] == 2


def test_what_a_file_says_cannot_move_the_cursor(
    user: User, simulated: tuple[Splits, Any], tmp_path: Path
) -> None:
    splits = copy.deepcopy(simulated[0])
    evil = "\x1b[2J[bold]\ud800$_$1"
    splits["train"]["id"] = [evil, evil, *splits["train"]["id"][2:]]
    path = tmp_path / "evil.pkl"
    write_mmsa(path, splits)
    code, out, _ = user.types(path)
    assert code == 0
    assert "id-duplicate" in out
    assert "[2J[bold]" in out
    assert "\x1b" not in out
    assert user.types(path, "--json")[0] == 0


def test_a_store_is_checked_and_its_damage_seen(sim: Path, tmp_path: Path) -> None:
    path = tmp_path / "sim.tricord"
    data = read(sim)
    write_store(data, path)
    whole = check(read_store(path), path=path)
    assert whole.sha256 is None
    assert [f.rule for f in whole.findings] == ["simulated"]
    assert whole.fingerprint == check(data).fingerprint
    file = path / "test" / "audio.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    report = check(read_store(path), path=path)
    assert report.findings[0].rule == "store-damaged"
    assert report.has_errors


def test_ch_sims_labels_are_table_i(shared: Path) -> None:
    path = shared / "data" / "ch_sims_v1" / "label.csv"
    report = check(read_label_file(path), path=path)
    assert report.recognised["name"] == "ch-sims"
    assert {f.rule for f in report.findings} == {"video-overlap", "text-repeated"}
    for split in report.counts["splits"].values():
        assert split["paper_subsets"].items() <= split["subsets"].items()


def test_mosi_clips_labels(shared: Path) -> None:
    path = shared / "data" / "mosi_clips" / "label.csv"
    report = check(read_label_file(path), path=path)
    assert report.recognised["name"] is None
    rules = {f.rule: f for f in report.findings}
    assert set(rules) == {"label-word", "text-upper-case"}
    assert "1 of 209" in rules["label-word"].found


def test_mosi_utterances_and_their_leak(user: User, shared: Path) -> None:
    path = shared / "data" / "mosi_utterance" / "mosi_utterance.pkl"
    report = check(read(path), path=path)
    assert report.recognised["name"] == "mosi"
    assert "1221/226/752" in report.recognised["why"][0]
    leaks = [f.where.modality for f in report.findings if f.rule == "feature-leak"]
    assert leaks == ["text", "vision"]
    assert not report.has_errors
    assert user.types(path, "--strict")[0] == 0
