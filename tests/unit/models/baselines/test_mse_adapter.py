"""MSE-Adapter: its adapter, its frozen reader, and how it learns to write a score."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

import baseline_data
import tiny_data
import tiny_reader
from tricord.data.batching import TensorTable
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, DataError
from tricord.models import registry
from tricord.models.baselines.mse_adapter import MseAdapter, cosine
from tricord.models.baselines.mse_reader import Answers, Reader, answer, read_answers
from tricord.training.loop import fit
from tricord.types import Batch

NAMES = ("mse-adapter-qwen-1.8b", "mse-adapter-llama2-7b", "mse-adapter-chatglm3-6b")
QWEN, LLAMA, GLM = NAMES
# a prompt that keeps tests fast, and that a taught reader knows
SHORT = {"before": "<", "after": ">", "text.precision": "float32", "text.max_length": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_reader.make_folder(tmp_path_factory.mktemp("reader") / "llama")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader") / "taught"
    return tiny_reader.teach(tiny_reader.make_folder(folder))


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader.from_pretrained(str(folder), precision="float32")


def build(folder: Path, changes: Mapping[str, Any] | None = None, name: str = QWEN) -> MseAdapter:
    model = baseline_data.build(name, {**SHORT, "reader": str(folder), **(changes or {})})
    assert isinstance(model, MseAdapter)
    return model


def batch_of(model: MseAdapter, rows: Sequence[int] = range(6), shortest: int = 1) -> Batch:
    table = tiny_reader.with_words(tiny_data.table(rows=12, shortest=shortest))
    sequences = model.inputs(table, table.sequences)
    tensors = TensorTable(table, model.config.labels, sequences=sequences)
    return tensors.fetch(np.asarray(rows))


def data() -> Dataset:
    return tiny_reader.with_words_in_all(tiny_data.dataset((16, 7, 7)))


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_the_published_ones(name: str) -> None:
    assert registry.sizes(name) == registry.get(name).published
    expected = (1_539_992, 1_331_660) if name == QWEN else (2_820_440, 2_612_108)
    assert [registry.sizes(name)[preset] for preset in ("ch-sims", "mosi")] == list(expected)


def test_published_settings() -> None:
    def of(name: str, preset: str) -> tuple[Any, ...]:
        config: Any = registry.get(name).config(preset)
        return config.batch_size, config.rates["other"].lr, config.horizon

    assert of(QWEN, "ch-sims-v2") == (16, 5e-4, 30)
    assert of(QWEN, "mosi") == (16, 5e-3, 30)
    assert of(LLAMA, "ch-sims") == (8, 5e-5, 40)
    assert of(GLM, "ch-sims-v2") == (8, 5e-5, 80)
    assert of(GLM, "mosei") == (8, 5e-5, 30)


def test_prompts_name_the_labels_range_as_answers_are_written() -> None:
    prompts = {}
    for name, preset in ((QWEN, "mosi"), (LLAMA, "mosi"), (GLM, "ch-sims")):
        config: Any = registry.get(name).config(preset)
        prompts[name] = [config.prompt(part) for part in (config.before, config.after)]
    assert prompts[QWEN][0] == "<Multimodal>"
    assert prompts[QWEN][1].startswith("</Multimodal>")
    assert "[-3.0, +3.0]" in prompts[QWEN][1]
    assert "[-3.0, 3.0]" in prompts[LLAMA][1]
    assert "[-1.0, 1.0]" in prompts[GLM][0]
    assert prompts[GLM][0].endswith("\n\n <多模态>")
    assert prompts[GLM][1] == "</多模态>"


# the reader


def test_reader_is_frozen_and_neither_saved_nor_counted(folder: Path) -> None:
    model = build(folder)
    before, size = list(model.state_dict()), model.size
    weights = copy.deepcopy(model.script.reader.model.state_dict())
    fit(baseline_data.first_stage(model, data()))
    assert list(model.state_dict()) == before
    assert model.size == size == sum(p.numel() for p in model.parameters())
    tiny_data.assert_same_state(dict(model.script.reader.model.state_dict()), dict(weights))
    assert not any(p.requires_grad for p in model.script.reader.model.parameters())


def test_loading_the_reader_leaves_the_generators(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Reader.from_pretrained

    def draws(*args: Any, **options: Any) -> Reader:
        torch.rand(1)  # as for a weight that the file lacks
        return load(*args, **options)

    monkeypatch.setattr(Reader, "from_pretrained", draws)
    model = build(folder)
    before = torch.get_rng_state()
    assert model.script.reader.width == tiny_reader.WIDTH
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_reader_it_is_built_but_neither_trains_nor_predicts() -> None:
    model = baseline_data.build(QWEN)
    assert model.size > 0
    with pytest.raises(ConfigError, match="reader: a causal language model's name or folder"):
        baseline_data.first_stage(model, data())
    with pytest.raises(ConfigError, match="reader: a causal language model's name or folder"):
        model(baseline_data.batch_of(baseline_data.build("early-fusion"), 2))


def test_data_without_words_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="split 'train': key 'raw_text' not found"):
        baseline_data.first_stage(build(folder), tiny_data.dataset())


def test_text_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="this model reads audio, vision; the data has text"):
        registry.get(QWEN).build(registry.get(QWEN).config("mosi"), {"text": 5})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reader_width": 32}, "reader_width: 32 given, but reader .* has 64"),
        ({"begin": "<|start|>"}, "its tokenizer has no token '<|start|>'"),
        ({"new_tokens": 3}, r"new_tokens: 3 given, but reader .* writes '-1.0' with 4"),
        ({"reader": "/nowhere/at-all"}, "does not exist"),
        ({"reader": "no-such/model"}, "cannot be loaded"),
    ],
)
def test_readers_that_do_not_fit(folder: Path, changes: dict[str, Any], message: str) -> None:
    model = build(folder, {"plus": False, **changes})
    with pytest.raises(ConfigError, match=message.replace("|", r"\|")):
        batch_of(model)


def test_weights_that_are_a_program_are_not_loaded(tmp_path: Path) -> None:
    tiny_reader.make_folder(tmp_path)
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Reader.from_pretrained(str(tmp_path))


def test_settings_that_mean_nothing_here() -> None:
    with pytest.raises(ConfigError, match=r"text.encoder: not used by this model"):
        baseline_data.settings(QWEN, {"text.encoder": "bert"})
    with pytest.raises(ConfigError, match=r"modalities: text is not among them"):
        baseline_data.settings(QWEN, {"modalities": ["text", "audio"]})
    with pytest.raises(ConfigError, match=r"hidden.vision: is needed"):
        baseline_data.settings(QWEN, {"hidden": {"audio": 4}})


def test_low_precision_is_close_and_gradients_are_not_in_it(folder: Path) -> None:
    exact, low = build(folder), build(folder, {"text.precision": "bfloat16"})
    assert low.script.reader.embed(torch.tensor([1])).dtype == torch.bfloat16
    expected = exact.answer_loss(batch_of(exact))
    found = low.answer_loss(batch_of(low))
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=0.02)
    found.backward()
    assert low.mix.weight.grad is not None
    assert low.mix.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_writing_is_that_of_the_reader_alone(tmp_path: Path, kind: str) -> None:
    """With words of different lengths side by side, against Hugging Face's own generation."""
    folder = tiny_reader.make_folder(tmp_path, kind, begins=kind == "llama")
    model = build(folder)
    batch = batch_of(model)
    reader = model.script.reader
    with torch.no_grad():
        x, real = model.prompt(batch)
        assert not bool(real.all())
        found = reader.write(x, real, 6)
        for row, (own, here) in enumerate(zip(x, real, strict=True)):
            alone = own[here][None]
            mask = torch.ones(alone.shape[:2], dtype=torch.long)
            expected = reader.model.generate(
                inputs_embeds=alone, attention_mask=mask, max_new_tokens=6, do_sample=False,
                pad_token_id=reader.end,
            )  # fmt: skip
            text = reader.tokenizer.batch_decode(expected, skip_special_tokens=True)[0]
            assert found[row] == text
    assert len(set(found)) > 1


