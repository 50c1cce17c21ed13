"""tricord data split, subset, fix, export: as a user types them."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import Type, narrow
from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.store import read_store

Splits = dict[str, dict[str, Any]]


@pytest.fixture
def typed(user: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Runs a command of `tricord data`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return partial(user, "data")


def as_others_read(path: Path) -> Any:
    """By Python's own unpickler, as other tools do: safe here, the file is one we just wrote."""
    return pickle.loads(path.read_bytes())


COMMANDS = ("split", "subset", "fix", "export")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_and_shows_an_example(typed: Type, command: str) -> None:
    said = typed(command, "--help")
    assert said.code == 0
    assert narrow(said.out)
    assert f"tricord data {command} " in said.out
    assert "Example" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_there_is_not_replaced_unasked(typed: Type, sim: Path, command: str) -> None:
    words = ["--clips", 5] if command == "subset" else []
    place = Path("out.pkl")
    if command in ("split", "subset", "export"):
        place.write_bytes(b"mine")
        said = typed(command, sim, place, *words)
        assert (said.code, said.out) == (2, "")
        assert said.err == "error: out.pkl: exists already; --overwrite replaces it\n"
        assert place.read_bytes() == b"mine"
        assert typed(command, sim, place, *words, "--overwrite").code == 0
        assert load(place)
    store = Path("out.tricord")
    if command != "export":
        assert typed(command, sim, store, *words).code == 0
        before = read_store(store).fingerprint()
        said = typed(command, sim, store, *words)
        assert said.code == 2
        assert "exists already" in said.err
        assert said.err.count("\n") == 1
        assert read_store(store).fingerprint() == before
        assert typed(command, sim, store, *words, "--overwrite").code == 0


