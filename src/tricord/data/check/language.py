"""The language of the raw texts, their case, empty and repeated ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tricord.data.check.findings import Finding, Severity, Where, of_many

if TYPE_CHECKING:
    from tricord.data.check.evidence import Evidence

CHINESE, ENGLISH, OTHER = "zh", "en", "other"
# Chinese speech is quoted with Latin names and numbers now and then, not mostly.
_HAN_SHARE = 0.3
# Words that make up over a fifth of running English and are no words of its neighbours.
_ENGLISH_WORDS = frozenset(
    ["the", "and", "to", "of", "it", "is", "that", "you", "this", "was", "for", "but", "with"]
)
_ENGLISH_SHARE = 0.1
_FEWEST_WORDS = 20  # below, frequent words say nothing
_FEWEST_HAN = 20
_UPPER_SHARE = 0.95  # acronyms aside, every letter
# Long enough not to be said twice by chance ("thank you", "what are you doing").
_LONG_TEXT = {CHINESE: 12, ENGLISH: 30, OTHER: 30}
_NAMES = {CHINESE: "Chinese", ENGLISH: "English", OTHER: "neither Chinese nor English"}
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_OTHER_EAST = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")  # kana, hangul
_LATIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


@dataclass(frozen=True)
class Writing:
    """language: zh, en, other, or None where too little is written; upper: share of upper case
    among the letters that have a case, None without such letters.
    """

    language: str | None
    upper: float | None


def writing_of(texts: Sequence[str]) -> Writing:
    """A guess by script and by frequent words."""
    joined = "\n".join(texts)
    upper, lower = (sum(map(method, joined)) for method in (str.isupper, str.islower))
    cased = upper + lower
    return Writing(_language(joined), upper / cased if cased else None)


def _language(joined: str) -> str | None:
    han = len(_HAN.findall(joined))
    words = _LATIN_WORD.findall(joined.lower())
    others = len(_OTHER_EAST.findall(joined))
    letters = han + others + sum(map(len, words))
    if letters and others / letters > _HAN_SHARE:
        return OTHER
    if han >= _FEWEST_HAN and han / letters > _HAN_SHARE:
        return CHINESE
    if len(words) < _FEWEST_WORDS:
        return None
    frequent = sum(word in _ENGLISH_WORDS for word in words)
    return ENGLISH if frequent / len(words) > _ENGLISH_SHARE else OTHER


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Of the raw texts, where there are any."""
    if evidence.writing is None:
        return
    yield from _wrong_language(evidence, evidence.writing)
    yield from _upper_case(evidence.writing)
    yield from _empty(evidence)
    yield from _repeated(evidence, evidence.writing)


def _wrong_language(evidence: Evidence, writing: Writing) -> Iterator[Finding]:
    known = evidence.known
    if known is None or writing.language in (None, known.language):
        return
    assert writing.language is not None
    yield Finding(
        "text-language",
        Severity.WARNING,
        f"raw_text looks {_NAMES[writing.language]}; {known.title} is {_NAMES[known.language]}",
        "It may be a translation, another data set, or text in a wrong encoding. A text encoder "
        "of the data set's language then reads noise.",
        "Look at some rows of raw_text; choose a text encoder of their language.",
    )


def _upper_case(writing: Writing) -> Iterator[Finding]:
    # In Chinese the few Latin letters are names and acronyms.
    upper = writing.upper or 0.0
    if writing.language == CHINESE or upper < _UPPER_SHARE:
        return
    yield Finding(
        "text-upper-case",
        Severity.NOTE,
        f"{100 * upper:.0f} % of the letters are upper case",
        "So are CMU-MOSI's transcripts. A cased text encoder cuts such words to pieces; an uncased "
        "one such as bert-base-uncased does not mind.",
        "Use an uncased encoder, or lower the case first.",
    )


def _empty(evidence: Evidence) -> Iterator[Finding]:
    empty = [
        (split, clip)
        for split, table in evidence.tables.items()
        for clip, text in zip(table.ids, table.raw_text or (), strict=False)
        if not text.strip()
    ]
    if not empty:
        return
    total = sum(len(table) for table in evidence.tables.values())
    yield Finding(
        "text-empty",
        Severity.WARNING,
        f"raw_text is empty in {of_many(len(empty), total)}",
        "Nothing was transcribed there; a text encoder still answers with a vector, which says "
        "nothing.",
        "Transcribe these clips, or leave them out: tricord data subset FILE NEW.tricord "
        "--ids LIST, a list of the ids that stay",
        Where.at((s for s, _ in empty), "text", ids=(clip for _, clip in empty)),
    )


def _repeated(evidence: Evidence, writing: Writing) -> Iterator[Finding]:
    longest = _LONG_TEXT[writing.language or OTHER]
    rows = [
        (text.strip(), split, clip)
        for split, table in evidence.tables.items()
        for clip, text in zip(table.ids, table.raw_text or (), strict=False)
        if len(text.strip()) >= longest
    ]
    times = Counter(text for text, _, _ in rows)
    again = [row for row in rows if times[row[0]] > 1]
    if not again:
        return
    places: dict[str, set[str]] = {}
    for text, split, _ in again:
        places.setdefault(text, set()).add(split)
    across = sum(len(splits) > 1 for splits in places.values())
    again.sort()
    yield Finding(
        "text-repeated",
        Severity.NOTE,
        f"{len(again)} clips share a text of at least {longest} characters with another clip: "
        f"{len(places)} texts, {across} of them in several splits",
        "People repeat themselves, and so do cuts of the same scene. With features of the text "
        "alone such clips cannot be told apart.",
        "Look at the ids; where it is the same scene, keep one or put both in one split.",
        Where.at((split for _, split, _ in again), "text", ids=(clip for *_, clip in again)),
    )