def test_nothing_is_read_after_the_end(taught: Path) -> None:
    reader = Reader.from_pretrained(str(taught), precision="float32")
    x = reader.embed(torch.tensor(reader.tokenizer(["<bbbbxyz>", "<kkkkpqr>"]).input_ids))
    real = torch.ones(x.shape[:2], dtype=torch.bool)
    assert reader.write(x, real, 4) == ["-0.8", "+1.0"]
    ((reader.end,),) = reader.words(["."])
    assert reader.write(x, real, 4) == ["-0..", "+1.."]  # the end stands at all later places


# answers


@pytest.mark.parametrize(
    ("score", "signed", "plain"),
    [(0.8, "+0.8", "0.8"), (-0.4, "-0.4", "-0.4"), (0.0, "+0.0", "0.0"), (-0.04, "+0.0", "0.0")],
)
def test_answers_have_one_decimal(score: float, signed: str, plain: str) -> None:
    assert (answer(score, True), answer(score, False)) == (signed, plain)


def test_answers_are_read_as_published() -> None:
    texts = ["+0.8", " -1.2\n", "—0.6", "一0.4", "－0.2", ":0.5", "(1.0)", "2", "1/"]
    scores, readable = read_answers(texts)
    assert scores.tolist() == pytest.approx([0.8, -1.2, -0.6, -0.4, -0.2, 0.5, 1.0, 2.0, 1.0])
    assert bool(readable.all())


