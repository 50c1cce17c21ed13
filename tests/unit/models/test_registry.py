"""What every model of the registry keeps to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
import tiny_reader
from imitated_device import imitated
from tricord import api
from tricord.baseline_config import BaselineConfig
from tricord.config import CommonConfig
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, DataError, ModelError, TricordError
from tricord.inference.predictor import predict
from tricord.models import registry
from tricord.models.baselines.base import Baseline
from tricord.models.entry import Choice
from tricord.training import baseline as baseline_training
from tricord.types import Prediction

MODELS = registry.MODELS
BASELINES = [n for n, e in MODELS.items() if isinstance(e.config("tiny"), BaselineConfig)]
READERS = [name for name in MODELS if name.startswith("mse-adapter")]
# Table IV of the paper: 28 cells of baselines, 4 of CMC
TABLE_IV = {
    "self-mm": (381_380, 244_676, 206_980, 172_532),
    "av-mc": (76_162, 66_442, 63_256, 64_768),
    "emt-dlfr": (1_525_592, 1_439_164, 2_322_779, 2_115_583),
    "sfttr": (20_898_434, 20_608_130, 23_573_761, 30_984_578),
    "mse-adapter-qwen-1.8b": (1_539_992, 1_400_268, 1_331_660, 1_351_244),
    "mse-adapter-llama2-7b": (2_820_440, 2_680_716, 2_612_108, 2_631_692),
    "mse-adapter-chatglm3-6b": (2_820_440, 2_680_716, 2_612_108, 2_631_692),
    "cmc": (247_096, 190_624, 108_382, 111_238),
}
# what a gradient needs to get everywhere: invented labels that differ, missing frames to restore
LONGER = {
    "self-mm": {"epochs": 4, "batch_size": 4, "accumulate": 1},
    "av-mc": {"batch_size": 4},
    "emt-dlfr": {"missing": 0.4},
}
EXPECTED = {
    *TABLE_IV,
    *("mc-teacher", "early-fusion", "late-fusion-mean", "late-fusion-learned"),
    *("text-only", "audio-only", "vision-only", "mult", "tfn", "lmf"),
}


def data() -> Dataset:
    """Tiny clips with words, and some more without labels."""
    made = {**tiny_data.dataset().splits, "unlabelled": tiny_data.table("unlabelled", 10, seed=3)}
    made["unlabelled"] = replace(
        made["unlabelled"], scores=np.full_like(made["unlabelled"].scores, np.nan)
    )
    words = ("good", "bad film", "so so")
    return Dataset(
        {
            name: replace(t, raw_text=tuple(words[i % 3] for i in range(len(t))))
            for name, t in made.items()
        },
        source="tiny.pkl",
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_reader.make_folder(tmp_path_factory.mktemp("reader"))


def settings(name: str, reader: Path) -> dict[str, Any]:
    """What a model needs on tiny data, and no more than two epochs."""
    if name in READERS:
        return {"reader": str(reader), "epochs": 2}
    if name in BASELINES:
        return {"epochs": 2} if "epochs" in type(MODELS[name].config("tiny")).model_fields else {}
    return {**tiny_data.SETTINGS, "pretrain.epochs": 2, "finetune.epochs": 2}


def config_of(name: str, reader: Path) -> CommonConfig:
    return api.config_for(data(), "tiny", name, settings(name, reader))


def test_the_models_of_the_paper_and_the_references_are_there() -> None:
    assert set(MODELS) >= EXPECTED
    for name, entry in MODELS.items():
        assert entry.name == name
        assert all((entry.title, entry.paper, entry.licence, entry.year >= 2017))


@pytest.mark.parametrize("name", TABLE_IV)
def test_sizes_are_those_of_table_iv(name: str) -> None:
    published = dict(zip(registry.WIDTHS, TABLE_IV[name], strict=True))
    assert registry.sizes(name) == published == dict(MODELS[name].published)


@pytest.mark.parametrize("name", [n for n in MODELS if n not in TABLE_IV])
def test_other_models_have_a_size_for_each_data_set_and_none_published(name: str) -> None:
    assert all(size > 0 for size in registry.sizes(name).values())
    assert not MODELS[name].published


@pytest.mark.parametrize("name", MODELS)
def test_search_space_gives_settings_that_build(name: str, reader: Path) -> None:
    entry, config = MODELS[name], config_of(name, reader)
    assert entry.search
    for path, values in entry.search.items():
        tried = values.values if isinstance(values, Choice) else (values.low, values.high)
        for value in tried:
            entry.build(config.with_settings({path: value}), tiny_data.WIDTHS)


@pytest.mark.parametrize("name", MODELS)
def test_released_settings_exist_and_build(name: str, reader: Path) -> None:
    released = config_of(name, reader).released()
    assert type(released) is type(MODELS[name].config("tiny"))
    MODELS[name].build(released, tiny_data.WIDTHS)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The next baseline that training builds: which parameters a gradient other than 0 reached."""
    found: dict[str, Any] = {"reached": set()}
    build = baseline_training.build

    def watch(*args: Any) -> Baseline:
        model = found["model"] = build(*args)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(
                    lambda p, name=name: found["reached"].add(name) if p.grad.any() else None
                )
        return model

    monkeypatch.setattr(baseline_training, "build", watch)
    return found


