"""Trained models that meet many broken copies of one split: text is not encoded again for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tricord.config import TextConfig
from tricord.data.corrupt import UNKNOWN_TOKEN
from tricord.data.schema import FeatureTable, Ragged
from tricord.errors import ConfigError
from tricord.features.language import TextEncoder, load_pretrained
from tricord.features.text import TEXT, TextSource, Tick, encode
from tricord.training.trained import TrainedModel

TextForm = Literal["features", "tokens", "words"]


class KeptText(TextSource):
    """Text of tables with tokens, through a language model that no longer changes.

    What it makes of ``clean``, the tokens of the split as it is, is kept; where several models
    share the language model, so is what it made of the last other tokens.
    """

    def __init__(
        self, config: TextConfig, encoder: TextEncoder, clean: Ragged, *, shared: bool
    ) -> None:
        self.config, self.encoder, self.clean, self.shared = config, encoder, clean, shared
        self._kept: list[tuple[Ragged, Ragged]] = []

    def tokens(self, table: FeatureTable, where: str) -> Ragged:
        """Those of the table, which came from the one that was checked."""
        assert table.tokens is not None
        return table.tokens

    def features(self, table: FeatureTable, where: str, tick: Tick | None = None) -> Ragged:
        """States of the table's tokens; the same array is not encoded twice."""
        tokens = self.tokens(table, where)
        for known, states in self._kept:
            if known is tokens:
                return states
        assert self.encoder is not None
        clean = tokens is self.clean
        # what a frozen one makes of the clean text is on the disk for longer than this run
        states = encode(self.encoder, tokens, tick=tick, keep=clean and self.shared)
        if clean or self.shared:
            self._kept = [pair for pair in self._kept if pair[0] is self.clean]
            self._kept.append((tokens, states))
        return states


@dataclass(frozen=True)
class Subject:
    """The models of a run, one a seed, and the split they are to be tried on.

    reads: the form in which text reaches the models. unknown: the token that stands for a lost one.
    """

    models: Sequence[TrainedModel]
    table: FeatureTable
    reads: TextForm = "features"
    unknown: int = UNKNOWN_TOKEN


def subject(models: Sequence[TrainedModel], table: FeatureTable, where: str) -> Subject:
    """The models with text at hand; tokens are in the table where a language model reads them.

    Raises DataError where there are no tokens that fit, ConfigError where no token stands for lost
    ones.
    """
    first = models[0]
    config = first.config.text
    if TEXT not in first.widths or TEXT not in table.sequences or config.encoder is None:
        return Subject(models, table, "words" if first.model.reads_words else "features")
    source = first.text_source()
    tokens = source.tokens(table, where)
    if not config.finetune:
        assert source.encoder is not None
        text = KeptText(config, source.encoder, tokens, shared=True)
        ready = [replace(trained, text=text) for trained in models]
    else:
        ready = [_with_own_text(trained, tokens) for trained in models]
    return Subject(ready, replace(table, tokens=tokens), "tokens", _unknown_token(source))


def _with_own_text(trained: TrainedModel, tokens: Ragged) -> TrainedModel:
    """A finetuned language model is as good as frozen now, and runs before the model.

    Not where padding counts as frames: it has states too, which the model itself must make.
    """
    config = trained.config
    encoder = trained.model.language[TEXT]
    assert isinstance(encoder, TextEncoder)
    text = KeptText(config.text, encoder, tokens, shared=False)
    if not config.padding_counts:
        frozen = config.text.model_copy(update={"finetune": False})
        config = config.model_copy(update={"text": frozen})
    return replace(trained, config=config, text=text)


def _unknown_token(source: TextSource) -> int:
    """The tokenizer's own, or that of BERT's vocabularies where the model has no tokenizer."""
    config, encoder = source.config, source.encoder
    assert config.encoder is not None
    assert encoder is not None
    from transformers import AutoTokenizer

    try:
        tokenizer = load_pretrained(AutoTokenizer, config.encoder, config.download)
        known = tokenizer.unk_token_id
    except ConfigError:
        known = None
    token = UNKNOWN_TOKEN if known is None else int(known)
    if token >= encoder.vocabulary:
        raise ConfigError(
            f"text encoder {config.encoder!r}: no token for unknown words found, which stands for "
            "lost ones"
        )
    return token
