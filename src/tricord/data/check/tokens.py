"""Token ids (`text_bert`): whose they are, and whether they belong to the texts beside them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tricord.data.check.evidence import Evidence
from tricord.data.check.findings import Finding, Severity, Where, of_many
from tricord.data.check.lengths import FEWEST_PAIRS

CLS, SEP = 101, 102  # the same in bert-base-uncased, -cased and -chinese
VOCABULARY = {"zh": ("bert-base-chinese", 21128), "en": ("bert-base-uncased", 30522)}
# A token stands for one Chinese character, or for about one English word.
UNPAIRED = 0.5
MANY_CUT = 0.1  # as for frames: about one clip in a hundred is usual


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Of the tokens, where there are any."""
    splits = [name for name, table in evidence.tables.items() if table.tokens is not None]
    if not splits:
        return
    yield from _special(evidence, splits)
    yield from _vocabulary(evidence, splits)
    yield from _lengths(evidence, splits)


def _special(evidence: Evidence, splits: list[str]) -> Iterator[Finding]:
    odd: list[tuple[str, str]] = []
    total = 0
    for split in splits:
        table = evidence.tables[split]
        assert table.tokens is not None
        values, offsets = table.tokens.values, table.tokens.offsets
        rows = np.flatnonzero(table.tokens.lengths)
        total += len(rows)
        framed = (values[offsets[rows]] == CLS) & (values[offsets[rows + 1] - 1] == SEP)
        odd += [(split, table.ids[row]) for row in rows[~framed]]
    if odd:
        yield Finding(
            "token-ends",
            Severity.WARNING,
            f"no [CLS] ({CLS}) at the front or [SEP] ({SEP}) at the end in "
            f"{of_many(len(odd), total)}",
            "The ids are not BERT's (RoBERTa's begin with 0 and end with 2), or the mask is wrong. "
            "A BERT encoder reads other words than were said.",
            "Make text_bert again from raw_text, or choose the encoder that it was made for.",
            Where.at((split for split, _ in odd), "text", ids=(clip for _, clip in odd)),
        )


def _vocabulary(evidence: Evidence, splits: list[str]) -> Iterator[Finding]:
    language = None if evidence.writing is None else evidence.writing.language
    if language not in VOCABULARY and evidence.known is not None:
        language = evidence.known.language
    if language not in VOCABULARY:
        return
    name, size = VOCABULARY[language]
    highest = 0
    for split in splits:
        tokens = evidence.tables[split].tokens
        assert tokens is not None
        highest = max(highest, int(tokens.values.max(initial=0)))
    if highest >= size:
        yield Finding(
            "token-range",
            Severity.WARNING,
            f"token id {highest} found; {name} has ids below {size}",
            "The ids are those of another tokenizer, and out of range for this encoder.",
            "Make text_bert again from raw_text with the encoder's own tokenizer.",
            Where.at(splits, "text"),
        )


def _lengths(evidence: Evidence, splits: list[str]) -> Iterator[Finding]:
    counts, texts, full = [], [], []
    for split in splits:
        table = evidence.tables[split]
        assert table.tokens is not None
        counts.append(table.tokens.lengths)
        full.append(table.tokens.lengths == table.tokens.padded_length)
        texts += [len(text) for text in table.raw_text or ()]
    cut, found = np.concatenate(full), np.concatenate(counts)
    if MANY_CUT < cut.mean() < 1:
        yield Finding(
            "tokens-cut",
            Severity.NOTE,
            f"the tokens fill their padding in {of_many(int(cut.sum()), len(cut))}",
            "These texts were probably longer and are cut.",
            "Make text_bert again from raw_text with a greater length.",
            Where.at(splits, "text"),
        )
    if len(texts) == len(found):
        r = _correlation(found[~cut], np.array(texts)[~cut])
        if r is not None and r < UNPAIRED:
            yield Finding(
                "tokens-unpaired",
                Severity.WARNING,
                f"numbers of tokens and of characters do not go together (correlation {r:.2f})",
                "Long texts have many tokens. Suspicious: text_bert and raw_text may belong to "
                "different clips.",
                "Make text_bert again from raw_text, and check where raw_text came from.",
                Where.at(splits, "text"),
            )


def _correlation(x: NDArray[np.int64], y: NDArray[np.int64]) -> float | None:
    if len(x) < FEWEST_PAIRS or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return None
    return float(np.corrcoef(x, y)[0, 1])
