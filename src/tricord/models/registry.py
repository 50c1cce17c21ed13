"""Every model by its name: one entry each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from tricord import presets
from tricord.config import RunConfig
from tricord.errors import ConfigError
from tricord.models.baselines import (
    av_mc,
    early_fusion,
    emt_dlfr,
    late_fusion,
    lmf,
    mc_teacher,
    mse_published,
    mult,
    self_mm,
    sfttr,
    tfn,
)
from tricord.models.cmc import CMC
from tricord.models.entry import Choice, Entry
from tricord.models.variants import VARIANTS, configure

# Table II: numbers per frame
WIDTHS: Mapping[str, Mapping[str, int]] = {
    "ch-sims": {"text": 768, "audio": 33, "vision": 709},
    "ch-sims-v2": {"text": 768, "audio": 25, "vision": 177},
    "mosi": {"text": 768, "audio": 5, "vision": 20},
    "mosei": {"text": 768, "audio": 74, "vision": 35},
}
PAPER = "Calibrating Multimodal Consensus for Emotion Recognition"
# Section IV-A-4: what the authors searched
GRID = {
    "modalities.layers": Choice((1, 2, 3, 4, 5)),
    "modalities.heads": Choice((1, 2, 4, 8)),
    "model.output_dropout": Choice((0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
}


def _cmc_config(name: str, preset: str) -> RunConfig:
    return configure(presets.get(preset), name)


def _title(name: str) -> str:
    """cmc-single-task-wo-pfm -> CMC, single task, w/o PFM."""
    short = name.replace("single-task", "single task").replace("-wo-", ", w/o ")
    for part in ("cmc", "gt", "plgm", "pfm", "mcr"):
        short = short.replace(part, part.upper())
    return short.replace("-single", ", single")


def _cmc_entries() -> Iterable[Entry]:
    sizes = {"ch-sims": 247_096, "ch-sims-v2": 190_624, "mosi": 108_382, "mosei": 111_238}
    for name in VARIANTS:
        yield Entry(
            name=name,
            title=_title(name),
            paper=PAPER if name != "tricord" else "CMC with labels and consensus of our own",
            year=2025,
            licence="this project",
            config=partial(_cmc_config, name),
            build=CMC.from_config,
            search=GRID,
            needs=("labels of each modality",) if name == "cmc-gt" else (),
            published=sizes if name == "cmc" else {},
        )


MODELS: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        *_cmc_entries(),
        *early_fusion.ENTRIES,
        *late_fusion.ENTRIES,
        *self_mm.ENTRIES,
        *av_mc.ENTRIES,
        *emt_dlfr.ENTRIES,
        *sfttr.ENTRIES,
        *mse_published.ENTRIES,
        *mc_teacher.ENTRIES,
        *tfn.ENTRIES,
        *lmf.ENTRIES,
        *mult.ENTRIES,
    )
}


def get(name: str) -> Entry:
    """The entry of this name; raises ConfigError with the names there are."""
    if name not in MODELS:
        raise ConfigError(f"model {name!r} does not exist; there is: {', '.join(MODELS)}")
    return MODELS[name]


def sizes(name: str) -> dict[str, int]:
    """Data set -> parameters outside the language model, counted on a model that is built."""
    entry = get(name)
    return {p: entry.build(entry.config(p), widths).size for p, widths in WIDTHS.items()}
