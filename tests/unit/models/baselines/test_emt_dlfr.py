"""EMT-DLFR: two views, missing frames, what is left out, what selects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import baseline_data
import tiny_bert
import tiny_data
from tricord.data.batching import TensorTable
from tricord.data.corrupt import draw_kept
from tricord.data.schema import FeatureTable, Ragged
from tricord.errors import ConfigError
from tricord.features.language import TextEncoder
from tricord.inference.predictor import predict
from tricord.models import registry
from tricord.models.baselines.emt_dlfr import GLOBAL, EmtDlfr, EmtDlfrStage
from tricord.models.baselines.missing import draws, drop, kept_name, without_ends
from tricord.training.loop import fit
from tricord.training.run import load_trained, train_one
from tricord.types import MODALITIES, Batch, Frames

NAME = "emt-dlfr"
TOTAL = {"select": "total"}
MISSING = {"missing": 0.5}
# parameters by the modules that the published table lists
PIECES = {
    "ch-sims": {
        "readers.audio": 3_264,
        "readers.vision": 95_104,
        "shared": 25_088,
        "exchange.block": 21_088,
        "exchange.pool": 9_409,
        "similarity.global": 9_312 + 24_928,
        "similarity.text": 590_592 + 394_496,
        "similarity.audio": 272 + 288,
        "similarity.vision": 1_056 + 1_088,
        "reconstruct": 25_344 + 1_089 + 23_397,
        "head": 299_777,
    },
    "mosei": {
        "readers.audio": 5_888,
        "readers.vision": 8_832,
        "shared": 104_448,
        "exchange.block": 330_112,
        "exchange.pool": 148_225,
        "similarity.global": 147_840 + 98_944,
        "similarity.text": 590_592 + 394_496,
        "similarity.audio": 272 + 288,
        "similarity.vision": 1_056 + 1_088,
        "reconstruct": 99_072 + 9_546 + 4_515,
        "head": 170_369,
    },
}


def build(settings: Mapping[str, Any] | None = None) -> EmtDlfr:
    made: EmtDlfr = baseline_data.build(NAME, settings)
    return made


def stage_of(settings: Mapping[str, Any] | None = None) -> EmtDlfrStage:
    made: EmtDlfrStage = baseline_data.first_stage(build(settings))
    return made


def rows_of(model: EmtDlfr, table: FeatureTable, rows: list[int]) -> Batch:
    sequences = model.inputs(table, table.sequences)
    tensors = TensorTable(table, model.config.labels, sequences=sequences)
    return tensors.fetch(torch.tensor(rows))


def gradients(model: EmtDlfr) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("preset", registry.WIDTHS)
def test_size_is_the_published_one(preset: str) -> None:
    entry = registry.get(NAME)
    model = entry.build(entry.config(preset), registry.WIDTHS[preset])
    assert model.size == entry.published[preset]
    for name, size in PIECES.get(preset, {}).items():
        assert sum(p.numel() for p in model.get_submodule(name).parameters()) == size, name


@pytest.mark.parametrize("vector", ["first", "mean"])
@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_a_clip_does_not_depend_on_its_batch(vector: str, missing: float) -> None:
    model = build({"missing": missing, "depth": 2, "text_vector": vector}).eval()
    table = tiny_data.table(rows=12, shortest=0, longest=6)
    assert all((s.lengths == 0).any() for s in table.sequences.values())
    together = model(rows_of(model, table, list(range(12))))
    alone = torch.cat([model(rows_of(model, table, [row])) for row in range(12)])
    assert bool(together.isfinite().all())
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("settings", [{}, MISSING, {"second_view": "always"}])
def test_one_clip_without_any_frame_trains(settings: Mapping[str, Any]) -> None:
    stage = stage_of({**settings, **TOTAL})
    table = tiny_data.table(rows=1, longest=0, shortest=0)
    batch = rows_of(stage.model, table, [0])
    loss = stage.loss(batch)["loss"]
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(g.isfinite().all()) for g in gradients(stage.model).values())
    with torch.no_grad():
        assert math.isfinite(stage._evaluate(batch, 1)["loss"])


@pytest.mark.parametrize("modalities", [("text",), ("audio", "vision")])
def test_fewer_modalities(modalities: tuple[str, ...]) -> None:
    widths = {name: tiny_data.WIDTHS[name] for name in modalities}
    model = EmtDlfr(baseline_data.settings(NAME, MISSING), widths)
    table = tiny_data.table(rows=4, widths=widths)
    batch = rows_of(model, table, [0, 1, 2, 3])
    complete, missing = model.views(batch)
    assert list(complete.vectors) == [*modalities, GLOBAL]
    total = model.attraction(complete, missing) + model.reconstruction(complete, missing, batch)
    assert bool(total.isfinite())


def test_with_nothing_missing_there_is_one_view() -> None:
    stage = stage_of()
    batch = baseline_data.batch_of(stage.model, 6)
    assert list(batch.frames) == list(MODALITIES)
    complete, missing = stage.model.train().views(batch)
    assert complete is missing
    once = stage.loss(batch)
    once["loss"].backward()
    first = gradients(stage.model)
    stage.model.zero_grad()
    stage.model.config = stage.model.config.with_settings({"second_view": "always"})
    complete, missing = stage.model.views(batch)
    assert complete is not missing
    twice = stage.loss(batch)
    twice["loss"].backward()
    again = gradients(stage.model)
    for name, value in once.items():
        torch.testing.assert_close(value, twice[name])
    assert first.keys() == again.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, again[name], msg=name)
    complete, missing = stage.model.eval().views(batch)
    assert complete is missing


@pytest.mark.parametrize("name", ["attention_dropout", "feedforward_dropout", "head_dropout"])
def test_dropout_makes_two_views(name: str) -> None:
    model = build({name: 0.5}).train()
    complete, missing = model.views(baseline_data.batch_of(model, 6))
    assert not torch.equal(complete.scores, missing.scores)


@torch.no_grad()
def test_total_is_the_sum_of_its_parts() -> None:
    stage = stage_of({**MISSING, "attract": 0.3, "reconstruct": 0.7})
    batch = baseline_data.batch_of(stage.model, 6)
    stage.model.eval()
    found = stage.loss(batch)
    complete, missing = stage.model.views(batch)
    label = batch.scores[:, :1]
    expected = (missing.scores - label).abs().mean() + 0.3 * (
        stage.model.attraction(complete, missing) + (complete.scores - label).abs().mean()
    )
    expected = expected + 0.7 * found["reconstruct"]
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["score"], (stage.model(batch) - label).abs().mean())
    assert float(found["reconstruct"]) > 0


@torch.no_grad()
def test_what_is_missing_is_not_seen_but_reconstructed() -> None:
    stage = stage_of(MISSING)
    model = stage.model.eval()
    batch = baseline_data.batch_of(model, 8)
    changed = dict(batch.frames)
    for name in MODALITIES:
        kept = batch.frames[kept_name(name)].values
        assert 0 < int(kept.sum()) < len(kept)
        values = torch.where(kept[:, None], batch.frames[name].values, 99.0)
        changed[name] = replace(batch.frames[name], values=values)
    other = replace(batch, frames=changed)
    assert torch.equal(model(batch), model(other))
    views, others = model.views(batch), model.views(other)
    assert not torch.equal(views[0].scores, others[0].scores)
    found, far = (model.reconstruction(*v, b) for v, b in ((views, batch), (others, other)))
    assert float(far) > float(found) + 10


def test_reconstruction_by_hand() -> None:
    model = build(MISSING).eval()
    batch = baseline_data.batch_of(model, 8)
    complete, missing = model.views(batch)
    expected = torch.zeros(())
    for name in MODALITIES:
        gone = ~batch.frames[kept_name(name)].values
        target = model.read(batch, missing=False)[name].values
        error = (model.reconstruct[name](missing.frames[name]) - target).abs()[gone]
        expected += torch.where(error < 1, error.square() / 2, error - 0.5).mean()
    torch.testing.assert_close(model.reconstruction(complete, missing, batch), expected)


def test_what_is_reconstructed_towards_gets_no_gradient() -> None:
    model = build(MISSING)
    batch = baseline_data.batch_of(model, 8)
    complete, missing = model.views(batch)
    leaves = {
        name: replace(x, values=x.values.clone().requires_grad_())
        for name, x in complete.inputs.items()
    }
    model.reconstruction(replace(complete, inputs=leaves), missing, batch).backward()
    assert all(x.values.grad is None for x in leaves.values())
    assert model.reconstruct["text"].weight.grad is not None


@torch.no_grad()
def test_an_absent_modality_is_a_vector_of_zeros() -> None:
    model = build({"vectors": {"audio": 3, "vision": 5}}).eval()  # no identity behind the LSTM
    batch = baseline_data.batch_of(model, 10, shortest=0)
    vectors = model.views(batch)[0].vectors
    for name in MODALITIES:
        absent = batch.frames[name].lengths == 0
        assert absent.any()
        assert torch.equal(vectors[name].any(dim=1), ~absent)


def test_missing_frames_are_0_once_standardised() -> None:
    stage = stage_of(MISSING)
    batch = baseline_data.batch_of(stage.model, 8)
    found = stage.model.read(batch, missing=True)
    for name in MODALITIES:
        gone = ~batch.frames[kept_name(name)].values
        assert not found[name].values[gone].any()
        assert found[name].values[~gone].all()


def test_standardisation_is_that_of_train() -> None:
    stage = stage_of()
    assert list(stage.model.scales) == ["audio", "vision"]
    for name in ("audio", "vision"):
        frames = stage.train.table.sequences[name].values
        found = stage.model.get_submodule(f"scales.{name}")(
            Frames(frames, torch.tensor([len(frames)]))
        )
        torch.testing.assert_close(found.values.mean(dim=0), torch.zeros(frames.shape[1]))
    assert "scales.audio.mean" in stage.state_dict()["members"]["model"]


def test_absent_modalities_are_not_drawn_together() -> None:
    model = build().eval()
    batch = baseline_data.batch_of(model, 10, shortest=0)
    complete, _ = model.views(batch)
    expected = torch.zeros(())
    for name, vectors in complete.vectors.items():
        here = torch.ones(10, dtype=torch.bool)
        if name != GLOBAL:
            here = batch.frames[name].lengths > 0
            assert not here.all()
        z, p = model.similarity[name](vectors)
        expected -= torch.nn.functional.cosine_similarity(z, p)[here].mean()
    torch.testing.assert_close(model.attraction(complete, complete), expected)


@torch.no_grad()
def test_unknown_labels_are_left_out() -> None:
    stage = stage_of(TOTAL)
    batch = baseline_data.batch_of(stage.model, 5)
    stage.model.eval()
    nobody = replace(
        batch,
        scores=torch.full_like(batch.scores, math.nan),
        labels=torch.full_like(batch.labels, -1),
    )
    found = stage.loss(nobody)
    assert float(found["score"]) == 0
    torch.testing.assert_close(found["loss"], found["attract"])


@torch.no_grad()
def test_what_selects() -> None:
    stage = stage_of()
    batch = baseline_data.batch_of(stage.model, 5)
    stage.model.eval()
    parts = stage.loss(batch)
    torch.testing.assert_close(stage._evaluate(batch, 1)["loss"], parts["score"])
    stage.model.config = stage.model.config.with_settings(TOTAL)
    found = stage._evaluate(batch, 1)
    torch.testing.assert_close(found["loss"], parts["loss"])
    assert "accuracy" in found


@pytest.mark.parametrize(("preset", "select"), [("ch-sims", "total"), ("mosei", "score")])
def test_released_settings(preset: str, select: str) -> None:
    sound = registry.get(NAME).config(preset)
    config = sound.released()
    assert (sound.draws, sound.second_view, sound.select) == ("own", "where_it_differs", "score")
    assert (config.draws, config.second_view, config.select) == ("share", "always", select)
    assert (config.leftovers, config.first_frame, config.missing) == ("drop", True, 0)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="attention_heads"):
        baseline_data.settings(NAME, {"attention_heads": 3})


def ragged(lengths: list[int]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.arange(offsets[-1]), offsets, max(lengths))


def test_which_frames_are_missing() -> None:
    sequence = ragged([50, 0, 1, 200])
    kept = draw_kept(sequence, 0.7, draws(1, "train"), ends=True)
    assert np.array_equal(kept.offsets, sequence.offsets)
    assert [bool(kept.values[i]) for i in (0, 49, 50, 51, 250)] == [True] * 5
    assert 0.2 < kept.values.mean() < 0.4
    plain = draw_kept(sequence, 0.7, draws(1, "train"), ends=False)
    assert not plain.values[[0, 49, 50, 51, 250]].all()
    none = draw_kept(sequence, 1.0, draws(1, "train"), ends=False)
    assert not none.values.any()


@pytest.mark.parametrize(("how", "alike"), [("own", False), ("share", True)])
def test_splits_share_their_draws_as_released(how: str, alike: bool) -> None:
    model = build({**MISSING, "draws": how})
    table = tiny_data.table(rows=20)
    found = [
        model.inputs(replace(table, name=split), table.sequences)[kept_name("audio")].values
        for split in ("train", "valid", "train")
    ]
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], found[1]) == alike


def test_ends_and_what_is_between() -> None:
    frames = Frames(torch.arange(9.0)[:, None], torch.tensor([0, 4, 1, 2, 2]))
    assert without_ends(frames).values.flatten().tolist() == [1.0, 2.0]
    assert without_ends(frames).lengths.tolist() == [0, 2, 0, 0, 0]
    kept = Frames(torch.arange(9) % 2 == 0, frames.lengths)
    assert drop(frames, kept).values.flatten().tolist() == [0, 0, 2, 0, 4, 0, 6, 0, 8]
    tokens = Frames(torch.arange(9), frames.lengths)
    assert drop(tokens, kept, 5).values.tolist() == [0, 5, 2, 5, 4, 5, 6, 5, 8]


def with_language(settings: Mapping[str, Any]) -> tuple[EmtDlfr, Batch]:
    chosen = {"text_vector": "first", "unknown_token": 1, **settings}
    widths = {**tiny_data.WIDTHS, "text": tiny_bert.WIDTH}
    model = EmtDlfr(baseline_data.settings(NAME, chosen), widths)
    model.language["text"] = TextEncoder(tiny_bert.make_model())
    table = tiny_data.table(rows=6)
    tokens = ragged([5, 4, 3, 2, 6, 3])
    tokens = replace(tokens, values=5 + tokens.values)
    sequences = model.inputs(table, {**table.sequences, "text": tokens})
    tensors = TensorTable(table, model.config.labels, sequences=sequences)
    return model, tensors.fetch(torch.arange(6))


def test_missing_words_are_unknown_tokens() -> None:
    model, batch = with_language({"missing": 0.9})
    model.eval()
    kept = batch.frames["text.kept"]
    assert not kept.values.all()
    tokens = batch.frames["text"]
    unknown = replace(tokens, values=torch.where(kept.values, tokens.values, 1))
    complete, missing = model.views(batch)
    for view, given in ((complete, tokens), (missing, unknown)):
        states = model.language["text"](given)
        starts = tokens.lengths.cumsum(0) - tokens.lengths
        torch.testing.assert_close(view.vectors["text"], states.values[starts])
        assert torch.equal(view.inputs["text"].values, without_ends(states).values)
    loss = model.reconstruction(complete, missing, batch)
    loss.backward()
    assert bool(loss.isfinite())


def test_a_language_model_in_training_makes_two_views() -> None:
    model, batch = with_language({})
    complete, missing = model.train().views(batch)
    assert not torch.equal(complete.scores, missing.scores)
    complete, missing = model.eval().views(batch)
    assert complete is missing


def test_an_unknown_token_must_be_in_the_vocabulary() -> None:
    model, _ = with_language({"missing": 0.5, "unknown_token": tiny_bert.VOCABULARY})
    with pytest.raises(ConfigError, match="unknown_token: 60 found"):
        model.check_unknown_token()


@pytest.mark.parametrize("settings", [{}, {"missing": 0.3, **TOTAL}])
def test_training_lowers_the_error_and_resumes(settings: Mapping[str, Any]) -> None:
    chosen = {"epochs": 5, "batch_size": 20, **settings}
    data = tiny_data.dataset((60, 30, 6))

    def run(kept: baseline_data.Kept) -> tuple[list[dict[str, float]], Mapping[str, Tensor]]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            stage = baseline_data.first_stage(build(chosen), data)
            history = fit(stage, checkpoint=kept)
            return tiny_data.without_seconds(history), baseline_data.after(stage)

    kept = baseline_data.Kept()
    history, state = run(kept)
    assert min(row["valid_loss"] for row in history) < history[0]["valid_loss"]
    assert history[-1]["train_score"] < history[0]["train_score"]
    again, same = run(baseline_data.Kept(kept.states[:2]))
    assert again == history
    tiny_data.assert_same_state(dict(same), dict(state))


def test_every_parameter_learns_where_frames_are_missing() -> None:
    stage = stage_of(MISSING)
    stage.loss(baseline_data.batch_of(stage.model, 8))["loss"].backward()
    still = {n for n, p in stage.model.named_parameters() if p.grad is None or not p.grad.any()}
    # what batch normalisation takes away again
    assert still <= {n for n, _ in stage.model.named_parameters() if n.endswith("project.0.bias")}


def test_a_saved_model_predicts_the_same_with_frames_missing(tmp_path: Path) -> None:
    data = tiny_data.dataset()
    settings = baseline_data.settings(NAME, {**MISSING, "epochs": 1})
    trained = train_one(data, settings, name=NAME, seed=1, folder=tmp_path)
    found = predict(trained, data, "test").outputs
    assert np.array_equal(predict(load_trained(tmp_path), data, "test").outputs, found)
    model: Any = trained.model
    batch = rows_of(model, data["test"], list(range(len(data["test"]))))
    with torch.no_grad():
        complete, missing = model.views(batch)
    np.testing.assert_allclose(found, missing.scores, atol=1e-6)
    assert not np.allclose(found, complete.scores, atol=1e-3)
