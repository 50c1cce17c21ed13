"""Figure 6: which clips are chosen, that the paths are those of training, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_bert
import tiny_data
from tricord import api
from tricord.config import RunConfig, TextConfig
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, TricordError
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.figure6 import Figure6
from tricord.experiments.reproduce.figure6_cases import gather
from tricord.experiments.reproduce.frame_words import fitted, frame_words
from tricord.experiments.reproduce.label_paths import Choice, LabelPaths, choose, follow
from tricord.experiments.reproduce.work import Context
from tricord.features.text import TextSource
from tricord.training.cmc import TrainedCMC
from tricord.training.loop import Stage
from tricord.training.session import Session

SETTINGS = {**tiny_data.SETTINGS, **tiny_data.MOVING, "modalities.layers": 1, "modalities.heads": 2}
ALL = np.ones(3, dtype=np.bool_)
IDS = ("c", "b", "a")


@pytest.fixture(autouse=True)
def no_cache_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))


def soft(*paths: list[list[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(E + 1, N, 3) of N paths of (E + 1, 3)."""
    return np.array(paths).transpose(1, 0, 2)


NEGATIVE, NEUTRAL, POSITIVE = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def test_the_first_to_leave_and_stay_away_is_chosen_in_each_direction() -> None:
    returned = [POSITIVE, NEGATIVE, POSITIVE, [0.8, 0.0, 0.2]]  # away from epoch 3 on
    second = [POSITIVE, POSITIVE, [0.6, 0.0, 0.4], [0.7, 0.0, 0.3]]
    up = [NEGATIVE, NEGATIVE, NEGATIVE, [0.1, 0.7, 0.2]]
    found = choose(soft(returned, second, up), ALL, IDS, ordered=True)
    assert found == [Choice(1, "down", 2, 0, 2), Choice(2, "up", 0, 1, 3)]


def test_among_equals_most_mass_then_the_first_id() -> None:
    weak, strong = [POSITIVE, [0.6, 0.0, 0.4]], [POSITIVE, [0.9, 0.0, 0.1]]
    assert choose(soft(strong, weak, weak), ALL, IDS, ordered=True)[0].row == 0
    assert choose(soft(weak, strong, strong), ALL, IDS, ordered=True)[0].row == 2


def test_where_none_left_the_nearest_is_shown_as_one_that_stayed() -> None:
    near, far, still = [NEUTRAL, [0.4, 0.6, 0.0]], [NEUTRAL, [0.1, 0.9, 0.0]], [NEUTRAL, NEUTRAL]
    found = choose(soft(far, near, still), ALL, IDS, ordered=True)
    assert found == [Choice(1, "down", 1, 0, None)]


def test_a_clip_that_may_not_be_chosen_is_not() -> None:
    left, near = [POSITIVE, NEGATIVE], [POSITIVE, [0.4, 0.0, 0.6]]
    found = choose(soft(left, near, near), np.array([False, True, False]), IDS, ordered=True)
    assert [choice.row for choice in found] == [1]


def test_classes_without_order_have_one_direction() -> None:
    down, up = [POSITIVE, POSITIVE, NEGATIVE], [NEGATIVE, NEUTRAL, NEUTRAL]
    found = choose(soft(down, up, down), ALL, IDS, ordered=False)
    assert found == [Choice(1, "moved", 0, 1, 1)]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(2, ["not", "good"]), (4, ["[CLS]", "not", "good", "[SEP]"]), (3, None), (0, None)],
)
def test_words_are_named_only_where_they_are_as_many_as_frames(
    frames: int, expected: list[str] | None
) -> None:
    assert fitted(["not", "good"], frames) == expected


def test_no_words_fit_nothing() -> None:
    assert fitted([], 0) is None
    assert fitted([], 2) is None


def test_words_of_a_clip_come_from_its_text_or_its_characters() -> None:
    table = replace(tiny_data.table(rows=2), raw_text=("not good", " 不 高兴"))
    ready = TextSource(TextConfig())
    assert frame_words(ready, table, 0, 2) == ["not", "good"]
    assert frame_words(ready, table, 1, 3) == ["不", "高", "兴"]
    assert frame_words(ready, table, 1, 7) is None
    assert frame_words(ready, replace(table, raw_text=None), 0, 2) is None


def test_a_language_models_own_tokens_are_named(tmp_path: Path) -> None:
    table = replace(tiny_data.table(rows=2), raw_text=("good", "the film is bad"))
    source = TextSource(TextConfig(encoder=str(tiny_bert.make_folder(tmp_path / "bert"))))
    frames = source.features(table, "here").lengths[1]
    found = frame_words(source, table, 1, int(frames))
    assert found == ["[CLS]", "the", "film", "is", "bad", "[SEP]"]


def session(data: Dataset, config: RunConfig) -> Session[RunConfig]:
    return Session(api.checked(data, config), config, name="cmc", seed=1)


