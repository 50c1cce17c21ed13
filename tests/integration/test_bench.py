"""tricord bench from the command line: what it measures, prints and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import Said, Type, narrow
from imitated_device import imitated
from tricord.bench import growth, machine, session, sizes, train
from tricord.bench.process import Found, Tick
from tricord.bench.tables import table_of

Numbers = Mapping[str, Any]


def measure_here(work: Callable[..., Found], *arguments: object, threads: int, tick: Tick) -> Found:
    """In this process: starting others takes longer than what they would measure."""
    assert threads == 1
    return {**work(*arguments, tick), "peak_rss_mib": 1.0}


@pytest.fixture
def bench(user: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Type]:
    """`tricord bench` at the smallest size."""
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "of the user"))
    for module in (session, growth):
        monkeypatch.setattr(module, "measure_apart", measure_here)

    def types(*words: Any) -> Said:
        return user("bench", *words, "--quick", "--size", "tiny", "--threads", 1)

    yield types
    assert not (tmp_path / "of the user").exists()


@pytest.fixture
def measured(bench: Type, tmp_path: Path) -> Callable[[str], Any]:
    """What a measurement writes; what it prints is looked at on the way."""

    def measure(what: str) -> Any:
        said = bench(what, "--out", tmp_path / "kept" / "found.json")
        assert said.code == 0, said.err
        assert narrow(said.out)
        assert "SIMULATED" in said.out
        assert len(said.out.splitlines()) >= 5
        assert len(said.err.splitlines()) >= 5  # a line for each part that begins
        return json.loads((tmp_path / "kept" / "found.json").read_text("utf-8"))

    return measure


def positive(found: Numbers, *keys: str) -> bool:
    return all(found[key] > 0 for key in keys)


def test_train(measured: Callable[[str], Any]) -> None:
    found = measured("train")
    assert positive(
        found,
        *("encode_text_s", "stage1_epoch_s", "stage2_epoch_s", "stage2_frozen_epoch_s"),
        *("peak_rss_mib", "gemm_gflops", "achieved_gflops", "parameters", "language_parameters"),
    )
    assert positive(found["naive"], "stage1_epoch_s", "stage2_epoch_s")
    assert set(found["naive"]["ratio"]) == {"stage1", "stage2", "peak_rss"}
    assert found["simulated"] is True
    assert found["machine"]["threads"] == 1
    part = found["parts"]["stage1"]
    assert positive(part, "clips_per_s", "frames_per_s", "tokens_per_s", "share_of_gemm")
    assert (part["clips"], part["runs"]) == (96, 3)
    assert part["achieved_gflops"] == pytest.approx(part["gflop"] / part["seconds"])
    assert found["parts"]["encode_text"]["clips"] == 128
    # 2 steps of 32 clips are all there is; the baseline's 1 is half of it
    assert found["parts"]["stage2"]["scaled"] is False
    plain = found["naive"]["parts"]["stage1"]
    assert (plain["steps_timed"], plain["scaled"]) == (1, True)


def test_json_and_nothing_else_and_no_baseline(bench: Type) -> None:
    assert json.loads(bench("train", "--json", "--against", "none").out)["naive"] is None


def test_training_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings, seconds and memory are those of the device; what it has no part in is left out."""
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda device: 3 * 2**20)
    with imitated() as device:
        workload = sizes.Workload.make(tmp_path, "tiny", quick=True, device=device)
        part = train.train_stage1(workload, lambda done, total: None)
        ceilings = machine.ceilings(quick=True, device=device)
    assert part["peak_device_mib"] == 3
    assert part["seconds"] > 0
    assert ceilings["gemm_gflops"]
    about = machine.describe(device)
    part |= {"achieved_gflops": 1.0, "clips_per_s": 1.0, "peak_rss_mib": 9.0}
    content = {"kind": "bench train", "size": "tiny", "machine": about, "naive": None}
    content |= {**ceilings, "versions": {"torch": "2"}, "parts": {"stage1": part}}
    shown = table_of(content)
    assert shown.notes[0].startswith("SIMULATED data; lazy, MiB of its memory; ")
    assert [row[6] for row in shown.rows] == ["3"]


def test_predict(measured: Callable[[str], Any]) -> None:
    found = measured("predict")
    assert positive(
        found,
        *("clips_per_s", "one_frame_clips_per_s", "tokens_clips_per_s", "language_clips_per_s"),
        *("of_language", "p50_ms", "gemm_gflops"),
    )
    assert found["p95_ms"] >= found["p50_ms"]
    for name in ("features", "one_frame", "tokens", "language"):
        assert positive(found["parts"][name], "share_of_gemm", "gflop")
    assert found["parts"]["one_frame"]["frames"] == 3 * found["parts"]["one_frame"]["clips"]


def test_load(measured: Callable[[str], Any]) -> None:
    found = measured("load")
    assert positive(found["ratio"], "seconds", "mib")
    assert positive(found["store"], "seconds", "mib")


def test_growth(measured: Callable[[str], Any]) -> None:
    found = measured("growth")
    assert set(found["axes"]) == {"clips", "frames", "layers", "classes", "modalities"}
    for axis in found["axes"].values():
        assert len(axis["seconds"]) == len(axis["values"]) >= 2
        assert {"exponent", "r2"} <= set(axis)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "'fly' cannot be measured; there is: train, predict, load, growth"),
        (["--size", "small"], "size 'small' does not exist; there is: ch-sims"),
        (["--against", "them"], "--against them: expected one of naive, none"),
        (["--threads", "0"], "--threads"),
        (["--device", "gpu"], "device: 'gpu' found, one of cpu,"),
        (["predict", "--device", "cuda"], "--device cuda: predict is measured on the processor"),
    ],
)
def test_what_cannot_be_measured_is_refused(user: Type, words: list[str], message: str) -> None:
    said = user("bench", *words)
    assert said.code == 2
    assert message in said.err
    assert len(said.err.splitlines()) <= 2


@pytest.mark.slow
def test_in_processes_of_their_own(user: Type) -> None:
    said = user("bench", "train", "--size", "tiny", "--quick", "--json", "--threads", 1)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert 50 < found["peak_rss_mib"] < 5000
    assert found["peak_rss_mib"] != found["naive"]["peak_rss_mib"]