def test_what_is_no_number_is_zero() -> None:
    texts = ["", "nan", "inf", "1e5", "1_0", "0.4x", "- 0.4", "--1", ".", "good"]
    scores, readable = read_answers(texts)
    assert not bool(readable.any())
    assert not bool(scores.any())


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize("pad", [None, 0])
def test_every_answer_is_read_back(reader: Reader, plus: bool, pad: int | None) -> None:
    labels = baseline_data.settings(QWEN).labels
    answers = Answers(reader, labels, plus=plus, room=4, pad=pad)
    scores = torch.arange(-10, 11) / 10
    tokens, _ = answers.of(scores)
    texts = reader.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    found, readable = read_answers(texts)
    assert bool(readable.all())
    assert torch.allclose(found, scores)


def test_short_answers_end_and_the_rest_does_not_count(reader: Reader) -> None:
    labels = baseline_data.settings(QWEN).labels
    tokens, counted = Answers(reader, labels, plus=False, room=5, pad=None).of(
        torch.tensor([0.4, -0.4])
    )
    short, long = reader.words(["0.4", "-0.4"])
    assert tokens.tolist() == [[*short, reader.end, reader.end], [*long, reader.end]]
    assert counted.tolist() == [[True] * 4 + [False], [True] * 5]


def test_released_answers_are_padded_in_front_and_padding_counts(reader: Reader) -> None:
    labels = baseline_data.settings(QWEN).labels
    answers = Answers(reader, labels, plus=False, room=4, pad=0)
    short, long = reader.words(["0.4", "-0.4"])
    tokens, counted = answers.of(torch.tensor([0.4, -0.4]))
    assert tokens.tolist() == [[0, *short], long]
    assert bool(counted.all())
    alone, counted = answers.of(torch.tensor([0.4]))  # of equal length: nothing to pad
    assert alone.tolist() == [short]
    assert counted.shape == alone.shape


# the loss


def nll(model: MseAdapter, batch: Batch) -> tuple[float, int]:
    """Of one clip, from one plain call of the reader: (sum over answer tokens, their number)."""
    reader = model.script.reader
    table = reader.model.get_input_embeddings()
    words = batch.frames["text"].values
    mean = table(words).mean(dim=0, keepdim=True) if len(words) else torch.zeros(1, 64)
    pseudo = model.pseudo_tokens(mean, batch.frames)[0]
    target = reader.words([answer(float(batch.scores[0, 0]), model.config.plus)])[0]
    tokens = torch.tensor(target)
    x = torch.cat(
        [table(model.script.before), pseudo, table(words), table(model.script.after), table(tokens)]
    )
    logits = reader.model(inputs_embeds=x[None]).logits[0]
    chosen = torch.log_softmax(logits[-len(target) - 1 : -1], dim=-1)
    return -float(chosen.gather(1, tokens[:, None]).detach().sum()), len(target)


