"""How much is trained, and by whose protocol: both as settings of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tricord.config import CommonConfig
from tricord.errors import ConfigError
from tricord.experiments.compare_table import SIMULATED
from tricord.models import registry

PROTOCOLS: Mapping[str, str] = {
    "default": "the epoch that is best on valid, our reading of what is left open",
    "released": "every option as in the released implementation, one seed",
}
TOO_SMALL = "too small to show a direction"
MADE_UP = "simulated data say nothing of the paper's"


@dataclass(frozen=True)
class Budget:
    """epochs: of every stage, at most; None as published. scale: of counts and lengths where data
    are simulated.
    """

    name: str
    about: str
    epochs: int | None
    scale: float


BUDGETS: Mapping[str, Budget] = {
    budget.name: budget
    for budget in (
        Budget("quick", "at most 4 epochs a stage", epochs=4, scale=0.1),
        Budget("paper", "published settings", epochs=None, scale=1.0),
    )
}


def budget_named(name: str) -> Budget:
    """Raises ConfigError with the names there are."""
    if name not in BUDGETS:
        raise ConfigError(f"budget {name!r} does not exist; there is: {', '.join(BUDGETS)}")
    return BUDGETS[name]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms an experiment is run, as each of its files says.

    by_hand: settings that are neither the budget's nor the protocol's, as they would be typed.
    """

    seeds: Sequence[int]
    budget: str
    protocol: str
    simulated: bool
    by_hand: Sequence[str] = ()

    @property
    def too_small(self) -> bool:
        """Whether no direction may be read off what the budget gives."""
        return BUDGETS[self.budget].epochs is not None

    @property
    def inconclusive(self) -> str:
        """Why no claim of the paper can be judged on these terms; nothing where it can."""
        if self.too_small:
            return TOO_SMALL
        return MADE_UP if self.simulated else ""

    def paragraphs(self) -> Iterator[str]:
        """The head of a document."""
        if self.simulated:
            yield f"**{SIMULATED}**"
        if self.too_small:
            yield f"**Budget {self.budget}: {TOO_SMALL}.**"
        by_hand = ", ".join(f"`{setting}`" for setting in self.by_hand)
        yield (
            f"Protocol {self.protocol}: {PROTOCOLS[self.protocol]}. "
            f"Budget {self.budget}: {BUDGETS[self.budget].about}. "
            f"Seeds: {', '.join(map(str, self.seeds))}."
            f"{f' Set by hand: {by_hand}.' if by_hand else ''}"
        )

    def head(self, name: str, title: str) -> dict[str, Any]:
        """The head of a result file: plain values."""
        return {
            "kind": "reproduce",
            "head": SIMULATED if self.simulated else None,
            "simulated": self.simulated,
            "experiment": name,
            "title": title,
            "protocol": {"name": self.protocol, "rule": PROTOCOLS[self.protocol]},
            "budget": {"name": self.budget, "rule": BUDGETS[self.budget].about},
            "too_small": TOO_SMALL if self.too_small else None,
            "set_by_hand": list(self.by_hand),
            "seeds": list(self.seeds),
        }


def settings_for(
    model: str, preset: str, budget: str, protocol: str, encoder: str | None = None
) -> dict[str, Any]:
    """Dotted path -> value: what budget and protocol change of a model's published settings.

    encoder: a language model, by name or folder, that is finetuned as in the paper, or frozen where
    that is how the model was published. Raises ConfigError for an unknown name.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r} does not exist; there is: {', '.join(PROTOCOLS)}")
    config = registry.get(model).config(preset)
    plain = config.model_dump()
    changed = {}
    if protocol == "released":
        changed = dict(_differing(plain, config.released().model_dump()))
    most = budget_named(budget).epochs
    if most is not None:
        found = config.with_settings(changed).model_dump()
        changed |= {path: min(most, n) for path, n in _leaves(found) if _counts_epochs(path)}
    if encoder is not None:
        changed |= _with_encoder(config, encoder)
    return changed


def _with_encoder(config: CommonConfig, encoder: str) -> dict[str, Any]:
    """The most of it that the model takes: finetuned, frozen, or none."""
    for finetune in (True, False):
        wanted = {"text.encoder": encoder, "text.finetune": finetune}
        try:
            config.with_settings(wanted)
        except ConfigError:
            continue
        return wanted
    return {}


def _counts_epochs(path: str) -> bool:
    return path.rpartition(".")[2] == "epochs"


def _differing(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of ``new`` that are not those of ``old``."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for name, value in new.items():
            yield from _differing(old[name], value, f"{path}.{name}" if path else name)
    elif old != new:
        yield path, new


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        place = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from _leaves(value, place)
        else:
            yield place, value
