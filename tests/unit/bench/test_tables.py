"""What was measured in words: on the screen and in docs/performance.md."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import ROOT
from documents import make_docs
from tricord.bench.tables import table_of

ABOUT = {
    "size": "tiny",
    "machine": {"processor": "A processor", "cores": 2, "threads": 1},
    "versions": {"torch": "2.0"},
    "gemm_gflops": 190.4,
    "gemm_bf16_gflops": None,
}
PART = {
    "seconds": 12.345,
    "scaled": False,
    "achieved_gflops": 95.2,
    "share_of_gemm": 0.5,
    "clips_per_s": 150.6,
    "peak_rss_mib": 2650.4,
    "steps_timed": 3,
}
TRAIN = {
    "kind": "bench train",
    **ABOUT,
    "parts": {
        **dict.fromkeys(("encode_text", "stage1", "stage2_frozen"), PART),
        "stage2": {**PART, "scaled": True},
    },
    "naive": {
        "peak_rss_mib": 8000.0,
        "ratio": {"stage1": 10.0, "peak_rss": 3.0},
        "parts": {"stage1": {**PART, "seconds": 123.45}},
    },
}
GROWTH = {
    "kind": "bench growth",
    **ABOUT,
    "base": {"clips": 256, "frames": 64},
    "axes": {
        "frames": {"values": [16, 32], "seconds": [0.5, 1.0], "exponent": 1.0, "r2": 0.9999},
    },
}


def test_training_against_the_baseline() -> None:
    table = table_of(TRAIN)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["stage 1"] == ["12.3", "95.2", "50 %", "-", "151", "2650", "123", "10.0"]
    assert rows["text, once"][-2:] == ["", ""]
    assert "stage 2 ~" in rows
    said = " ".join(table.notes)
    assert "SIMULATED" in said
    assert "190 GFLOP/s in fp32." in said
    assert "8000 MiB, 3.0 times ours" in said
    assert all(len(row) == len(table.head) for row in table.rows)


def test_without_the_baseline_nothing_is_said_of_it() -> None:
    table = table_of({**TRAIN, "naive": None})
    assert not any("Plain" in note for note in table.notes)


def test_growth_with_its_exponent() -> None:
    assert table_of(GROWTH).rows == [["frames", "16 32", "0.5 1", "1.00", "1.000"]]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="bench fly"):
        table_of({"kind": "bench fly"})


def test_documents_have_the_same_table() -> None:
    docs = make_docs()
    files: dict[str, Any] = {"growth.json": GROWTH, "train.json": TRAIN}
    rendered = docs.render(f"{docs.BEGIN}\n{docs.END}", files)
    assert "| frames | 16 32 | 0.5 1 | 1.00 | 1.000 |" in rendered.splitlines()
    assert "[`train.json`](../bench/results/train.json)" in rendered
    assert rendered.count("SIMULATED") == 2


def test_the_page_is_up_to_date_with_the_result_files() -> None:
    docs = make_docs()
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert docs.render(page, docs.load_results(ROOT / "bench" / "results")) == page
