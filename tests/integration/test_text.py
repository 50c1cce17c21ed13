"""A language model for the text, frozen or finetuned: train, save, load, predict."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
import tricord
from tiny_bert import SPECIAL, WIDTH, WORDS, make_folder
from tricord.api import Run
from tricord.data.readers.mmsa import write_mmsa
from tricord.errors import ConfigError, DataError
from tricord.inference.predictor import predict_stage1
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage

QUICK = {
    **tiny_data.SETTINGS,
    "pretrain.epochs": 2,
    "finetune.epochs": 2,
    "finetune.batch_size": 16,
    "pretrain.batch_size": 16,
    "text.lr": 1e-2,
    "model.attention_dropout": 0.0,
}
LENGTH = 6


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_folder(tmp_path_factory.mktemp("models") / "bert"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def retold(split: dict[str, Any]) -> None:
    """Tokens and words from the tiny vocabulary; the first says something of the label."""
    n = len(split["id"])
    rng = np.random.default_rng(n)
    words = rng.integers(0, len(WORDS) - 1, (n, LENGTH))  # but for the last, a part of a word
    words[:, 0] = split["regression_labels"] > 0
    mask = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, n)[:, None]
    ids = (len(SPECIAL) + words) * mask
    split["text_bert"] = np.stack([ids, mask, np.zeros_like(mask)], axis=1).astype(int)
    split["raw_text"] = [
        " ".join(WORDS[i] for i in row[real]) for row, real in zip(words, mask, strict=True)
    ]


@pytest.fixture(scope="module")
def splits(simulated: tuple[dict[str, dict[str, Any]], Any]) -> dict[str, dict[str, Any]]:
    splits = copy.deepcopy(simulated[0])
    for split in splits.values():
        retold(split)
        del split["text"]
    return splits


@pytest.fixture(scope="module")
def file(splits: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens.pkl"
    write_mmsa(path, splits)
    return path


def train(file: Path, settings: Mapping[str, Any], out: Path | None = None, **more: Any) -> Run:
    return tricord.train(file, "tiny", out=out, settings={**QUICK, **settings}, **more)


def size_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


SETTINGS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "frozen, released": {"model.padding": "ignored"},
    "raw": {"text.source": "raw"},
    "finetuned": {"text.finetune": True},
    "finetuned, raw": {"text.finetune": True, "text.source": "raw"},
    "finetuned, cmc-gt": {"text.finetune": True, "pretrain.labels": "ground_truth"},
    "router only": {"finetune.train": "router_only", "finetune.fusion": "none"},
    "finetuned, router only": {"text.finetune": True, "finetune.train": "router_only"},
}


@pytest.mark.parametrize("how", SETTINGS)
def test_predictions_survive_save_and_load(how: str, bert: str, file: Path, tmp_path: Path) -> None:
    run = train(file, {"text.encoder": bert, **SETTINGS[how]}, tmp_path / "run")
    before = run.predict(file)
    again = tricord.load_model(tmp_path / "run")
    tiny_data.assert_same_training(again.best, run.best)
    after = again.predict(file)
    for name in ("outputs", "votes", "weights"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert np.isfinite(before.outputs).all()
    assert run.best.widths["text"] == WIDTH
    assert again.evaluate("valid").to_json()["rows"] == run.evaluate("valid").to_json()["rows"]


def test_a_frozen_encoder_is_not_copied(bert: str, file: Path, tmp_path: Path) -> None:
    run = train(file, {"text.encoder": bert}, tmp_path / "run")
    assert not run.model.language
    names = [*run.model.state_dict(), *run.best.pretrained.language]
    assert not any("language" in name or "embeddings" in name for name in names)
    finetuned = train(file, {"text.encoder": bert, "text.finetune": True}, tmp_path / "tuned")
    weights = sum(p.numel() * 4 for p in finetuned.model.language.parameters())
    assert size_of(tmp_path / "run") < size_of(tmp_path / "tuned") - weights + 1000


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return {k: v for k, v in run.model.state_dict().items() if k.startswith("language.")}


def test_finetuned_weights_are_saved_and_differ_from_the_start(
    bert: str, file: Path, tmp_path: Path
) -> None:
    from tricord.features.language import TextEncoder

    run = train(file, {"text.encoder": bert, "text.finetune": True}, tmp_path / "run")
    start = TextEncoder.from_pretrained(bert).state_dict()
    ours = {k.removeprefix("language.text."): v for k, v in weights_of(run).items()}
    moved = tiny_data.differs(ours, start)
    assert {n for n in moved if "attention" in n}
    loaded = weights_of(tricord.load_model(tmp_path / "run"))
    tiny_data.assert_same_state(loaded, weights_of(run))
    assert run.model.size == sum(p.numel() for p in run.model.parameters()) - sum(
        p.numel() for p in run.model.language.parameters()
    )


def test_stage_1_trains_the_language_model_with_true_labels_alone(bert: str, file: Path) -> None:
    """Fidelity 8."""

    class Watch(Observer):
        def stage_started(self, stage: Stage, progress: Progress) -> None:
            if isinstance(stage, PretrainStage):
                text = next(iter(stage.batches(1))).frames["text"].values
                self.tokens = not text.is_floating_point()

    for labels, expected in (("ground_truth", True), ("pseudo", False)):
        watch = Watch()
        settings = {"text.encoder": bert, "text.finetune": True, "pretrain.labels": labels}
        run = train(file, settings, observer=watch)
        assert watch.tokens == expected
        assert bool(run.best.pretrained.language) == expected
        assert bool(run.best.stage1.language) == expected
    frozen = train(file, {"text.encoder": bert, "pretrain.labels": "ground_truth"})
    assert not frozen.best.pretrained.language


def test_stage_1_of_a_finetuned_model_is_that_of_a_frozen_one(bert: str, file: Path) -> None:
    frozen = train(file, {"text.encoder": bert})
    tuned = train(file, {"text.encoder": bert, "text.finetune": True})
    tiny_data.assert_same_state(
        dict(frozen.best.stage1.state_dict()), dict(tuned.best.stage1.state_dict())
    )
    data = tricord.load(file)
    one, other = (predict_stage1(run.best, data, "test") for run in (frozen, tuned))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(frozen.predict(file).outputs, tuned.predict(file).outputs)


class Stop(Observer):
    def __init__(self, stage: str) -> None:
        self.stage = stage

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if stage.name == self.stage:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("labels", ["ground_truth", "pseudo"])
def test_resume_of_a_finetuned_run(
    stage: str, labels: str, bert: str, file: Path, tmp_path: Path
) -> None:
    settings = {"text.encoder": bert, "text.finetune": True, "pretrain.labels": labels}
    whole = train(file, settings)
    with pytest.raises(KeyboardInterrupt):
        train(file, settings, tmp_path / "run", observer=Stop(stage))
    resumed = train(file, settings, tmp_path / "run", resume=True)
    tiny_data.assert_same_training(resumed.best, whole.best)


def test_frozen_features_are_computed_once(bert: str, file: Path, cache: Path) -> None:
    ticks: list[tuple[int, int]] = []

    def tick(done: int, total: int) -> None:
        ticks.append((done, total))

    train(file, {"text.encoder": bert}, tick=tick)
    assert {total for _, total in ticks} == {41, 14}  # train and valid; test is sealed
    kept = sorted((cache / "text").iterdir())
    assert len(kept) == 2
    ticks.clear()
    run = train(file, {"text.encoder": bert}, tick=tick)
    assert ticks == []
    run.predict(file)
    assert len(list((cache / "text").iterdir())) == 3


def test_words_and_their_tokens_are_the_same(
    bert: str, splits: dict[str, dict[str, Any]], file: Path, tmp_path: Path
) -> None:
    """Where there is no `text_bert` the words are taken, and not the file's ready features."""
    bare = {
        name: {k: v for k, v in split.items() if k != "text_bert"}
        | {"text": np.zeros((len(split["id"]), 1, 3))}
        for name, split in splits.items()
    }
    write_mmsa(tmp_path / "words.pkl", bare)
    run = train(tmp_path / "words.pkl", {"text.encoder": bert})
    assert run.model.modalities == ("text", "audio", "vision")
    raw = train(file, {"text.encoder": bert, "text.source": "raw"})
    tiny_data.assert_same_state(dict(run.model.state_dict()), dict(raw.model.state_dict()))


