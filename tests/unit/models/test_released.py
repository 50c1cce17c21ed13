"""States with the released parameter names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tiny_bert import WIDTH as BERT_WIDTH
from tiny_bert import make_model
from tricord.errors import ModelError
from tricord.models import CMC, Unimodal

D, C, LAYERS, FEEDFORWARD = 8, 3, 2, 12
WIDTHS = {"l": 5, "a": 3, "v": 4}
State = dict[str, Tensor]


def rows(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def encoder_shapes(letter: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"proj_{letter}.weight": (D, WIDTHS[letter], 1)}
    if letter != "l":
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"norm_{letter}.{part}"] = (WIDTHS[letter],)
        shapes[f"norm_{letter}.num_batches_tracked"] = ()
    for i in range(LAYERS):
        for name, shape in {
            "self_attn.in_proj_weight": (3 * D, D),
            "self_attn.in_proj_bias": (3 * D,),
            "self_attn.out_proj.weight": (D, D),
            "self_attn.out_proj.bias": (D,),
            "linear1.weight": (FEEDFORWARD, D),
            "linear1.bias": (FEEDFORWARD,),
            "linear2.weight": (D, FEEDFORWARD),
            "linear2.bias": (D,),
            "norm1.weight": (D,),
            "norm1.bias": (D,),
            "norm2.weight": (D,),
            "norm2.bias": (D,),
        }.items():
            shapes[f"encoder_{letter}.layers.{i}.{name}"] = shape
    return shapes


def head_shapes(*names: str) -> dict[str, tuple[int, ...]]:
    first, second, out = names
    return {
        **{f"{n}.weight": (D, D) for n in (first, second)},
        **{f"{n}.bias": (D,) for n in (first, second)},
        f"{out}.weight": (C, D),
        f"{out}.bias": (C,),
    }


def fill(shapes: dict[str, tuple[int, ...]]) -> State:
    state: State = {}
    for seed, (name, shape) in enumerate(shapes.items()):
        value = rows(*shape, seed=seed)
        if name.endswith("running_var"):
            value = value.abs() + 0.5
        state[name] = torch.tensor(3) if name.endswith("num_batches_tracked") else value
    return state


def cmc_state() -> State:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, letter in enumerate("lav"):
        shapes |= encoder_shapes(letter)
        shapes |= head_shapes(f"proj1s.{i}", f"proj2s.{i}", f"out_layers.{i}")
    return fill(shapes | {"router.linear.weight": (3, D), "router.linear.bias": (3,)})


def unimodal_state(letter: str = "a") -> State:
    return fill(encoder_shapes(letter) | head_shapes("proj1", "proj2", "out_layer"))


def features(dtype: torch.dtype = torch.float32) -> State:
    named = zip(("text", "audio", "vision"), WIDTHS.values(), strict=True)
    return {name: rows(2, 6, width, seed=width).to(dtype) for name, width in named}


def test_sizes_are_read_from_the_shapes() -> None:
    model = CMC.from_released(cmc_state(), heads=2, temperature=0.3)
    assert model.modalities == ("text", "audio", "vision")
    assert model.widths == {"text": 5, "audio": 3, "vision": 4}
    assert model.temperature == 0.3
    assert model.padding == "ignored"
    assert not model.training
    for part in model.parts.values():
        assert len(part.encoder.layers) == LAYERS
    count = sum(
        v.numel() for k, v in cmc_state().items() if "running" not in k and "num_b" not in k
    )
    assert model.size == count


def test_every_entry_arrives_at_its_place() -> None:
    state = cmc_state()
    model = CMC.from_released(state, heads=2)
    ours = model.state_dict()
    assert len(ours) == len(state)
    for key, place in {
        "proj_l.weight": "unimodal.text.encoder.proj.weight",
        "norm_a.running_var": "unimodal.audio.encoder.norm.running_var",
        "encoder_v.layers.1.norm2.bias": "unimodal.vision.encoder.layers.1.norm2.bias",
        "proj1s.0.weight": "unimodal.text.classifier.proj1.weight",
        "proj2s.1.bias": "unimodal.audio.classifier.proj2.bias",
        "out_layers.2.weight": "unimodal.vision.classifier.out.weight",
        "router.linear.bias": "router.linear.bias",
    }.items():
        assert torch.equal(ours[place], state[key]), key


@pytest.mark.parametrize("convert", [lambda v: v, lambda v: v.numpy(), lambda v: v.numpy()[()]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numpy_and_torch_in_either_precision(convert: Any, dtype: torch.dtype) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in cmc_state().items()}
    model = CMC.from_released({k: convert(v) for k, v in state.items()}, heads=2)
    p = model.predict_features(features(dtype))
    assert p.consensus.dtype == p.votes.dtype == p.weights.dtype == p.h.dtype == dtype
    reference = CMC.from_released(state, heads=2).predict_features(features(dtype))
    assert torch.equal(p.consensus, reference.consensus)
    tracked = model.state_dict()["unimodal.audio.encoder.norm.num_batches_tracked"]
    assert tracked.shape == ()
    assert tracked == 3


def test_read_only_arrays_are_copied() -> None:
    state = {}
    for key, value in cmc_state().items():
        state[key] = value.numpy()
        state[key].flags.writeable = False
    model = CMC.from_released(state, heads=2)
    before = state["router.linear.bias"].copy()
    assert model.router is not None
    with torch.no_grad():
        model.router.linear.bias.add_(1)
    np.testing.assert_array_equal(state["router.linear.bias"], before)


def test_lengths_have_no_effect() -> None:
    model = CMC.from_released(cmc_state(), heads=2)
    without = model.predict_features(features(), lengths=None)
    for length in (0, 1, 6):
        p = model.predict_features(features(), {"text": torch.tensor([length, 6])})
        for part in ("consensus", "votes", "weights", "h"):
            assert torch.equal(getattr(p, part), getattr(without, part))


@pytest.mark.parametrize(
    "key",
    [
        "proj1s.3.weight",
        "norm_x.weight",
        "temperature",
        "router.gate.weight",
        "module.proj_l.weight",
    ],
)
def test_unknown_keys_are_refused_by_name(key: str) -> None:
    with pytest.raises(ModelError, match=f"unknown keys {key}"):
        CMC.from_released(cmc_state() | {key: torch.zeros(1)}, heads=2)


@pytest.mark.parametrize("key", list(cmc_state()))
def test_a_missing_key_is_named(key: str) -> None:
    state = cmc_state()
    del state[key]
    last = key.rpartition("layers." if key.startswith("encoder") else ".")[2]
    with pytest.raises(ModelError, match="missing") as caught:
        CMC.from_released(state, heads=2)
    assert last in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misshapen_entry_is_named() -> None:
    state = cmc_state() | {"encoder_a.layers.1.norm1.bias": torch.zeros(D + 1)}
    with pytest.raises(ModelError, match=r"audio.*norm1\.bias has shape \(9,\), expected \(8,\)"):
        CMC.from_released(state, heads=2)


def test_a_surplus_entry_inside_a_known_module_is_named() -> None:
    state = cmc_state() | {"encoder_a.layers.1.norm3.bias": torch.zeros(D)}
    with pytest.raises(ModelError, match=r"audio.*surplus \['encoder.*norm3\.bias"):
        CMC.from_released(state, heads=2)


@pytest.mark.parametrize(
    ("letter", "width", "norm"), [("l", 5, False), ("a", 3, True), ("v", 4, True)]
)
def test_unimodal_reads_its_modality_from_the_names(letter: str, width: int, norm: bool) -> None:
    model = Unimodal.from_released(unimodal_state(letter), heads=2)
    assert model.encoder.proj.in_channels == width
    assert (model.encoder.norm is not None) is norm
    assert not model.training
    x = rows(2, 4, width, seed=0)
    output = model.predict_features(x)
    assert output.logits.shape == (2, C)
    assert output.h.norm(dim=1).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("prefix", ["text_model.model.", "bert.", "a.b.c.", ""])
def test_a_language_models_keys_become_the_text_encoder(prefix: str) -> None:
    bert = make_model(heads=1)
    state = cmc_state()
    state["proj_l.weight"] = rows(D, BERT_WIDTH, 1, seed=3)
    plain = CMC.from_released(state, heads=2)
    state |= {f"{prefix}{k}": v for k, v in bert.state_dict().items()}
    model = CMC.from_released(state, heads=2)
    assert model.size == plain.size
    assert "text" not in plain.language

    tokens = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    lengths = {"text": torch.tensor([4, 3])}
    x = {k: v for k, v in features().items() if k != "text"}
    p = model.predict_features(x | {"text": tokens}, lengths)

    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        hidden = bert(input_ids=tokens, attention_mask=mask).last_hidden_state
    expected = plain.predict_features(x | {"text": hidden})
    torch.testing.assert_close(p.consensus, expected.consensus)
    torch.testing.assert_close(p.h, expected.h)
    # ready features work beside the language model
    again = model.predict_features(x | {"text": hidden})
    torch.testing.assert_close(again.consensus, expected.consensus)


def test_a_language_models_missing_key_is_named() -> None:
    bert = {f"text_model.model.{k}": v for k, v in make_model(heads=1).state_dict().items()}
    del bert["text_model.model.encoder.layer.1.output.dense.weight"]
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        CMC.from_released(cmc_state() | bert, heads=2)


def test_two_language_models_are_refused() -> None:
    state = make_model(heads=1).state_dict()
    twice = {f"{prefix}.{k}": v for prefix in ("bert", "other") for k, v in state.items()}
    with pytest.raises(ModelError, match=r"unknown keys other\.embeddings"):
        CMC.from_released(cmc_state() | twice, heads=2)


def test_unimodal_is_the_part_of_the_whole() -> None:
    whole = cmc_state()
    part = {k: v for k, v in whole.items() if k.split(".")[0].endswith("_a")}
    heads = {"proj1s.1": "proj1", "proj2s.1": "proj2", "out_layers.1": "out_layer"}
    for old, new in heads.items():
        for end in ("weight", "bias"):
            part[f"{new}.{end}"] = whole[f"{old}.{end}"]
    unimodal = Unimodal.from_released(part, heads=2)
    x = features()
    h = CMC.from_released(whole, heads=2).predict_features(x).h[:, 1]
    torch.testing.assert_close(unimodal.predict_features(x["audio"]).h, h)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unimodal_from_numpy_keeps_the_dtype(dtype: torch.dtype) -> None:
    state = {
        k: (v.to(dtype) if v.is_floating_point() else v).numpy()
        for k, v in unimodal_state().items()
    }
    model = Unimodal.from_released(state, heads=2)
    assert model.predict_features(rows(2, 4, 3, seed=0).to(dtype)).logits.dtype == dtype


@pytest.mark.parametrize("key", ["proj1s.0.weight", "router.linear.weight", "nonsense"])
def test_unimodal_refuses_unknown_keys_by_name(key: str) -> None:
    with pytest.raises(ModelError, match=f"unknown keys {key}"):
        Unimodal.from_released(unimodal_state() | {key: torch.zeros(1)}, heads=2)


@pytest.mark.parametrize("key", list(unimodal_state()))
def test_unimodal_names_a_missing_key(key: str) -> None:
    state = unimodal_state()
    del state[key]
    with pytest.raises(ModelError, match="missing") as caught:
        Unimodal.from_released(state, heads=2)
    assert key.rpartition(".")[2] in str(caught.value)


def test_unimodal_refuses_two_modalities() -> None:
    state = unimodal_state("a") | unimodal_state("l")
    with pytest.raises(ModelError, match=r"\['audio', 'text'\] found, one modality expected"):
        Unimodal.from_released(state, heads=2)


def test_an_empty_state_is_refused() -> None:
    with pytest.raises(ModelError, match="missing"):
        CMC.from_released({}, heads=2)
    with pytest.raises(ModelError, match="missing"):
        Unimodal.from_released({}, heads=2)
