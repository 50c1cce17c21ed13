"""The summary of a data set, in numbers and on one screen."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import numpy as np
from rich.console import Console

from tricord.cli.data.view import render
from tricord.data.describe import describe
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.labels import nominal, sentiment
from tricord.types import Polarity

SENTIMENT = sentiment(Polarity.NON_POSITIVE, 1.0)
SCORES = np.array([[-0.2, -0.4, -1.0], [0.4, 0.2, -1.0], [1.0, 0.2, 0.2]])


def ragged(lengths: list[int], width: int, padded: int) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Ragged(np.zeros((offsets[-1], width), np.float32), offsets, padded)


def table(name: str, **changes: object) -> FeatureTable:
    whole = FeatureTable(
        name=name,
        ids=tuple(f"{name}_{i // 2}$_${i}" for i in range(3)),
        sequences={"text": ragged([2, 4, 3], 768, 39), "audio": ragged([7, 0, 1], 33, 400)},
        scores=SCORES,
    )
    return replace(whole, **changes)


DATA = Dataset(
    splits={name: table(name) for name in ("train", "valid", "test")},
    source="folder/a.pkl",
    notices=tuple(f"train: audio: {i} NaN cells replaced by 0" for i in range(1, 9)),
    simulation={"seed": 1},
)


def test_every_number() -> None:
    summary = describe(DATA, SENTIMENT)
    assert json.loads(json.dumps(summary)) == summary
    assert summary["simulated"] is True
    assert summary["widths"] == {"text": 768, "audio": 33}
    assert summary["notices"] == list(DATA.notices)
    assert summary["splits"]["valid"] == {
        "clips": 3,
        "videos": 2,
        "tokens": None,
        "labels": {"negative": 1, "neutral": 0, "positive": 2},
        "subsets": {"D_test": 3, "D_msc": 2, "D_msi": 1},
        "lengths": {
            "text": {"padded": 39, "min": 2, "mean": 3.0, "max": 4, "absent": 0},
            "audio": {"padded": 400, "min": 1, "mean": 4.0, "max": 7, "absent": 1},
        },
    }


def test_labels_without_a_scheme_and_unknown_ones() -> None:
    unknown = SCORES.copy()
    unknown[0, 0] = np.nan
    data = Dataset(
        splits={
            "train": table("train", scores=unknown),
            "test": table("test", label_names=("sad", "calm", "sad")),
        },
        source="a.pkl",
    )
    splits = describe(data)["splits"]
    assert splits["train"]["labels"] == {"below 0": 0, "zero": 0, "above 0": 2, "unknown": 1}
    assert splits["train"]["subsets"] == {"D_test": 3}
    assert splits["test"]["labels"] == {"calm": 1, "sad": 2}
    shown = " ".join(screen(describe(data)).split())
    assert "below 0: 0, zero: 0, above 0: 2" in shown  # not "below 0 0"
    assert "calm 1, sad 2" in shown


def test_classes_have_no_sign() -> None:
    data = Dataset(splits={"train": table("train", scores=np.ones((3, 3)))}, source="a.pkl")
    train = describe(data, nominal(("a", "b")))["splits"]["train"]
    assert train["labels"] == {"a": 0, "b": 3}
    assert train["subsets"] == {"D_test": 3}


def test_a_modality_that_no_clip_has() -> None:
    nothing = {"audio": ragged([0, 0, 0], 33, 400)}
    data = Dataset(
        splits={"train": table("train", sequences=nothing, scores=SCORES[:, :2])}, source="a"
    )
    summary = describe(data)
    assert summary["splits"]["train"]["lengths"]["audio"]["mean"] is None
    assert "all absent" in screen(summary)


def test_words_that_wait_for_an_encoder() -> None:
    words = {"text": ragged([1, 1, 1], 0, 1), "audio": ragged([2, 3, 4], 33, 400)}
    data = Dataset(
        splits={"train": table("train", sequences=words, scores=SCORES[:, :3])}, source="a"
    )
    (line,) = [line for line in screen(describe(data)).splitlines() if line.startswith("text")]
    assert line.split() == ["text", "words", "-"]


def screen(summary: dict[str, object]) -> str:
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(summary))
    return console.export_text()


def test_one_screen() -> None:
    shown = screen(describe(DATA, SENTIMENT))
    lines = shown.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for words in ("SIMULATED", "folder/a.pkl", "negative 1", "2 - 3.0 - 4", "1 absent", "400"):
        assert words in shown
    assert "4 NaN" in shown
    assert "5 NaN" not in shown
    assert "and 4 more notes" in shown
    real = screen(describe(replace(DATA, simulation=None), SENTIMENT))
    assert "SIMULATED" not in real
