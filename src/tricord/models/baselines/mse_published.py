"""MSE-Adapter's published settings: three language models, their prompts and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tricord.baseline_config import Rate
from tricord.models.baselines.base import scores_of
from tricord.models.baselines.mse_adapter import MseAdapter, MseAdapterConfig
from tricord.models.entry import Choice, Entry, Range


@dataclass(frozen=True)
class Family:
    """Published settings of a language model; rates and horizons by language.

    task_first: whether the task stands in front of the clip.
    """

    name: str
    title: str
    width: int
    batch_size: int
    rates: Mapping[str, float]
    horizons: Mapping[str, int]
    begin: str | None = None
    pad: str | None = None
    plus: bool = False
    task_first: bool = False


_FAMILIES = (
    Family(
        *("mse-adapter-qwen-1.8b", "MSE-Qwen-1.8B", 2048, 16),
        rates={"chinese": 5e-4, "english": 5e-3},
        horizons={"chinese": 30, "english": 30},
        begin="<|im_start|>",
        pad="<|endoftext|>",
        plus=True,
    ),
    Family(
        *("mse-adapter-llama2-7b", "MSE-LLaMA2-7B", 4096, 8),
        rates={"chinese": 5e-5, "english": 5e-5},
        horizons={"chinese": 40, "english": 30},
        begin="<s>",
        pad="<unk>",
    ),
    Family(
        *("mse-adapter-chatglm3-6b", "MSE-ChatGLM3-6B", 4096, 8),
        rates={"chinese": 5e-5, "english": 5e-5},
        horizons={"chinese": 80, "english": 30},
        task_first=True,
    ),
)
# The sizes in Table IV tell the widths and CH-SIMS' normalisation. For CH-SIMS and CMU-MOSI only
# those are known, the rest is that of CH-SIMS v2 and CMU-MOSEI.
_CORPORA: Mapping[str, Mapping[str, object]] = {
    "ch-sims": {"hidden": {"audio": 64, "vision": 64}, "input_norm": True},
    "ch-sims-v2": {"hidden": {"audio": 64, "vision": 64}},
    "mosi": {"hidden": {"audio": 64, "vision": 32}},
    "mosei": {"hidden": {"audio": 64, "vision": 32}},
}
_LANGUAGES = {"ch-sims": "chinese", "ch-sims-v2": "chinese"}  # of the rest it is English
# the tags are the original's; the tasks ask for what the original's ask for, in our own words
_TAGS = {"chinese": ("<多模态>", "</多模态>"), "english": ("<Multimodal>", "</Multimodal>")}
_TASKS = {
    "chinese": "请判断多模态内容的情感强度，取值范围为[{low}, {high}]，情感强度为",
    "english": "Judge the sentiment intensity of the multimodal content in the range "
    "[{low}, {high}]; the sentiment is",
}
_TINY: Mapping[str, object] = {
    "reader_width": 64,
    "hidden": {"audio": 8, "vision": 8},
    "shared": 16,
    "batch_size": 8,
    "epochs": 3,
    "horizon": 3,
    "rates": {"other": Rate(lr=1e-2)},
}


def _prompt(language: str, task_first: bool) -> dict[str, str]:
    opening, closing = _TAGS[language]
    task = _TASKS[language]
    if task_first:
        return {"before": f"{task}\n\n {opening}", "after": closing}
    return {"before": opening, "after": f"{closing}{task}"}


def config(family: Family, preset: str) -> MseAdapterConfig:
    """Published settings; tiny ones for any other preset, for any tokenizer."""
    language = _LANGUAGES.get(preset, "english")
    settings: dict[str, object] = {
        "preset": preset,
        "labels": scores_of(preset),
        "plus": family.plus,
        **_prompt(language, family.task_first),
    }
    if preset not in _CORPORA:
        return MseAdapterConfig.model_validate({**settings, **_TINY})
    published = {
        "reader_width": family.width,
        "begin": family.begin,
        "pad": family.pad,
        "batch_size": family.batch_size,
        "horizon": family.horizons[language],
        "rates": {"other": Rate(lr=family.rates[language], weight_decay=0.01)},
    }
    return MseAdapterConfig.model_validate({**settings, **published, **_CORPORA[preset]})


_SIZES = {
    2048: {"ch-sims": 1_539_992, "ch-sims-v2": 1_400_268, "mosi": 1_331_660, "mosei": 1_351_244},
    4096: {"ch-sims": 2_820_440, "ch-sims-v2": 2_680_716, "mosi": 2_612_108, "mosei": 2_631_692},
}

ENTRIES = tuple(
    Entry(
        name=family.name,
        title=family.title,
        paper="MSE-Adapter: A Lightweight Plugin Endowing LLMs with the Capability to Perform "
        "Multimodal Sentiment Analysis and Emotion Recognition",
        year=2025,
        licence="not known to us; ours is written from equations and recorded numbers, not from it",
        config=partial(config, family),
        build=MseAdapter,
        needs=("the words of each clip (raw_text)", "a causal language model (setting reader)"),
        published=_SIZES[family.width],
        search={
            "hidden.audio": Choice((16, 32, 64, 128)),
            "hidden.vision": Choice((16, 32, 64, 128)),
            "pseudo_tokens": Choice((2, 4, 8)),
            "rates.other.lr": Range(1e-5, 1e-2, log=True),
        },
    )
    for family in _FAMILIES
)
