"""SFTTR: encoders and padding, companions, contrast, losses, stages."""

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
from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.features.language import TextEncoder
from tricord.models import registry
from tricord.models.baselines import sfttr, sfttr_companions
from tricord.models.baselines.sfttr import SFTTR
from tricord.models.baselines.sfttr_companions import Companions, contrast
from tricord.models.baselines.sfttr_parts import SequenceEncoder
from tricord.models.baselines.sfttr_stages import FusionStage, UnimodalStage, warm_then_fall
from tricord.training.checkpoint import load_tree, save_tree
from tricord.training.loop import fit
from tricord.training.run import train_one
from tricord.types import Batch, Frames

QUICK = {"width": 8, "feedforward": 8, "cross_feedforward": 8, "cross_heads": 2}
STILL = {"dropout": 0, "close_dropout": 0, "far_dropout": 0, "cross_dropout": 0}


def build(changes: Mapping[str, Any] | None = None) -> SFTTR:
    model = baseline_data.build("sfttr", {**QUICK, **(changes or {})})
    assert isinstance(model, SFTTR)
    return model


def fusion(model: SFTTR, data: Dataset | None = None, batch_size: int = 8) -> FusionStage:
    return FusionStage(model, *baseline_data.loaders(model, data).of(batch_size, tokens=False))


# the network


def test_pieces_have_the_published_sizes() -> None:
    with torch.device("meta"):
        model = SFTTR(sfttr.config("ch-sims"), registry.WIDTHS["ch-sims"])

    def size(module: Any) -> int:
        return sum(p.numel() for p in module.parameters())

    assert size(model.encoders["audio"]) == 8_046_336
    assert size(model.encoders["vision"]) == 5_273_088
    assert size(model.close) + size(model.far) == 1_780_992
    assert size(model.cross) == 5_021_952
    assert size(model.decoder) == 683_521
    assert size(model.mono) == 92_545


@pytest.mark.parametrize(("preset", "mono"), [("ch-sims", True), ("mosi", None), ("mosei", False)])
def test_parts_that_enter_no_loss_do_not_train(preset: str, mono: bool | None) -> None:
    with torch.device("meta"):
        model = SFTTR(sfttr.config(preset), registry.WIDTHS[preset])
    for encoder in model.encoders.values():
        assert isinstance(encoder, SequenceEncoder)
        assert not any(p.requires_grad for p in encoder.unused.parameters())
    trains = None if model.mono is None else any(p.requires_grad for p in model.mono.parameters())
    assert trains is mono


def encoder(changes: Mapping[str, Any] | None = None, longest: int = 5) -> SequenceEncoder:
    """Of 3 numbers a frame, with positions that differ."""
    settings = {**QUICK, "positions.audio": longest, "layers.audio": 2, **(changes or {})}
    torch.manual_seed(0)
    made = SequenceEncoder(baseline_data.settings("sfttr", settings), "audio", 3)
    torch.nn.init.normal_(made.positions)
    return made.double().eval()


def clips(*lengths: int) -> Frames:
    values = torch.randn(sum(lengths), 3, dtype=torch.float64)
    return Frames(values, torch.tensor(lengths))


@torch.no_grad()
def test_a_clip_s_vector_is_that_of_its_own_frames_alone() -> None:
    made, frames = encoder(), clips(2, 5, 0, 4)
    together = made(frames)
    for i, own in enumerate(torch.split(frames.values, frames.lengths.tolist())):
        x = torch.cat([made.class_token[None], made.proj(own)])
        x = (x + made.positions[: len(x)])[None]
        for layer in made.layers:
            x = layer(x)
        torch.testing.assert_close(together[i], made.norm(x)[0].mean(dim=0))


@torch.no_grad()
def test_frames_beyond_the_positions_are_left_out() -> None:
    made, long = encoder(longest=3), clips(5, 2)
    short = Frames(long.values[[0, 1, 2, 5, 6]], torch.tensor([3, 2]))
    assert torch.equal(made(long), made(short))


@torch.no_grad()
def test_padding_from_zero_sums_takes_such_frames_away_but_for_the_first() -> None:
    made, sums = encoder(), encoder({"padding_from": "zero_sum"})
    frames = clips(4, 3)
    frames.values[[0, 2]] = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    found = sums(frames)
    assert not torch.allclose(found[0], made(frames)[0])
    torch.testing.assert_close(found[1], made(frames)[1])
    changed = Frames(frames.values.clone(), frames.lengths)
    changed.values[2] *= 9  # adds up to 0 as before
    torch.testing.assert_close(sums(changed), found)
    changed.values[0] *= 9
    assert not torch.allclose(sums(changed)[0], found[0])


