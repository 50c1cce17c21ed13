"""What stands at each frame of a clip's text, where that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tricord.data.schema import FeatureTable
from tricord.features.language import load_pretrained
from tricord.features.text import TextSource

FIRST, LAST = "[CLS]", "[SEP]"


def frame_words(source: TextSource, table: FeatureTable, row: int, frames: int) -> list[str] | None:
    """As many words as frames; None where nothing says which word a frame is of.

    With a language model: its own tokens. With ready features: the clip's words, or its characters
    where it is written without spaces, if there are as many of them, or as many but for a first
    and a last token.
    """
    if source.encoder is not None:
        return _tokens(source, table, row)
    if table.raw_text is None:
        return None
    text = table.raw_text[row]
    return fitted(text.split(), frames) or fitted([c for c in text if not c.isspace()], frames)


def fitted(words: Sequence[str], frames: int) -> list[str] | None:
    """The words with what stands around them, where they are as many as the frames."""
    for found in ([*words], [FIRST, *words, LAST]):
        if words and len(found) == frames:
            return found
    return None


def _tokens(source: TextSource, table: FeatureTable, row: int) -> list[str]:
    from transformers import AutoTokenizer

    ids = source.tokens(table.take(np.array([row])), table.name).values.tolist()
    config = source.config
    tokenizer: Any = load_pretrained(AutoTokenizer, config.encoder or "", config.download)
    return list(tokenizer.convert_ids_to_tokens(ids))