def test_loss_is_the_mean_over_answer_tokens_whatever_clips_are_side_by_side(folder: Path) -> None:
    model = build(folder)
    singles = [nll(model, batch_of(model, [row])) for row in range(6)]
    expected = sum(total for total, _ in singles) / sum(count for _, count in singles)
    found = float(model.answer_loss(batch_of(model)).detach())
    assert found == pytest.approx(expected, rel=1e-5)
    alone = float(model.answer_loss(batch_of(model, [3])).detach())
    assert alone == pytest.approx(singles[3][0] / singles[3][1], rel=1e-5)


def test_released_padding_is_attended_and_averaged(folder: Path) -> None:
    released = build(folder, {"padding": "attended", "text.max_length": 5})
    sound = build(folder, {"text.max_length": 5})
    batch = batch_of(released)
    assert batch.frames["text"].lengths.tolist() == [5] * 6
    words = batch.frames["text"].values.view(6, 5)
    pad = released.script.pad
    assert words[0].tolist() == [pad, *released.script.reader.words(["fine"])[0]]
    assert words[2].tolist() == [pad] * 5
    with torch.no_grad():
        _, real = released.prompt(batch)
        assert bool(real.all())
        for row, same in ((0, False), (1, True)):  # "not ok" is 5 tokens: nothing is padded
            found, expected = (m.answer_loss(batch_of(m, [row])) for m in (released, sound))
            assert torch.allclose(found, expected, rtol=1e-5) is same


def test_clips_without_a_label_are_left_out(folder: Path) -> None:
    model = build(folder)
    batch = batch_of(model, [0, 1, 2])
    labels, scores = batch.labels.clone(), batch.scores.clone()
    labels[1], scores[1] = -1, torch.nan
    known = replace(batch, labels=labels, scores=scores)
    expected = model.answer_loss(batch_of(model, [0, 2]))
    assert torch.allclose(model.answer_loss(known), expected, rtol=1e-5)
    none = replace(known, labels=torch.full_like(labels, -1), scores=scores * torch.nan)
    loss = model.answer_loss(none)
    loss.backward()
    assert float(loss.detach()) == 0


def test_released_readers_may_have_two_beginnings(folder: Path, reader: Reader) -> None:
    tokens = {
        again: build(folder, {"begin": "<s>", "tag_begin": again}).script.before.tolist()
        for again in (False, True)
    }
    begin, (opening,) = reader.special("<s>"), reader.words(["<"])
    assert tokens == {False: [begin, *opening], True: [begin, begin, *opening]}


def test_released_settings() -> None:
    for name, again in ((QWEN, True), (LLAMA, True), (GLM, False)):
        config: Any = registry.get(name).config("mosi").released()
        found = (config.padding, config.short_answers, config.tag_begin, config.past_horizon)
        assert found == ("attended", "padded", again, "rises")


# the adapter