@pytest.mark.parametrize("name", ["out", "out.zip", "out.csv"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_says_what_is_written(typed: Type, sim: Path, command: str, name: str) -> None:
    words = ["--clips", 5] if command == "subset" else []
    said = typed(command, sim, name, *words)
    assert said.code == 2
    assert f"{name}: name found, expected one that ends in " in said.err
    assert list(Path().iterdir()) == []


# --------------------------------------------------------------------------------- split


def test_split(typed: Type, sim: Path) -> None:
    said = typed("split", sim, "new.pkl", "--seed", 3)
    assert said.code == 0
    assert narrow(said.out)
    assert "chi-square" in said.out
    assert "written to new.pkl" in said.out
    assert "41 -> " in said.out
    old, new = load(sim), load("new.pkl")
    videos = [set(table.videos) for table in new.splits.values()]
    assert not videos[0] & videos[1]
    assert not (videos[0] | videos[1]) & videos[2]
    assert sorted(c for t in new.splits.values() for c in t.ids) == sorted(
        c for t in old.splits.values() for c in t.ids
    )
    assert new.simulated  # what is simulated stays marked
    assert new.recipe["history"] == [
        {
            "command": "split",
            "by": "video",
            "shares": [0.6, 0.2, 0.2],
            "seed": 3,
            "keep_test": False,
            "of": "sim.pkl",
        }
    ]
    assert typed("split", sim, "again.tricord", "--seed", 3, "--shares", "6,2,2").code == 0
    assert read_store("again.tricord").fingerprint() == new.fingerprint()


def test_split_by_named_groups(typed: Type, sim: Path) -> None:
    data = load(sim)
    videos = sorted({v for table in data.splits.values() for v in table.videos.tolist()})
    speakers = {video: f"s{i % 4}" for i, video in enumerate(videos)}
    lines = [f"{video},{speaker}" for video, speaker in speakers.items()]
    Path("speakers.csv").write_text("\n".join(["video_id,speaker", *lines]))
    assert typed("split", sim, "new.pkl", "--by", "speakers.csv").code == 0
    found = [{speakers[v] for v in t.videos} for t in load("new.pkl").splits.values()]
    assert sum(map(len, found)) == 4
    said = typed("split", sim, "other.pkl", "--by", "speaker")
    assert "note: the data name no speakers: each video is taken for one" in said.out
    Path("two.csv").write_text(
        "\n".join(["id,group", *(f"{v},{i % 2}" for i, v in enumerate(videos))])
    )
    said = typed("split", sim, "third.pkl", "--by", "two.csv")
    assert said.code == 2
    assert said.err.endswith("2 groups found ('0', '1'), expected at least 3, one for each split\n")
    for words, message in (
        (("--by", "mood"), "--by: 'mood' found, expected video, speaker, or a .csv or .json file"),
        (("--by", "none.csv"), "none.csv: cannot be read"),
        (("--shares", "a,b"), "--shares: 'a,b' found"),
        (("--shares", "1,1"), "shares: [1.0, 1.0] found, expected three positive numbers"),
    ):
        said = typed("split", sim, "fourth.pkl", *words)
        assert said.code == 2
        assert message in said.err
    assert not Path("third.pkl").exists()


def test_split_keeps_test(typed: Type, sim: Path) -> None:
    assert typed("split", sim, "new.pkl", "--keep-test", "--seed", 9).code == 0
    assert load("new.pkl")["test"].ids == load(sim)["test"].ids


# --------------------------------------------------------------------------------- subset


def test_subset_keeps_a_share_of_the_consistent(typed: Type, sim: Path) -> None:
    kept: list[set[str]] = []
    for share in (0.4, 0.6):
        said = typed("subset", sim, f"{share}.tricord", "--keep-consistent", share)
        assert said.code == 0
        assert narrow(said.out)
        store = read_store(f"{share}.tricord")
        kept.append(set(store["train"].ids))
        assert store["test"].ids == load(sim)["test"].ids
    assert kept[0] < kept[1] < set(load(sim)["train"].ids)
    for words, message in (
        ((), "nothing asked for"),
        (("--keep-consistent", 40), "expected a number in 0..1"),
        (("--only", "all"), "--only: 'all' found, expected msc or msi"),
        (("--clips", 0), "clips: 0 found"),
        (("--labels", "bored"), "labels ['bored'] asked for"),
        (("--ids", "none.txt"), "none.txt: cannot be read"),
        (("--clips", 3, "--split", "dev"), "split 'dev' not found"),
    ):
        said = typed("subset", sim, "x.pkl", *words)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert message in said.err
    assert not Path("x.pkl").exists()


def test_subset_filters(typed: Type, sim: Path) -> None:
    said = typed("subset", sim, "x.pkl", "--drop-neutral", "--only", "msi", "--label-max", 0.5)
    assert said.code == 0
    for table in load("x.pkl").splits.values():
        assert ((table.scores[:, 0] != 0) & (table.scores[:, 0] <= 0.5)).all()
    ids = load("x.pkl")["test"].ids[:2]
    Path("ids.txt").write_text("\n".join(ids))
    assert typed("subset", "x.pkl", "y.pkl", "--ids", "ids.txt", "--split", "test").code == 0
    assert load("y.pkl")["test"].ids == ids
    assert load("y.pkl")["train"].ids == load("x.pkl")["train"].ids
    assert [step["command"] for step in load("y.pkl").recipe["history"]] == ["subset"] * 2


@pytest.mark.parametrize("out", ["x.pkl", "x.tricord"])
def test_cells_that_are_mended_on_the_way_are_said(typed: Type, raw: Path, out: str) -> None:
    assert typed("fix", raw, "once.pkl").code == 0
    content = as_others_read(Path("once.pkl"))
    content["train"]["audio"][5, 0, 2] = np.nan
    Path("twice.pkl").write_bytes(pickle.dumps(content))
    said = typed("subset", "twice.pkl", out, "--drop-neutral", "--split", "test")
    assert said.code == 0
    assert said.out.count("note: train: audio: 1 NaN cells replaced by 0\n") == 1
    assert narrow(said.out)


# --------------------------------------------------------------------------------- fix


@pytest.fixture
def raw(simulated: tuple[Splits, dict[str, Any]], tmp_path: Path) -> Path:
    """The simulated file with something of everything wrong."""
    splits = {name: dict(split) for name, split in simulated[0].items()}
    train = splits["train"]
    twice = np.r_[np.arange(41), 4]
    for key, value in train.items():
        train[key] = value[twice] if isinstance(value, np.ndarray) else [value[i] for i in twice]
    train["id"][7] = splits["test"]["id"][0]
    train["audio"] = train["audio"].copy()
    train["audio"][2, 0, 3] = -np.inf
    train["vision"] = train["vision"].copy()
    train["vision"][:, :, 5] = 1.5
    train["vision_lengths"] = np.full(42, train["vision"].shape[1])
    train["vision"][3, 1:] = 0
    train["regression_labels"] = train["regression_labels"].copy()
    train["regression_labels"][9] = 7.0
    write_mmsa(tmp_path / "raw.pkl", splits)
    return tmp_path / "raw.pkl"


def test_fix(typed: Type, raw: Path) -> None:
    said = typed("fix", raw, "clean.tricord", "--drop-dead-columns", "--preset", "ch-sims")
    assert (said.code, said.err) == (0, "")
    assert narrow(said.out)
    for line in (
        "train: id: 1 clips dropped (repeated-id)",
        "train: clip: 1 clips dropped (shared-clip)",
        "train: audio: 1 cells changed (nonfinite)",
        "train: regression_labels: 1 labels reported (label-range)",
        "42 -> 40",
        "note: every change is in clean.fixes.json",
    ):
        assert line in said.out
    clean = read_store("clean.tricord")
    assert len(clean["train"]) == 40
    assert clean["train"].scores[:, 0].max() == 7
    log = json.loads(Path("clean.fixes.json").read_text())
    rules = {change["rule"] for change in log["changes"]}
    assert rules >= {"repeated-id", "shared-clip", "nonfinite", "zero-padding", "label-range"}
    (cell,) = [c for c in log["changes"] if c["rule"] == "nonfinite"]
    assert (cell["split"], cell["key"], cell["column"]) == ("train", "audio", 3)
    assert (cell["before"], cell["after"], cell["count"]) == ("-inf", 0.0, 1)
    assert any("audio: 1 cells changed" in notice for notice in clean.notices)


def test_fix_can_be_told_otherwise(typed: Type, raw: Path) -> None:
    said = typed("fix", raw, "kept.pkl", "--keep-zero-padding", "--log", "log.json")
    assert said.code == 0
    assert "zero-padding" not in said.out
    assert Path("log.json").exists()
    assert (
        load("kept.pkl")["train"].lengths["vision"].min()
        == load("kept.pkl")["train"].lengths["vision"].max()
    )
    for words, message in (
        (("--replace-nonfinite", "nan"), "expected zero or column-mean"),
        (("--drop-overlap", "all"), "expected clip or video"),
        (("--log", "log.json"), "log.json: exists already; --overwrite replaces it"),
        (("--preset", "none"), "none"),
    ):
        said = typed("fix", raw, "x.tricord", *words)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert message in said.err
    assert not Path("x.tricord").exists()


# --------------------------------------------------------------------------------- export


def test_export_and_back(typed: Type, sim: Path) -> None:
    said = typed("export", sim, "out.pkl")
    assert said.code == 0
    assert "written to out.pkl: train 41, valid 14, test 14 clips" in said.out
    assert load("out.pkl").fingerprint() == load(sim).fingerprint()
    assert load("out.pkl").simulated
    content = as_others_read(Path("out.pkl"))
    assert content["train"]["audio"].dtype == np.float32
    said = typed("export", sim, "x.pkl", "--format", "csv")
    assert (said.code, said.err) == (2, "error: --format: 'csv' found, expected mmsa\n")


def test_stores_are_read_by_all(typed: Type, sim: Path) -> None:
    assert typed("subset", sim, "a.tricord", "--clips", 12).code == 0
    assert typed("split", "a.tricord", "b.tricord", "--keep-test").code == 0
    assert typed("fix", "b.tricord", "c.tricord", "--keep-zero-padding").code == 0
    assert typed("export", "c.tricord", "d.pkl").code == 0
    assert load("d.pkl").fingerprint() == read_store("b.tricord").fingerprint()
    steps = [step["command"] for step in load("d.pkl").recipe["history"]]
    assert steps == ["subset", "split", "fix"]


# --------------------------------------------------------------------------------- labels only


@pytest.fixture
def labels(sim: Path, tmp_path: Path) -> Path:
    """A label.csv alone."""
    rows = ["video_id,clip_id,label,label_T,label_A,label_V,mode"]
    for name, table in load(sim).splits.items():
        for clip, scores in zip(table.ids, table.scores, strict=True):
            rows.append(",".join([*clip.split("$_$"), *map(str, scores), name]))
    (tmp_path / "label.csv").write_text("\n".join(rows))
    return tmp_path / "label.csv"


def test_labels_alone_are_shown_and_checked(typed: Type, labels: Path) -> None:
    said = typed("show", labels)
    assert said.code == 0
    assert "no features" in said.out.splitlines()
    assert "absent" not in said.out
    assert narrow(said.out)
    said = typed("check", labels)
    assert said.code == 0
    assert said.out.splitlines()[-1].endswith("labels only, there are no features to train on")


# --------------------------------------------------------------------------------- one split


def test_one_split_is_thinned_out_when_it_is_named(typed: Type, labels: Path) -> None:
    text = labels.read_text().replace(",train", ",").replace(",valid", ",").replace(",test", ",")
    lines = [line.rpartition(",")[0] for line in text.splitlines()]
    labels.write_text("\n".join(lines))
    said = typed("subset", labels, "x.tricord", "--keep-consistent", 0)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "no split 'train' to thin out found: name one of ['all'] by --split" in said.err
    assert typed("subset", labels, "x.tricord", "--keep-consistent", 0, "--split", "all").code == 0
    assert 0 < len(read_store("x.tricord")["all"]) < len(lines) - 1


# --------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_store_is_not_made_to_look_whole(typed: Type, sim: Path, command: str) -> None:
    assert typed("convert", sim, "a.tricord").code == 0
    file = Path("a.tricord/test/audio.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    words = ("--clips", 3) if command == "subset" else ()
    said = typed(command, "a.tricord", "b.pkl", *words)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "test/audio.safetensors: its checksum does not fit" in said.err
    assert not Path("b.pkl").exists()


# --------------------------------------------------------------------------------- many words


def test_labels_of_any_words_keep_the_screen_whole(typed: Type, sim: Path) -> None:
    words = ["[/bold]", "\x1b[2Jx", "[red]", *(f"a rather long class {n}" for n in range(9))]
    content = as_others_read(sim)
    content = {name: dict(content[name]) for name in ("train", "valid", "test")}
    for split in content.values():
        for key in [key for key in split if key.startswith(("regression", "classification"))]:
            del split[key]
        split["annotations"] = [words[i % len(words)] for i in range(len(split["id"]))]
    Path("words.pkl").write_bytes(pickle.dumps(content))
    for command in (("show",), ("check",), ("split", "x.tricord")):
        said = typed(command[0], "words.pkl", *command[1:])
        assert said.code == 0
        assert narrow(said.out)
        assert "\x1b" not in said.out
        if command[0] != "check":  # which counts classes only
            assert all(word in said.out for word in ("[/bold]", "[red]"))
    assert "a rather long class 8" in said.out