@torch.no_grad()
@pytest.mark.parametrize("padding_from", ["lengths", "zero_sum"])
def test_pooling_over_all_positions_counts_padding(padding_from: str) -> None:
    made = encoder({"pooling": "all_positions", "padding_from": padding_from})
    frames = clips(2, 5, 0)
    padded, mask = frames.pad(5)
    x = torch.cat([made.class_token.expand(3, 1, -1), made.proj(padded)], dim=1) + made.positions
    seen = torch.cat([mask.new_ones(3, 1), mask], dim=1)
    if padding_from == "zero_sum":
        seen[:, 1] = True  # a first frame is never padding
    for layer in made.layers:
        x = layer(x, seen)
    torch.testing.assert_close(made(frames), made.norm(x).mean(dim=1))


@pytest.mark.parametrize("released", [False, True])
def test_a_batch_of_one_and_clips_without_frames_give_numbers_and_gradients(released: bool) -> None:
    model = build()
    if released:
        model = SFTTR(model.config.released(), model.widths)
    for batch in (baseline_data.batch_of(model, 1), baseline_data.batch_of(model, 6, shortest=0)):
        model.train()
        scores = model(batch)
        scores.sum().backward()
        assert scores.shape == (len(batch), 1)
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
        assert model.eval()(batch).isfinite().all()


def test_each_modality_is_needed() -> None:
    with pytest.raises(ConfigError, match="SFTTR needs 'vision' too"):
        SFTTR(sfttr.config("tiny"), {"text": 5, "audio": 3})


def test_the_order_in_which_modalities_are_named_is_nothing() -> None:
    named = build({"modalities": ["vision", "audio", "text"]})
    batch = baseline_data.batch_of(named, 4)
    assert torch.equal(named.eval()(batch), build().eval()(batch))