@pytest.mark.parametrize("norm", [True, False])
def test_gradients_reach_every_parameter(folder: Path, norm: bool) -> None:
    model = build(folder, {"input_norm": norm})
    model.answer_loss(batch_of(model)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert without == []


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rows", [1, 4])
def test_clips_without_frames_or_words_give_numbers(
    folder: Path, training: bool, rows: int
) -> None:
    model = build(folder, {"input_norm": True}).train(training)
    batch = batch_of(model, [2] * rows)
    empty = replace(
        batch.frames["audio"], values=torch.zeros(0, 3), lengths=torch.zeros(rows, dtype=torch.long)
    )
    batch = replace(batch, frames={**batch.frames, "audio": empty})
    assert not len(batch.frames["text"].values)
    assert bool(model.answer_loss(batch).isfinite())
    scores = model(batch)
    assert scores.shape == (rows, 1)
    assert bool(scores.isfinite().all())


def test_an_absent_modality_is_left_out(folder: Path) -> None:
    model = build(folder)
    batch = batch_of(model, [0])
    gone = replace(
        batch.frames["audio"], values=torch.zeros(0, 3), lengths=torch.zeros(1, dtype=torch.long)
    )
    words = torch.randn(1, tiny_reader.WIDTH)
    found = model.pseudo_tokens(words, {**batch.frames, "audio": gone})
    torch.nn.init.zeros_(model.readers["audio"].out.weight)
    torch.nn.init.zeros_(model.readers["audio"].out.bias)
    assert torch.allclose(found, model.pseudo_tokens(words, batch.frames))


def test_predictions_do_not_depend_on_the_batch(taught: Path) -> None:
    model = build(taught).eval()
    together: Tensor = model(batch_of(model))
    alone = torch.cat([model(batch_of(model, [row])) for row in range(6)])
    assert torch.equal(together, alone)
    assert torch.equal(together, model(batch_of(model)))


# training


def test_schedule() -> None:
    def at(step: int, rises: bool) -> float:
        return cosine(step, warm=10, total=110, rises=rises)

    assert [at(s, False) for s in (0, 5, 10)] == [0, 0.5, 1]
    assert [at(s, False) for s in (60, 110, 160)] == pytest.approx([0.5, 0, 0])
    assert [at(s, True) for s in (60, 110, 160, 210)] == pytest.approx([0.5, 0, 0.5, 1])


def test_the_rate_moves_with_every_update_and_training_stops_at_the_horizon(folder: Path) -> None:
    changes = {"batch_size": 4, "accumulate": 2, "epochs": 9, "horizon": 5, "warmup": 0.1}
    stage = baseline_data.first_stage(build(folder, changes), data())
    assert stage.epochs == 5
    rates = []
    for batch in stage.batches(1):  # four batches, two updates an epoch, one of ten is warm-up
        rates.append(stage.optimizers[0].param_groups[0]["lr"])
        stage.step(batch)
    assert rates == [0, 0, 0.01, 0.01]
    released = baseline_data.first_stage(
        build(folder, {**changes, "past_horizon": "rises"}), data()
    )
    assert released.epochs == 9


def test_optimizer_is_the_published_one(folder: Path) -> None:
    stage = baseline_data.first_stage(build(folder), data())
    (optimizer,) = stage.optimizers
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["eps"] == 1e-4


def test_it_learns_to_write_scores(taught: Path) -> None:
    """Through audio and vision alone: the same words stand at clips with other labels."""
    changes = {"rates.other.lr": 0.05, "epochs": 25, "horizon": 25, "patience": None}
    model = build(taught, changes)
    tables = data()
    train = replace(tables, splits={**tables.splits, "valid": tables.splits["train"]})
    history = fit(baseline_data.first_stage(model, train))
    best = min(row["valid_loss"] for row in history)
    always_zero = float(np.abs(tables.splits["train"].scores[:, 0]).mean())
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 3
    assert best < always_zero / 2
    stage = baseline_data.first_stage(model, train)
    assert stage._valid_means(0)["loss"] == pytest.approx(best, abs=1e-6)  # the best is restored


def test_unreadable_answers_are_counted(folder: Path) -> None:
    stage = baseline_data.first_stage(build(folder, {"epochs": 1}), data())
    (row,) = fit(stage)
    assert row["valid_unreadable"] == 1  # a random reader writes no numbers
    labels = data().splits["valid"].scores[:, 0]
    assert row["valid_loss"] == pytest.approx(np.abs(labels).mean(), abs=1e-6)


def test_resumed_training_has_the_same_bits(taught: Path) -> None:
    whole, kept = build(taught), baseline_data.Kept()
    history = fit(baseline_data.first_stage(whole, data()), checkpoint=kept)
    assert len(history) == 3
    again = build(taught)
    stage = baseline_data.first_stage(again, data())
    rest = fit(stage, checkpoint=baseline_data.Kept(kept.states[:1]))
    tiny_data.assert_same_state(dict(again.state_dict()), dict(whole.state_dict()))
    assert tiny_data.without_seconds(rest) == tiny_data.without_seconds(history)
