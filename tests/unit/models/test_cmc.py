"""CMC: sizes, options, what predict_features accepts and refuses."""

from __future__ import annotations

import pytest
import torch

from builders import (
    NO_DROPOUT,
    WIDTHS,
    features,
    random_clips,
    small_config,
    small_model,
    to_batch,
)
from tricord import presets
from tricord.config import RunConfig
from tricord.errors import ConfigError, ModelError
from tricord.models import CMC
from tricord.nn.fusion import parameter_free_fusion
from tricord.types import MODALITIES

LENGTHS = [[3, 4, 2], [1, 2, 5]]
# widths of the published feature files -> parameters outside the language model (Table IV)
SIZES = [
    (presets.ch_sims(), (768, 33, 709), 247_096),
    (presets.ch_sims_v2(), (768, 25, 177), 190_624),
    (presets.mosi(), (768, 5, 20), 108_382),
    (presets.mosei(), (768, 74, 35), 111_238),
]


@pytest.mark.parametrize(
    ("config", "widths", "size"), SIZES, ids=lambda v: getattr(v, "preset", "")
)
def test_sizes_are_those_of_the_paper(
    config: RunConfig, widths: tuple[int, ...], size: int
) -> None:
    model = CMC.from_config(config, dict(zip(MODALITIES, widths, strict=True)))
    assert model.size == size
    assert model.widths == dict(zip(MODALITIES, widths, strict=True))


def test_prediction_is_the_chain_of_its_equations() -> None:
    model = small_model({"finetune.temperature": 1.0}).eval()  # so that PFM mixes a lot
    batch = to_batch(random_clips(LENGTHS))
    p = model(batch)
    for k, name in enumerate(MODALITIES):
        part = model.parts[name](batch.frames[name])
        torch.testing.assert_close(p.h[:, k], part.h)
    fused = parameter_free_fusion(p.h, model.temperature)  # Eq. 10
    for k, name in enumerate(MODALITIES):
        torch.testing.assert_close(p.votes[:, k], model.parts[name].classifier(fused[:, k]))
    assert model.router is not None
    weights = torch.softmax(model.router.linear(fused.sum(dim=1)), dim=1)  # Eq. 12-13
    torch.testing.assert_close(p.weights, weights)
    consensus = sum(weights[:, k, None] * p.votes[:, k] for k in range(3))  # Eq. 14
    torch.testing.assert_close(p.consensus, consensus)


def test_without_fusion_the_votes_are_those_of_the_unimodal_models() -> None:
    model = small_model({"finetune.fusion": "none"}).eval()
    batch = to_batch(random_clips(LENGTHS))
    p = model(batch)
    for k, name in enumerate(MODALITIES):
        alone = model.parts[name](batch.frames[name]).logits
        torch.testing.assert_close(p.votes[:, k], alone)
    assert (p.votes - small_model().eval()(batch).votes).abs().max() > 1e-4


def test_without_router_the_consensus_is_the_plain_mean_of_the_votes_present() -> None:
    model = small_model({"finetune.router": "mean"}).eval()
    p = model(to_batch(random_clips([[3, 4, 2], [1, 0, 5]])))
    assert model.router is None
    torch.testing.assert_close(p.consensus[0], p.votes[0].mean(dim=0))
    torch.testing.assert_close(p.consensus[1], p.votes[1, [0, 2]].mean(dim=0))


def test_with_unimodal_votes_alone_behind_the_same_settings() -> None:
    model, donor = small_model(), small_model(seed=5)
    other = model.with_unimodal(donor.parts).eval()
    p = other(to_batch(random_clips(LENGTHS)))
    assert other.temperature == model.temperature
    torch.testing.assert_close(p.weights, torch.full_like(p.weights, 1 / 3))
    torch.testing.assert_close(p.h, donor.eval()(to_batch(random_clips(LENGTHS))).h)


