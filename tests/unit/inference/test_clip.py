"""From what was measured in clips to predictions, and whether it was measured as it should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_bert
import tiny_data
from fake_extractors import all_three, recipe_of, sound
from measured import encode, features
from tricord.clips.clip import Clip, ClipFeatures
from tricord.clips.recipe import KEY, Recipe
from tricord.data.schema import Dataset
from tricord.errors import DataError, ModelError
from tricord.inference import clip
from tricord.inference.clip import (
    data_of,
    lacking,
    predict_clips,
    predict_features,
    predict_versions,
)
from tricord.inference.predictor import Predictions, predict
from tricord.inference.recipe import check_recipe, recipe_needed
from tricord.models import registry
from tricord.track import Track
from tricord.training.run import load_trained, train_one
from tricord.types import Frames


def test_a_clip_is_predicted_as_in_a_table() -> None:
    trained, table = tiny_data.untrained(), tiny_data.dataset()["test"]
    expected = predict(trained, tiny_data.dataset(), "test")
    measured = []
    for row, name in enumerate(table.ids):
        own = features(name, {m: int(s.lengths[row]) for m, s in table.sequences.items()})
        tracks = {
            m: replace(own.tracks[m], values=s.values[s.offsets[row] : s.offsets[row + 1]])
            for m, s in table.sequences.items()
        }
        measured.append(replace(own, tracks=tracks))
    found = predict_features(trained, measured)
    assert found.ids == table.ids
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    alone = predict_features(trained, measured[4:5])
    np.testing.assert_allclose(alone.weights[0], expected.weights[4], atol=1e-6)


def test_what_a_clip_lacks_has_no_weight() -> None:
    found = predict_features(tiny_data.untrained(), [features(lengths={"audio": 0})])
    assert found.present.tolist() == [[True, False, True]]
    assert found.weights[0, 1] == 0
    assert found.weights.sum() == pytest.approx(1)


def test_what_it_is_predicted_beside_does_not_matter_to_a_clip_without_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model with a language model of its own: special tokens alone are no text."""
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    bert = str(tiny_bert.make_folder(tmp_path / "bert"))
    spoken = tiny_data.dataset()
    words = {n: replace(t, raw_text=("the film",) * len(t)) for n, t in spoken.splits.items()}
    options = {"pretrain.epochs": 1, "finetune.epochs": 1, "text.encoder": bert}
    data = replace(spoken, splits=words)
    trained = train_one(data, tiny_data.config(options), name="cmc", seed=1)
    silent = features("a", {"text": 0}, text=None)
    alone = predict_features(trained, [silent])
    beside = predict_features(trained, [silent, features("b", text="the film is good")])
    assert beside.present.tolist() == [[False, True, True], [True, True, True]]
    assert alone.present[0].tolist() == [False, True, True]
    np.testing.assert_allclose(alone.probabilities[0], beside.probabilities[0], atol=1e-6)


def test_features_carry_words_and_no_label() -> None:
    table = data_of(tiny_data.untrained(), [features(text=None), features("b")])["all"]
    assert table.raw_text == ("", "so it is")
    assert np.isnan(table.scores).all()
    assert table.lengths["audio"].tolist() == [20, 20]


def test_one_clip_that_fails_does_not_stop_the_others() -> None:
    nothing = dict.fromkeys(tiny_data.WIDTHS, 0)

    def measure(found: Clip) -> ClipFeatures:
        if found.id == "broken":
            raise DataError("broken.mp4: cannot be read")
        return features(found.id, nothing if found.id == "empty" else None)

    clips = [Clip(name, Path(f"{name}.mp4")) for name in ("a", "broken", "empty", "b")]
    ticks: list[tuple[int, int]] = []
    found = predict_clips(
        tiny_data.untrained(), clips, measure, lambda done, total: ticks.append((done, total))
    )
    assert [c.id for c in found.clips] == ["a", "b"] == list(found.predictions.ids)
    assert found.failures["broken"] == "broken.mp4: cannot be read"
    assert "empty.mp4: nothing to predict from" in found.failures["empty"]
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(DataError, match=r"broken\.mp4"):
        predict_clips(tiny_data.untrained(), clips[1:3], measure)
    with pytest.raises(DataError, match="no clip"):
        predict_clips(tiny_data.untrained(), [], measure)


def test_too_long_a_clip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "MOST_FRAMES", 19)
    with pytest.raises(DataError, match=r"20 frames of audio found.*--timeline"):
        predict_clips(tiny_data.untrained(), [Clip("a", Path("a.mp4"))], lambda c: features())


# ------------------------------------------------------------------------------ versions of a clip


def versions(clip: ClipFeatures | None = None) -> list[ClipFeatures]:
    """A clip, then without parts of its sound, its pictures and its words, and without each."""
    clip = features(text="the film is good") if clip is None else clip
    found = [clip, *(lacking(clip, name) for name in clip.tracks)]
    for name, parts in (("audio", 4), ("vision", 2)):
        track = clip.tracks[name]
        for out in np.array_split(np.arange(len(track)), parts):
            rest = np.setdiff1d(np.arange(len(track)), out)
            fewer = Track(track.values[rest], track.times[rest], track.columns)
            found.append(replace(clip, tracks={**clip.tracks, name: fewer}))
    tracks = {**clip.tracks, "text": encode("the film")}
    return [*found, replace(clip, text="the film", tracks=tracks)]