def test_released_sets_every_oddity() -> None:
    config = sfttr.config("mosi")
    changed = {
        name
        for name in type(config).model_fields
        if getattr(config, name) != getattr(config.released(), name)
    }
    assert changed == {"padding_from", "pooling", "companions", "decayed", "text_vector"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"heads": 5}, "width: a multiple"),
        ({"mono": False}, "mono_weight: must be 0"),
        ({"layers": {"audio": 1}}, "layers.vision: is needed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sfttr.config("ch-sims").with_settings(setting)


# the contrast


def reference_contrast(close: Tensor, far: Tensor, temperature: float) -> Tensor:
    """Of one anchor, (3, 7, h) each, pair by pair over 42 numbered vectors."""
    x = torch.cat([close, far]).flatten(0, 1)
    x = x / x.norm(dim=1, keepdim=True)
    s = (x @ x.T / temperature).exp()
    positives = [(7 * b, 7 * b + k) for b in range(3) for k in (1, 2)]
    positives += [(k, block + k) for block in (7, 14) for k in range(7)]
    negatives: dict[int, list[int]] = {7 * b: [7 * b + k for k in range(3, 7)] for b in range(3)}
    for k in range(7):
        negatives[k] = [*negatives.get(k, []), 21 + k, 28 + k, 35 + k]
    costs = [-torch.log(s[a, p] / (s[a, p] + s[a, negatives[a]].sum())) for a, p in positives]
    assert len(costs) == 20
    return torch.stack(costs).mean()


def test_contrast_is_that_of_the_numbered_pairs() -> None:
    torch.manual_seed(0)
    close, far = torch.randn(2, 3, 7, 5, 4, dtype=torch.float64)
    found = contrast(close, far, 0.5)
    expected = [reference_contrast(close[:, :, b], far[:, :, b], 0.5) for b in range(5)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_contrast_of_equal_vectors_is_known() -> None:
    ones = torch.ones(3, 7, 2, 4, dtype=torch.float64)
    # by number of negatives: the anchor's s_T 7 in 4 pairs, other anchors 4 in 4, others 3 in 12
    expected = (4 * math.log(8) + 4 * math.log(5) + 12 * math.log(4)) / 20
    torch.testing.assert_close(contrast(ones, ones, 0.5), ones.new_full((2,), expected))


# companions


def companions(**changes: Any) -> Companions:
    return Companions(baseline_data.settings("sfttr", changes))


def listed(found: Companions, row: int) -> list[list[int]]:
    pairs = zip(found.lists[:, row], found.counts[:, row], strict=True)
    return [entries[:count].tolist() for entries, count in pairs]


# one number decides nothing for cosines: angles, in tenths of a right angle
ANGLES = torch.tensor([0.0, 1, 2, 3, 4, 9])
VECTORS = torch.stack([(ANGLES * math.pi / 20).cos(), (ANGLES * math.pi / 20).sin()], dim=1)
SCORES = torch.tensor([1.0, -1, 1, 1, -1, -1])


def test_neighbours_are_clips_by_label_and_place_in_the_ranking() -> None:
    found = companions(reach=1, kept=2)
    found.rank(VECTORS, SCORES)
    assert listed(found, 0) == [[2, 3], [5, 4], [1, 4]]
    assert listed(found, 5) == [[4, 1], [0, 2], [3, 2]]


def test_reach_cuts_the_walk_and_rounding_makes_labels_equal() -> None:
    found = companions(reach=0.5, kept=10)
    found.rank(VECTORS, SCORES)
    assert listed(found, 0) == [[2], [5, 4], [1]]
    scores = torch.tensor([1.0, -0.6, 0.8, 1.4, -1.2, -1])
    found.rank(VECTORS, scores)
    assert listed(found, 0)[0] == []
    found = companions(reach=0.5, match="rounded")
    found.rank(VECTORS, scores)
    assert listed(found, 0) == [[2], [5, 4], [1]]


def test_released_lists_hold_places_and_not_clips() -> None:
    found = companions(reach=1, kept=3, companions="rank_positions")
    found.rank(VECTORS, SCORES)
    # the ranking of clip 5 is 5 4 3 2 1 0: its own label at 0, 1, 4
    assert listed(found, 5) == [[0, 1, 4], [5, 3, 2], [2, 3, 5]]


def test_clips_without_a_label_are_nobody_s_companions_and_have_none() -> None:
    found = companions(reach=1)
    scores = SCORES.clone()
    scores[[1, 2]] = torch.nan
    found.rank(VECTORS, scores)
    assert listed(found, 1) == [[], [], []]
    assert listed(found, 0) == [[3], [5, 4], [4, 5]]


def test_lists_are_the_same_whatever_is_ranked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vectors, scores = torch.randn(23, 4), torch.randint(0, 3, (23,)).float()
    whole, parts = companions(), companions()
    whole.rank(vectors, scores)
    monkeypatch.setattr(sfttr_companions, "_RANKED", 3 * 23)
    parts.rank(vectors, scores)
    assert torch.equal(whole.lists, parts.lists)
    assert torch.equal(whole.counts, parts.counts)


def test_draws_are_two_different_ones_of_each_list() -> None:
    torch.manual_seed(0)
    found = companions(kept=4)
    found.lists = torch.arange(12).view(3, 1, 4).repeat(1, 500, 1)
    found.counts = torch.full((3, 500), 3)
    drawn, complete = found.draw(torch.arange(500))
    assert complete.all()
    pairs = drawn.view(3, 2, 500)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    for kind in range(3):  # each of the three that are filled, and not the fourth
        assert set(pairs[kind].flatten().tolist()) == {4 * kind, 4 * kind + 1, 4 * kind + 2}
        seen = {tuple(p) for p in pairs[kind].T.tolist()}
        assert len(seen) == 6  # every ordered pair


def test_the_only_one_is_drawn_twice_and_none_is_said() -> None:
    found = companions(kept=3)
    found.lists = torch.arange(18).view(3, 2, 3)
    found.counts = torch.tensor([[1, 3], [2, 0], [3, 3]])
    drawn, complete = found.draw(torch.tensor([1, 0]))
    assert complete.tolist() == [False, True]
    assert drawn[:, 0].tolist() == [1] * 6  # the clip itself
    assert drawn[:2, 1].tolist() == [0, 0]
    assert set(drawn[2:4, 1].tolist()) == {6, 7}


# losses


def with_scores(batch: Batch, change: Mapping[tuple[int, int], float]) -> Batch:
    scores = batch.scores.clone()
    for place, value in change.items():
        scores[place] = value
    return replace(batch, scores=scores)


def seven(model: SFTTR) -> Batch:
    """Two anchors and twelve companions."""
    return baseline_data.batch_of(model, 14)


def test_losses_are_weighted_and_companions_count_where_told() -> None:
    model = build(STILL)
    clips, both = seven(model), torch.tensor([True, True])
    losses = fusion(model).losses(clips, both)
    errors = (model(clips)[:, 0] - clips.scores[:, 0]).square()
    torch.testing.assert_close(losses["prediction"], errors.mean())
    assert model.mono is not None
    close, far = model.split(clips)
    mono = [
        (model.mono(part)[:, 0] - clips.scores[:, column]).square().mean()
        for part, column in zip([*close, *far], [0, 0, 0, 1, 2, 3], strict=True)
    ]
    torch.testing.assert_close(losses["mono"], torch.stack(mono).mean())
    total = losses["prediction"] + 0.1 * losses["contrast"] + 0.01 * losses["mono"]
    torch.testing.assert_close(losses["loss"], total)
    anchors = build({**STILL, "train_companions": False, "mono": False, "mono_weight": 0})
    losses = fusion(anchors).losses(clips, both)
    errors = (anchors(clips)[:2, 0] - clips.scores[:2, 0]).square()
    torch.testing.assert_close(losses["prediction"], errors.mean())
    assert set(losses) == {"loss", "prediction", "contrast"}


def test_what_is_unknown_or_has_no_companions_is_left_out() -> None:
    model = build(STILL)
    stage = fusion(model)
    clips = seven(model)
    unknown = with_scores(clips, {(0, 0): torch.nan, (0, 2): torch.nan, (1, 3): torch.nan})
    second = torch.tensor([False, True])
    losses = stage.losses(unknown, second)
    used = list(range(3, 14, 2))  # the second anchor's companions; it has a label itself
    errors = (model(clips)[:, 0] - clips.scores[:, 0]).square()
    torch.testing.assert_close(losses["prediction"], errors[[1, *used]].mean())
    close, far = (x[:, 1::2].unsqueeze(2) for x in model.split(clips))
    torch.testing.assert_close(losses["contrast"], contrast(close, far, 0.5)[0])
    # vision of clip 1 falls back on its multimodal score
    told = with_scores(clips, {(1, 3): float(clips.scores[1, 0])})
    both = torch.tensor([True, True])
    again = stage.losses(with_scores(clips, {(1, 3): torch.nan}), both)
    torch.testing.assert_close(again["mono"], stage.losses(told, both)["mono"])
    # no part of an absent modality is asked for a score
    present = clips.present.clone()
    present[4, 1] = False
    other = with_scores(clips, {(4, 2): 3.0})
    with_other, without = (
        stage.losses(replace(c, present=present), both)["mono"] for c in (other, clips)
    )
    torch.testing.assert_close(with_other, without)
    none = stage.losses(unknown, torch.tensor([False, False]))
    assert none["contrast"].item() == 0
    assert none["loss"].item() > 0


def test_unimodal_stages_learn_their_own_score_of_clips_that_have_the_modality() -> None:
    model = build(STILL)
    loaders = baseline_data.loaders(model).of(8, tokens=False)
    stage = UnimodalStage(model, "audio", *loaders)
    batch = with_scores(baseline_data.batch_of(model, 5), {(1, 2): torch.nan, (2, 2): torch.nan})
    present = batch.present.clone()
    present[3, 1] = False
    batch = replace(with_scores(batch, {(2, 0): torch.nan}), present=present)
    goal = batch.scores[[0, 1, 4], 2].where(torch.tensor([True, False, True]), batch.scores[1, 0])
    errors = stage.model(batch)[[0, 1, 4], 0] - goal
    torch.testing.assert_close(stage.loss(batch)["loss"], errors.square().mean())
    torch.testing.assert_close(stage._evaluate(batch, 1)["loss"], errors.abs().mean())


# stages


def test_rates_rise_and_fall_in_a_line() -> None:
    share = warm_then_fall(4, 12)
    assert [share(n) for n in (0, 1, 4, 8, 12, 13)] == [0, 0.25, 1, 0.5, 0, 0]
    assert warm_then_fall(0, 10)(0) == 1


def test_a_stage_s_rate_follows_its_updates() -> None:
    model = build({"epochs": 4, "rates.other.lr": 0.01, "accumulate": 2, "batch_size": 8})
    stage = fusion(model)  # 20 clips: 3 batches, 2 updates an epoch, 2 of 8 updates to warm up
    assert stage.schedulers[0].get_last_lr()[0] == 0
    fit_epochs(stage, 1)
    assert stage.schedulers[0].get_last_lr()[0] == pytest.approx(0.01)
    fit_epochs(stage, 2)
    assert stage.schedulers[0].get_last_lr()[0] == pytest.approx(0.01 * 4 / 6)


def fit_epochs(stage: Any, epoch: int) -> None:
    stage.begin_epoch(epoch)
    for batch in stage.batches(epoch):
        stage.step(batch)
    stage.end_batches()


@pytest.mark.parametrize(("decayed", "norms"), [("weights", False), ("released", True)])
def test_decay_spares_biases_and_norms(decayed: str, norms: bool) -> None:
    model = build({"decayed": decayed})
    stage = fusion(model)
    decay = {
        id(p): g["weight_decay"] > 0 for g in stage.optimizers[0].param_groups for p in g["params"]
    }
    found = {name: decay[id(p)] for name, p in model.named_parameters() if id(p) in decay}
    assert len(found) == sum(p.requires_grad for p in model.parameters())
    assert found["encoders.audio.proj.weight"]
    assert found["encoders.audio.layers.0.norm1.weight"] is norms
    assert not found["encoders.audio.proj.bias"]
    assert not found["cross.text.layers.0.norm1.weight"]


def test_adam_with_amsgrad_where_the_original_has_it() -> None:
    model = build({"pretraining.vision.optimizer": "adam", "decayed": "released"})
    loaders = baseline_data.loaders(model).of(8, tokens=False)
    vision, audio = (UnimodalStage(model, n, *loaders).optimizers[0] for n in ("vision", "audio"))
    assert type(vision) is torch.optim.Adam
    assert all(g["amsgrad"] and g["weight_decay"] == 1e-3 for g in vision.param_groups)
    assert type(audio) is torch.optim.AdamW


def test_stages_come_one_by_one_and_ready_text_has_none() -> None:
    trained = train_one(
        tiny_data.dataset(),
        baseline_data.settings("sfttr", {**QUICK, "epochs": 2, "select": "mae"}),
        name="sfttr",
        seed=1,
    )
    assert list(trained.history) == ["vision", "audio", "fusion"]
    assert [len(rows) for rows in trained.history.values()] == [2, 2, 2]
    assert {"train_prediction", "train_contrast", "train_mono"} <= set(trained.history["fusion"][0])


def test_unimodal_training_changes_its_encoder_and_nothing_else() -> None:
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stage = UnimodalStage(model, "audio", *baseline_data.loaders(model).of(8, tokens=False))
    fit(stage)
    changed = tiny_data.differs(before, model.state_dict())
    assert changed
    assert all(name.startswith("encoders.audio.") for name in changed)
    assert not any("unused" in name for name in changed)


@pytest.mark.parametrize(("select", "name"), [("mae", "valid_loss"), ("accuracy", "valid_mae")])
def test_the_kept_epoch_is_best_by_what_is_selected(select: str, name: str) -> None:
    model = build({"select": select, "epochs": 6, "keep_from": 3, "rates.other.lr": 0.01})
    stage = fusion(model)
    rows = fit(stage)
    assert name in rows[0]
    if select == "accuracy":
        assert all(row["valid_loss"] == pytest.approx(1 - row["valid_accuracy"]) for row in rows)
    late = [row for row in rows if row["epoch"] >= 3]
    assert stage.best.epoch == min(late, key=lambda row: row["valid_loss"])["epoch"]


def test_an_epoch_is_kept_where_there_are_fewer_than_keep_from() -> None:
    stage = fusion(build({"epochs": 2, "keep_from": 11}))
    fit(stage)
    assert stage.best.epoch == 2


def test_fusion_learns() -> None:
    model = build({**STILL, "epochs": 15, "rates.other.lr": 1e-2, "reach": 1})
    rows = fit(fusion(model))
    assert rows[-1]["train_prediction"] < 0.5 * rows[0]["train_prediction"]


def test_companions_are_ranked_again_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = fusion(build({"epochs": 5, "refresh": 2}))
    due: list[Any] = []
    monkeypatch.setattr(stage.companions, "rank", lambda *given: due.append(given))
    for epoch in range(1, 6):
        stage.begin_epoch(epoch)
    assert len(due) == 3
    vectors, scores = due[0]
    assert vectors.shape == (20, 5 + 2 * 8)
    assert torch.equal(scores, stage.train.table.scores[:, 0])


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_resumed_fusion_has_the_same_bits(epoch: int, tmp_path: Path) -> None:
    settings = {"epochs": 4, "refresh": 2, "reach": 1, "keep_from": 2}

    def fresh() -> FusionStage:
        torch.manual_seed(3)
        return fusion(build(settings))

    whole, kept = fresh(), baseline_data.Kept()
    fit(whole, checkpoint=kept)
    assert all(int(n) for n in whole.companions.counts.sum(dim=1))  # something is drawn
    save_tree(tmp_path / "state", kept.states[epoch - 1])
    rest = fresh()
    torch.manual_seed(99)
    fit(rest, checkpoint=baseline_data.Kept([load_tree(tmp_path / "state")]))
    tiny_data.assert_same_state(baseline_data.after(rest), baseline_data.after(whole))
    assert torch.equal(rest.companions.lists, whole.companions.lists)


# with a language model


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert.make_folder(tmp_path_factory.mktemp("bert")))


def with_words() -> Dataset:
    data = tiny_data.dataset((10, 5, 4))
    words = ("the film is good", "bad", "not good")
    splits = {
        name: replace(t, raw_text=tuple(words[i % 3] for i in range(len(t))))
        for name, t in data.splits.items()
    }
    return replace(data, splits=splits)


def text_settings(bert: str) -> dict[str, Any]:
    text = {"text.encoder": bert, "text.source": "raw", "text.finetune": True, "text.lr": 1e-3}
    return {**QUICK, **text, "pretraining.text.epochs": 3, "epochs": 2, "unfrozen": "last_layer"}


def test_a_language_model_has_a_stage_and_stands_still_in_fusion(bert: str) -> None:
    config = baseline_data.settings("sfttr", text_settings(bert))
    trained = train_one(with_words(), config, name="sfttr", seed=1)
    assert list(trained.history) == ["text", "vision", "audio", "fusion"]
    start = TextEncoder.from_pretrained(bert).state_dict()
    language = trained.model.language["text"]
    changed = tiny_data.differs(start, language.state_dict())
    assert changed
    assert all(".encoder.layer.1." in name for name in changed)  # the last of two
    assert not any(p.requires_grad for p in language.parameters())


def language_model(bert: str, changes: Mapping[str, Any] | None = None) -> Any:
    model = baseline_data.build("sfttr", {**text_settings(bert), **(changes or {})})
    model = SFTTR(model.config, {**model.widths, "text": tiny_bert.WIDTH})
    loaders = baseline_data.loaders(model, with_words())
    model.language["text"] = loaders.release_encoder()
    return model, loaders


def test_a_language_model_trains_after_a_third_of_the_epochs(bert: str) -> None:
    model, loaders = language_model(bert, {"pretraining.text.epochs": 7, "unfrozen": "all"})
    stage = next(iter(model.stages(loaders)))
    assert stage.name == "text"
    frozen = []
    for epoch in range(1, 8):
        stage.begin_epoch(epoch)
        frozen.append(not any(p.requires_grad for p in model.language.parameters()))
    assert frozen == [True, True, False, False, False, False, False]
    rates = {g["lr"] for g in stage.optimizers[0].param_groups if g["initial_lr"] == 1e-3}
    assert rates == {0.0}  # its own rate, at the start of the warm-up


def test_fusion_reads_each_text_once_through_the_pooler(bert: str) -> None:
    model, loaders = language_model(bert)
    stage = FusionStage(model, *loaders.of(4, tokens=True))
    encoder = model.language["text"]
    assert not any(p.requires_grad for p in encoder.parameters())
    stage.begin_epoch(1)
    batch = loaders.table("train", tokens=True).fetch(np.arange(10))
    model.eval()
    frames = batch.frames["text"]
    padded, mask = frames.pad()
    with torch.no_grad():
        expected = encoder.model(padded, attention_mask=mask.long()).pooler_output
        found = model.sentence(batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(stage._texts["train"], expected, atol=1e-5, rtol=0)
    del model.language["text"]  # no batch needs it any more
    for anchors in stage.batches(1):
        assert stage.loss(anchors)["loss"].isfinite()
    assert stage._valid_means(1)["loss"].isfinite()
