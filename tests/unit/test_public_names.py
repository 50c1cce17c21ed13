"""The names that others rely on, after a plain ``import tricord`` in a fresh interpreter."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys

import pytest

import tricord
from conftest import ROOT

NAMES = [
    "tricord.presets.ch_sims().released()",
    "tricord.presets.ch_sims_v2()",
    "tricord.presets.mosi()",
    "tricord.presets.mosei()",
    "tricord.presets.tiny()",
    "tricord.models.CMC.from_config",
    "tricord.models.CMC.from_released",
    "tricord.models.CMC.predict_features",
    "tricord.models.Unimodal.from_released",
    "tricord.data.splits.is_consistent",
    "tricord.load",
    "tricord.train",
    "tricord.load_model",
    "tricord.plgm.refine_labels",
    "tricord.nn.fusion.parameter_free_fusion",
    "tricord.nn.losses.supcon",
    "tricord.nn.ema.momentum_at",
    "tricord.evaluation.metrics",
    "tricord.evaluation.statistics",
    "tricord.Run.evaluate",
    "tricord.RunConfig",
    "tricord.LabelScheme",
    "tricord.TricordError",
    "tricord.__version__",
]
SIGNATURES = {
    "models.cmc:CMC.from_config": ["config", "widths"],
    "models.cmc:CMC.from_released": ["state", "heads", "temperature"],
    "models.cmc:CMC.predict_features": ["self", "features", "lengths"],
    "models.unimodal:Unimodal.from_released": ["state", "heads"],
    "plgm:refine_labels": ["logits", "labels"],
    "nn.fusion:parameter_free_fusion": ["h", "temperature"],
    "nn.losses:supcon": ["features", "labels", "temperature", "form", "reduction"],
    "nn.ema:momentum_at": ["initial", "decay", "epoch", "schedule"],
    "data.splits:is_consistent": ["scores"],
}


def in_a_fresh_interpreter(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import tricord\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_names_are_found_after_a_plain_import() -> None:
    lines = [f"assert {name} is not None" for name in NAMES]
    in_a_fresh_interpreter("\n".join(lines))


@pytest.mark.parametrize("first", ["tricord.evaluation.metrics", "tricord.models.CMC"])
def test_a_name_needs_no_other_before_it(first: str) -> None:
    in_a_fresh_interpreter(f"assert {first} is not None")


@pytest.mark.parametrize("place", SIGNATURES)
def test_arguments_go_by_their_agreed_names(place: str) -> None:
    module, _, path = place.partition(":")
    obj: object = importlib.import_module(f"tricord.{module}")
    for part in path.split("."):
        obj = getattr(obj, part)
    expected = SIGNATURES[place]
    assert list(inspect.signature(obj).parameters)[: len(expected)] == expected  # type: ignore[arg-type]


def test_everything_announced_is_there() -> None:
    assert set(dir(tricord)) == set(tricord.__all__)
    for name in tricord.__all__:
        assert getattr(tricord, name) is not None


@pytest.mark.parametrize("place", ["tricord", "tricord.nn", "tricord.data", "tricord.evaluation"])
def test_what_is_not_there_is_an_attribute_error(place: str) -> None:
    module = importlib.import_module(place)
    with pytest.raises(AttributeError, match=f"module '{place}' has no attribute 'nothing'"):
        _ = module.nothing
    assert not hasattr(module, "nothing")