def assert_the_same(a: Predictions, b: Predictions) -> None:
    assert (a.ids, a.modalities, a.calibration) == (b.ids, b.modalities, b.calibration)
    np.testing.assert_array_equal(a.present, b.present)
    for name in ("outputs", "votes", "weights"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-6, err_msg=name)
    assert (a.scores is None) == (b.scores is None)
    if a.scores is not None and b.scores is not None:
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model.padding": "ignored"},
        {"model.positions": True, "model.score_head": True},
        {"finetune.router": "evidence", "finetune.fusion": "none"},
        {"labels.head": "regression", "pretrain.labels": "multimodal"},
    ],
    ids=["paper", "padding", "score", "evidence", "regression"],
)
def test_versions_of_a_clip_are_predicted_as_by_themselves(settings: dict[str, Any]) -> None:
    trained, clips = tiny_data.untrained(settings), versions()
    assert_the_same(predict_versions(trained, clips), predict_features(trained, clips))
    assert_the_same(predict_versions(trained, clips[:1]), predict_features(trained, clips[:1]))
    silent = versions(features(lengths={"audio": 0}))[:3]
    assert_the_same(predict_versions(trained, silent), predict_features(trained, silent))


@pytest.mark.parametrize("finetune", [False, True])
def test_versions_of_words_that_the_model_reads_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finetune: bool
) -> None:
    """Of a trained model, whose BatchNorm has statistics; its text is the words, not the track."""
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    spoken = tiny_data.dataset()
    words = {n: replace(t, raw_text=("the film",) * len(t)) for n, t in spoken.splits.items()}
    options: dict[str, Any] = {"pretrain.epochs": 1, "finetune.epochs": 1}
    options["text.finetune"] = finetune
    options["text.encoder"] = str(tiny_bert.make_folder(tmp_path / "bert"))
    data = replace(spoken, splits=words)
    trained = train_one(data, tiny_data.config(options), name="cmc", seed=1)
    clips = versions()
    track = clips[0].tracks["text"]
    clips = [replace(c, tracks={**c.tracks, "text": track}) for c in clips]
    assert_the_same(predict_versions(trained, clips), predict_features(trained, clips))


def test_each_track_is_encoded_once() -> None:
    trained, clips = tiny_data.untrained(), versions()
    seen: dict[str, int] = {}

    def count(name: str) -> Any:
        def hook(module: Any, given: tuple[Frames], found: Any) -> None:
            seen[name] = seen.get(name, 0) + int(given[0].lengths.count_nonzero())

        return hook

    for name, part in trained.model.parts.items():
        part.encoder.register_forward_hook(count(name))
    predict_versions(trained, clips)
    assert seen == {"text": 2, "audio": 5, "vision": 3}  # of 11 versions


def test_a_model_that_does_not_encode_apart_is_applied_to_each_version() -> None:
    config = registry.get("self-mm").config("tiny").with_settings({"epochs": 1})
    trained = train_one(tiny_data.dataset(), config, name="self-mm", seed=1)
    clips = [c for c in versions() if all(len(track) for track in c.tracks.values())]
    assert_the_same(predict_versions(trained, clips), predict_features(trained, clips))


# ------------------------------------------------------------------------------------- the recipe


def with_recipe(recipe: Recipe, **changes: Any) -> Dataset:
    return replace(tiny_data.dataset(), recipe={KEY: {**recipe.model_dump(mode="json"), **changes}})


@pytest.fixture
def recipe() -> Recipe:
    return recipe_of(all_three())


def test_a_run_keeps_its_recipe(recipe: Recipe, tmp_path: Path) -> None:
    config = tiny_data.config({"pretrain.epochs": 1, "finetune.epochs": 1})
    trained = train_one(with_recipe(recipe), config, name="cmc", seed=1, folder=tmp_path / "r")
    assert trained.recipe == recipe
    kept = load_trained(tmp_path / "r")
    assert recipe_needed(kept) == recipe
    about = (tmp_path / "r" / "model.json").read_text()
    (tmp_path / "r" / "model.json").write_text(about.replace('"version": 1,', '"version": 2,', 1))
    with pytest.raises(ModelError, match=r"model\.json"):
        load_trained(tmp_path / "r")


def test_without_a_recipe_nothing_is_kept(tmp_path: Path) -> None:
    config = tiny_data.config({"pretrain.epochs": 1, "finetune.epochs": 1})
    foreign = replace(tiny_data.dataset(), recipe={KEY: "another source's word"})
    trained = train_one(foreign, config, name="cmc", seed=1, folder=tmp_path / "r")
    assert trained.recipe is None
    assert KEY not in trained.about()
    kept = load_trained(tmp_path / "r")
    with pytest.raises(ModelError, match="trained on ready features"):
        recipe_needed(kept)
    assert check_recipe(kept, foreign) == ()


def test_data_of_another_recipe_is_refused(recipe: Recipe) -> None:
    trained = replace(tiny_data.untrained(), recipe=recipe)
    assert check_recipe(trained, with_recipe(recipe)) == ()
    assert check_recipe(trained, tiny_data.dataset()) == ()
    other = replace(sound(), hop=800)
    changed = with_recipe(recipe_of({**all_three(), "audio": other}))
    with pytest.raises(ModelError, match=r"audio: hop 1600 here, 800 there"):
        predict(trained, changed, "test")


def test_another_version_of_a_tool_is_only_said(recipe: Recipe) -> None:
    trained = replace(tiny_data.untrained(), recipe=recipe)
    newer = with_recipe(recipe_of({**all_three(), "audio": sound("2")}))
    (line,) = check_recipe(trained, newer)
    assert "audio: tools.numpy 1 here, 2 there" in line
    assert len(predict(trained, newer, "test").ids) == 12


def test_a_modality_that_one_of_them_lacks_is_no_difference(recipe: Recipe) -> None:
    trained = replace(tiny_data.untrained(), recipe=recipe)
    without = {name: part for name, part in all_three().items() if name != "vision"}
    assert check_recipe(trained, with_recipe(recipe_of(without))) == ()