@pytest.mark.parametrize("names", [["text"], ["audio", "vision"], ["vision", "text", "audio"]])
def test_any_modalities_in_any_order(names: list[str]) -> None:
    widths = {name: WIDTHS[name] for name in names}
    model = CMC.from_config(small_config(), widths)
    assert model.modalities == tuple(names)
    p = model.predict_features({n: torch.randn(2, 3, w) for n, w in widths.items()})
    assert p.votes.shape == (2, len(names), 3)
    assert p.weights.shape == (2, len(names))


def test_a_modality_without_settings_is_refused() -> None:
    with pytest.raises(ConfigError, match="no settings for 'smell'"):
        CMC.from_config(small_config(), {"text": 3, "smell": 4})


def test_any_number_of_classes() -> None:
    labels = {"classes": tuple("abcdefg"), "cuts": (), "low": 0, "high": 6, "polarity": None}
    config = small_config(
        {f"labels.{k}": v for k, v in labels.items()} | {"supcon.labels": "classes"}
    )
    model = CMC.from_config(config, WIDTHS)
    p = model.predict_features({n: torch.randn(2, 3, w) for n, w in WIDTHS.items()})
    assert p.consensus.shape == (2, 7)
    assert p.probabilities.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_predict_features_is_in_evaluation_mode_without_gradients() -> None:
    model = small_model().train()
    features = {name: torch.randn(2, 3, width).double() for name, width in WIDTHS.items()}
    p, q = model.predict_features(features), model.predict_features(features)
    assert torch.equal(p.consensus, q.consensus)
    assert not p.consensus.requires_grad
    assert not model.training


def test_lengths_mask_and_their_absence_means_full() -> None:
    model = small_model()
    clips = random_clips(LENGTHS)
    values, lengths = features(clips, extra=3, filler=9.0)
    p = model.predict_features(values, lengths)
    torch.testing.assert_close(p.consensus, model.eval()(to_batch(clips)).consensus)
    del lengths["vision"]  # the filler becomes frames
    q = model.predict_features(values, lengths)
    torch.testing.assert_close(q.h[:, :2], p.h[:, :2])
    assert (q.h[:, 2] - p.h[:, 2]).abs().max() > 1e-3
    as_lists = {k: v.tolist() for k, v in lengths.items()}
    assert torch.equal(model.predict_features(values, as_lists).h, q.h)


def test_features_of_another_width_are_refused_by_name() -> None:
    features = {n: torch.zeros(2, 3, w) for n, w in WIDTHS.items()}
    features["audio"] = torch.zeros(2, 3, 9)
    with pytest.raises(ModelError, match=r"'audio': shape \(2, 3, 9\) found, expected .* 3\)"):
        small_model().predict_features(features)
    features["audio"] = torch.zeros(2, 3)
    with pytest.raises(ModelError, match=r"'audio': shape \(2, 3\) found"):
        small_model().predict_features(features)


def test_unknown_or_no_modalities_are_refused() -> None:
    model = small_model()
    with pytest.raises(ModelError, match="'smell' found"):
        model.predict_features({"smell": torch.zeros(1, 1, 1)})
    with pytest.raises(ModelError, match="'smell' found"):
        model.predict_features({"text": torch.zeros(1, 1, 6)}, {"smell": torch.ones(1)})
    with pytest.raises(ModelError, match="no modality given"):
        model.predict_features({})


def test_tokens_without_a_language_model_are_refused() -> None:
    with pytest.raises(ModelError, match="'text': tokens found, but there is no language"):
        small_model().predict_features({"text": torch.zeros(2, 3, dtype=torch.long)})


def test_modalities_of_different_numbers_of_clips_are_refused() -> None:
    features = {n: torch.zeros(2, 3, w) for n, w in WIDTHS.items()}
    features["vision"] = torch.zeros(3, 3, 4)
    with pytest.raises(ModelError, match=r"'vision': shape \(3, 3, 4\) found, .*\(2, length, 4\)"):
        small_model().predict_features(features)


def test_a_clip_without_anything_gives_zeros_and_no_nan() -> None:
    p = small_model(NO_DROPOUT).eval()(to_batch(random_clips([[0, 0, 0], [1, 2, 3]])))
    assert not p.h[0].any()
    assert not p.weights[0].any()
    assert p.consensus.isfinite().all()