def test_tokens_without_an_encoder_are_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"text has tokens but no ready features; name the lang"):
        train(file, {})


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"text.encoder": "./no/such/folder"}, r"folder '\./no/such/folder' does not exist"),
        ({"text.encoder": "surely-not-on-this-machine"}, "it is not on this machine: name a local"),
        ({"text.finetune": True}, r"text\.encoder: a model's name or folder is needed"),
        ({"text.source": "raw"}, r"text\.encoder: a model's name or folder is needed"),
    ],
)
def test_encoders_that_are_not_there(settings: dict[str, Any], match: str, file: Path) -> None:
    with pytest.raises(ConfigError, match=match) as error:
        train(file, settings)
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_no_encoder(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"text encoder '.*empty' cannot be loaded: ") as error:
        train(file, {"text.encoder": str(tmp_path / "empty")})
    assert "\n" not in str(error.value)


def test_tokens_of_another_language_model(sim: Path, bert: str) -> None:
    """The simulated tokens are those of a vocabulary of 21128."""
    with pytest.raises(DataError, match=r"sim\.pkl: split 'train', key 'text_bert': token \d+"):
        train(sim, {"text.encoder": bert})


@pytest.mark.parametrize("finetune", [False, True])
def test_an_encoder_for_a_file_without_text_is_refused(
    finetune: bool, bert: str, splits: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Not silently left out."""
    gone = ("text_bert", "raw_text")
    bare = {n: {k: v for k, v in s.items() if k not in gone} for n, s in splits.items()}
    write_mmsa(tmp_path / "two.pkl", bare)
    with pytest.raises(DataError, match=r"two\.pkl: key 'text' or 'text_bert' not found"):
        train(tmp_path / "two.pkl", {"text.encoder": bert, "text.finetune": finetune})


def test_audio_and_vision_need_no_encoder(
    splits: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    gone = ("text_bert", "raw_text", "regression_labels_T")
    bare = {n: {k: v for k, v in s.items() if k not in gone} for n, s in splits.items()}
    write_mmsa(tmp_path / "two.pkl", bare)
    assert train(tmp_path / "two.pkl", {}).model.modalities == ("audio", "vision")


@pytest.mark.parametrize("finetune", [False, True])
def test_words_alone_are_the_text_where_an_encoder_is_named(
    finetune: bool, bert: str, file: Path, splits: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """The same words as tokens give the same model: nothing else of the text is used."""
    words = {n: {k: v for k, v in s.items() if k != "text_bert"} for n, s in splits.items()}
    write_mmsa(tmp_path / "words.pkl", words)
    settings = {"text.encoder": bert, "text.finetune": finetune}
    alone = train(tmp_path / "words.pkl", settings, tmp_path / "run")
    assert alone.model.modalities == ("text", "audio", "vision")
    assert alone.evaluate().row("text")
    both = train(file, {**settings, "text.source": "raw"})
    assert all(torch.equal(weights_of(both)[k], v) for k, v in weights_of(alone).items())
    later = tricord.load_model(tmp_path / "run").predict(tmp_path / "words.pkl")
    assert np.array_equal(later.outputs, alone.predict(tmp_path / "words.pkl").outputs)


def test_a_model_without_text_trains_and_keeps_no_language_model(
    bert: str, file: Path, tmp_path: Path
) -> None:
    settings = {"text.encoder": bert, "text.finetune": True, "epochs": 1}
    run = tricord.train(file, "tiny", "audio-only", out=tmp_path / "run", settings=settings)
    assert not run.model.language
    after = tricord.load_model(tmp_path / "run").predict(file)
    np.testing.assert_array_equal(after.outputs, run.predict(file).outputs)