def test_the_path_ends_at_the_labels_that_training_hands_to_stage_2(tmp_path: Path) -> None:
    data = tiny_data.dataset((20, 9, 12))
    config = tiny_data.config({**tiny_data.MOVING, "finetune.epochs": 1})
    file, said = tmp_path / "paths.safetensors", list[str]()
    found = follow(session(data, config), "text", file, said.append)
    whole = api.train(data, "tiny", seed=1, config=config).trained[0]
    assert isinstance(whole, TrainedCMC)
    assert torch.equal(found.soft[found.kept], whole.pretrained.labels)
    assert found.soft[0].max(dim=-1).values.eq(1).all()  # Eq. 19: as sure as can be
    assert len(found.soft) == 1 + len(whole.history["pretrain"]) == 1 + len(said)
    assert not torch.equal(found.soft[0], found.soft[-1])
    tiny_data.assert_same_state(found.text, whole.pretrained.unimodal["text"])


def test_paths_that_are_kept_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, config = tiny_data.dataset((8, 6, 6)), tiny_data.config({"pretrain.epochs": 1})
    file = tmp_path / "paths.safetensors"
    first = follow(session(data, config), "text", file, str)

    def refuse(self: Session[RunConfig], stage: Stage) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Session, "fit", refuse)
    again = follow(session(data, config), "text", file, str)
    assert isinstance(again, LabelPaths)
    tiny_data.assert_same_state(vars(again), vars(first))


def test_frames_of_padding_are_not_shown(tmp_path: Path) -> None:
    data = tiny_data.dataset((12, 6, 6), longest=5)
    config = tiny_data.config({"pretrain.epochs": 1, "model.padding": "ignored"})
    own = session(data, config)
    found = gather(own, follow(own, "text", tmp_path / "paths.safetensors", str), "ch-sims")
    assert found.cases
    for case in found.cases:
        row = data["train"].ids.index(case.id)
        real = data["train"].lengths["text"][row]
        assert len(case.attribution) == len(case.words) == real
        assert not case.named


def test_with_a_language_model_its_tokens_stand_at_the_frames(tmp_path: Path) -> None:
    bert = tiny_bert.make_folder(tmp_path / "bert")
    plain = tiny_data.dataset((12, 6, 6))
    words = {
        name: replace(table, raw_text=("the film is bad",) * len(table))
        for name, table in plain.splits.items()
    }
    data = replace(plain, splits=words)
    config = tiny_data.config({"pretrain.epochs": 1, "text.encoder": str(bert)})
    config = config.with_settings({"text.finetune": False})
    own = session(data, config)
    found = gather(own, follow(own, "text", tmp_path / "paths.safetensors", str), "ch-sims")
    for case in found.cases:
        assert case.words == ["[CLS]", "the", "film", "is", "bad", "[SEP]"]
        assert len(case.attribution) == len(case.words)
    assert found.cases


def context(data: Dataset, out: Path, say: Callable[[str], object] = str) -> Context:
    def train(rows: object, preset: str) -> Any:
        raise TricordError("Figure 6 needs no cells")

    return Context(
        datasets={"ch-sims": data},
        seeds=[1],
        settings_for=lambda model, preset: dict(SETTINGS),
        train=train,
        out=out,
        simulated=data.simulated,
        budget="quick",
        protocol="default",
        say=say,
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the figure writes about simulated data whose words are known."""
    folder = tmp_path_factory.mktemp("out")
    data = tiny_data.dataset((24, 9, 6), shortest=3, longest=3)
    words = {
        name: replace(table, raw_text=("ein|s zwei drei",) * len(table))
        for name, table in data.splits.items()
    }
    Figure6().run(context(replace(data, splits=words, simulation={"about": "a test"}), folder))
    return folder


def test_all_files_say_that_data_are_simulated(out: Path) -> None:
    assert SIMULATED in (out / "fig6.md").read_text(encoding="utf-8")
    assert json.loads((out / "fig6.json").read_text(encoding="utf-8"))["head"] == SIMULATED
    assert "SIMULATED DATA" in (out / "fig6.svg").read_text(encoding="utf-8")
    assert (out / "fig6.png").read_bytes().startswith(b"\x89PNG")


def test_the_result_holds_the_whole_path_of_each_chosen_clip(out: Path) -> None:
    found = json.loads((out / "fig6.json").read_text(encoding="utf-8"))["datasets"]["ch-sims"]
    assert found["down"] + found["up"] == found["moved"]["text"] > 0
    assert found["cases"]
    for case in found["cases"]:
        path = np.array(case["paths"]["text"])
        classes = found["classes"]
        assert path.shape == (found["epochs"] + 1, len(classes))
        assert classes[path[0].argmax()] == case["from"] == case["true"]["multimodal"]
        if case["left_after_epoch"] is not None:
            assert classes[path[found["kept"]].argmax()] == case["to"]
            assert classes[path[case["left_after_epoch"] - 1].argmax()] == case["from"]
        assert case["words"] == ["ein|s", "zwei", "drei"]
        assert case["words_known"]
        assert min(case["attribution"]) > 0


def test_the_page_names_rule_method_and_words(out: Path) -> None:
    text = (out / "fig6.md").read_text(encoding="utf-8")
    for part in ("gradient times input", "Of the clips of train", "`zwei`", "(fig6.svg)"):
        assert part in text


def test_without_a_data_set_of_the_papers_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    own = context(tiny_data.dataset(), tmp_path / "out", str)
    with pytest.raises(ConfigError, match=r"fig6: is about ch-sims, .*; the data are tiny"):
        Figure6().run(replace(own, datasets={"tiny": own.datasets["ch-sims"]}))
    assert not (tmp_path / "out").exists()