@pytest.mark.parametrize("name", BASELINES)
def test_gradients_reach_every_trainable_parameter(
    name: str, reader: Path, watched: dict[str, Any]
) -> None:
    api.train(data(), "tiny", name, settings={**settings(name, reader), **LONGER.get(name, {})})
    trainable = {n for n, p in watched["model"].named_parameters() if p.requires_grad}
    assert trainable - watched["reached"] == set()


def outputs(model: torch.nn.Module, batch: Any) -> torch.Tensor:
    found = model(batch)
    return found.consensus if isinstance(found, Prediction) else found


@pytest.mark.parametrize("name", MODELS)
def test_trains_predicts_saves_and_loads(name: str, reader: Path, tmp_path: Path) -> None:
    clips = data()
    run = api.train(clips, "tiny", name, out=tmp_path / "run", settings=settings(name, reader))
    trained = run.best
    first, second = (predict(trained, clips, "test").outputs for _ in range(2))
    assert first.shape == (12, trained.config.labels.outputs)
    assert np.isfinite(first).all()
    assert (first == second).all()  # evaluation is deterministic
    loaded = api.load_model(tmp_path / "run").best
    assert (predict(loaded, clips, "test").outputs == first).all()
    assert (
        loaded.about()["size"]
        == trained.model.size
        == sum(p.numel() for p in trained.model.parameters())
    )
    for rows in ([3], [3, 5, 6, 7]):  # a clip's output does not depend on its neighbours
        some = replace(clips, splits={"test": clips["test"].take(np.array(rows))})
        np.testing.assert_allclose(predict(trained, some, "test").outputs, first[rows], atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("clips", [1, 4])
def test_trains_on_batches_of_one_and_four(name: str, clips: int, reader: Path) -> None:
    config = config_of(name, reader)
    names = ("batch_size", "pretrain.batch_size", "finetune.batch_size")
    sized = [n for n in names if has(config, n)]
    config = config.with_settings(dict.fromkeys(sized, clips))
    small = replace(data(), splits={n: t.take(np.arange(5)) for n, t in data().splits.items()})
    if name == "cmc-released":  # its SupCon subtracts what it summed: 0 / 0 where a clip is alone
        with pytest.raises(TricordError, match="the loss is not finite"):
            api.train(small, "tiny", name, config=config)
        return
    run = api.train(small, "tiny", name, config=config)
    assert np.isfinite(predict(run.best, small, "test").outputs).all()


def has(config: CommonConfig, path: str) -> bool:
    try:
        config.with_settings({path: 1})
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("name", MODELS)
def test_what_is_missing_is_named(name: str, reader: Path) -> None:
    clips = data()
    run = api.train(clips, "tiny", name, settings=settings(name, reader))
    lost = list(run.best.widths)[-1]
    kept = {k: s for k, s in clips["test"].sequences.items() if k != lost}
    if not kept:
        kept = {"text": clips["test"].sequences["text"]}
    table = replace(clips["test"], sequences=kept, scores=clips["test"].scores[:, : 1 + len(kept)])
    less = replace(clips, splits={"test": table})
    if run.best.model.needs_all:
        with pytest.raises(ModelError, match=f"modality '{lost}' not found"):
            predict(run.best, less, "test")
    else:
        assert predict(run.best, less, "test").absent == (lost,)
    if "unlabelled" in " ".join(MODELS[name].needs):
        some = {n: t for n, t in clips.splits.items() if n != "unlabelled"}
        with pytest.raises(DataError, match="unlabelled"):
            api.train(replace(clips, splits=some), "tiny", name, settings=settings(name, reader))


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match="model 'cmcc' does not exist; there is: cmc, "):
        registry.get("cmcc")


@pytest.mark.parametrize("name", [*BASELINES, "cmc-gt"])
def test_trains_on_another_device_and_comes_back(
    name: str, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number is computed there, and nothing of the result is left there."""
    monkeypatch.setattr(api, "device_of", torch.device)
    with imitated() as device:
        run = api.train(data(), "tiny", name, settings=settings(name, reader), device=str(device))
    trained = run.best
    assert trained.versions["device"] == str(device)
    assert {type(value) for value in trained.model.state_dict().values()} == {torch.Tensor}
    assert np.isfinite(predict(trained, data(), "test").outputs).all()
