"""Settings for a data set that has no preset, and the reason for each of them.

The same data give the same settings, so that a run can be resumed without naming any. Of test no
label is looked at, only the number of clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from tricord import presets
from tricord.config import CommonConfig, RunConfig
from tricord.data.schema import Dataset
from tricord.errors import TricordError
from tricord.features.text import TEXT
from tricord.labels import LabelScheme
from tricord.presets import AUTOMATIC, Size
from tricord.training.label_kinds import Labels, cut_by_hand, labels_of, listed

BY_HAND = "set by hand"
CUTS = "labels.cuts"  # with this set by hand, classes are not looked for
Config = TypeVar("Config", bound=CommonConfig)


@dataclass(frozen=True)
class Line:
    """One thing that was chosen: what, its value in words, and the reason ("" where none)."""

    what: str
    value: str
    why: str = ""

    def to_json(self) -> dict[str, str]:
        """As a run keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """What was chosen for a data set."""

    labels: Labels
    size: Size

    def applied(self, config: Config) -> Config:
        """A model's settings for the preset of `size`, with these labels instead.

        Raises ConfigError where the model cannot give such classes.
        """
        config = config.with_labels(_for_model(self.labels.scheme, config.labels))
        return config.with_settings({"preset": AUTOMATIC})


def choose(data: Dataset, by_hand: Mapping[str, Any] | None = None) -> Choice:
    """What fits this data set; errors as `label_kinds.labels_of`.

    by_hand: settings that the user gave; with ``labels.cuts`` among them the classes are theirs.
    """
    data = data.seal("test")
    found = cut_by_hand(data) if CUTS in (by_hand or {}) else labels_of(data)
    return Choice(found, presets.of_size(len(data["train"])))


def explained(data: Dataset, config: CommonConfig) -> tuple[Line, ...]:
    """What a run on this data was given, and why; what differs from the choice says so.

    Nothing where the settings are those of a preset.
    """
    if config.preset != AUTOMATIC:
        return ()
    data = data.seal("test")
    try:
        choice = choose(data)
    except TricordError:  # no classes of its own: they were set by hand
        choice = choose(data, by_hand={CUTS: config.labels.cuts})
    labels = _labels(config.labels, choice)
    notices = () if labels.why == BY_HAND else choice.labels.notices  # of other classes
    lines = [
        labels,
        Line("clips", ", ".join(f"{len(table)} {name}" for name, table in data.splits.items())),
        _features(data, config),
        *_unused_words(data, config),
    ]
    if isinstance(config, RunConfig):
        lines.append(_sizes(config, choice))
    return (*lines, *(Line("note", notice) for notice in notices))


def _for_model(scheme: LabelScheme, before: LabelScheme) -> LabelScheme:
    """The scheme with the model's own head and rule; without a sign there are classes alone."""
    head = "classification" if scheme.polarity is None else before.head
    return scheme.model_copy(update={"head": head, "decision": before.decision})


def _labels(scheme: LabelScheme, choice: Choice) -> Line:
    chosen, own = choice.labels, {"head", "decision"}  # of the model
    names = listed(scheme.classes)
    if scheme.model_dump(exclude=own) != chosen.scheme.model_dump(exclude=own):
        return Line("labels", f"{scheme.num_classes} classes: {names}", BY_HAND)
    return Line("labels", f"{chosen.kind}: {names}", chosen.why)


def _features(data: Dataset, config: CommonConfig) -> Line:
    widths = {name: str(width) for name, width in data.widths.items()}
    if config.text.encoder is not None:
        widths = {**widths, TEXT: f"by {config.text.encoder}"}
    found = ", ".join(f"{name} {width}" for name, width in widths.items())
    return Line("features", found, "numbers a frame")


def _unused_words(data: Dataset, config: CommonConfig) -> list[Line]:
    words = data["train"].raw_text or ()
    if TEXT in data.modalities or config.text.encoder is not None or not any(map(str.strip, words)):
        return []
    how = "extract them with a recipe that has text, or --set text.encoder=NAME_OR_FOLDER"
    return [Line("text", "not used", f"there are words, but no features of them; {how}")]


def _sizes(config: RunConfig, choice: Choice) -> Line:
    planned = presets.get(choice.size.preset).only(config.modalities)
    same = _sizes_of(config) == _sizes_of(planned)
    layers, heads = ("/".join(dict.fromkeys(n)) for n in zip(*_encoders(config), strict=True))
    value = (
        f"layers {layers}, heads {heads}, batches of {config.pretrain.batch_size}, "
        f"dropout {config.model.output_dropout:g}"
    )
    return Line("sizes", value, choice.size.why if same else BY_HAND)


def _encoders(config: RunConfig) -> list[tuple[str, str]]:
    """(layers, heads) of each modality."""
    return [(str(e.layers), str(e.heads)) for e in config.modalities.values()]


def _sizes_of(config: RunConfig) -> tuple[object, ...]:
    """All that the line tells."""
    batches = config.pretrain.batch_size, config.finetune.batch_size
    return _encoders(config), batches, config.model.output_dropout
