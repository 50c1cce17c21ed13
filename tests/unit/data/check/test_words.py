"""Texts and token ids: language, case, repeats, whose vocabulary, whether they belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import checked_data
from checked_data import everywhere, found, with_split
from tricord.data.check import Severity
from tricord.data.check.language import writing_of
from tricord.data.schema import FeatureTable, Ragged

CHINESE = "我真的不想再听你说这些没有意义的话了，我们走吧"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I was not sure that this is what you have to do but it was good to see", "en"),
        ("IT WAS THE END OF THE FILM AND I DID NOT KNOW WHAT TO THINK OF IT", "en"),
        (CHINESE, "zh"),
        (CHINESE + " OK GPS", "zh"),
        ("ich weiß nicht ob das der Film ist den wir sehen wollten aber er war doch gut", "other"),
        ("これはとても良い映画だと思いますがあなたはどう思いますか", "other"),
        ("OK", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_language(text: str, language: str | None) -> None:
    assert writing_of([text] * (1 if language is None else 2)).language == language


def texts(change: object) -> dict[str, object]:
    def put(table: FeatureTable) -> FeatureTable:
        assert table.raw_text is not None
        return replace(table, raw_text=tuple(change(i, t) for i, t in enumerate(table.raw_text)))  # type: ignore[operator]

    return dict(found(everywhere(checked_data.clean(), put)))


def test_upper_case() -> None:
    rules = texts(lambda i, t: t.upper())
    assert set(rules) == {"text-upper-case"}
    assert "text-upper-case" not in texts(lambda i, t: CHINESE[: i % 15 + 3] + " OK")


def test_empty_texts() -> None:
    rules = texts(lambda i, t: "  " if i == 7 else t)
    assert set(rules) == {"text-empty"}
    assert rules["text-empty"].where.ids[0] == "train_video_0$_$7"  # type: ignore[attr-defined]


def test_long_texts_that_are_repeated() -> None:
    clean = checked_data.clean()
    train = clean.splits["train"].raw_text
    test = clean.splits["test"].raw_text
    assert train is not None
    assert test is not None
    long = next(text for text in train if len(text) > 40)
    row = next(i for i, text in enumerate(test) if abs(len(text) - len(long)) < 20)
    again = (*test[:row], long, *test[row + 1 :])
    rules = found(with_split(clean, "test", raw_text=again))
    assert set(rules) == {"text-repeated"}
    assert "1 texts, 1 of them in several splits" in rules["text-repeated"].found
    assert not texts(lambda i, t: "thank you" if i in (3, 4) and len(t) < 60 else t)


def test_the_language_of_a_known_data_set() -> None:
    rules = found(checked_data.clean(), known="ch-sims")
    assert rules["text-language"].severity is Severity.WARNING
    assert "text-language" not in found(checked_data.clean(), known="mosi")


def tokens(change: object) -> dict[str, object]:
    def put(table: FeatureTable) -> FeatureTable:
        assert table.tokens is not None
        values = table.tokens.values.copy()
        new = change(values, table.tokens)  # type: ignore[operator]
        return replace(table, tokens=new or replace(table.tokens, values=values))

    return dict(found(everywhere(checked_data.clean(), put)))


def test_tokens_without_their_ends() -> None:
    def roberta(values: np.ndarray, old: Ragged) -> None:
        values[old.offsets[:-1]], values[old.offsets[1:] - 1] = 0, 2

    rules = tokens(roberta)
    assert set(rules) == {"token-ends"}
    assert "600 of 600" in rules["token-ends"].found  # type: ignore[attr-defined]


def test_tokens_of_another_vocabulary() -> None:
    rules = tokens(lambda values, old: values.__setitem__(3, 30522))
    assert set(rules) == {"token-range"}
    assert not tokens(lambda values, old: values.__setitem__(3, 30521))


def test_tokens_that_are_cut() -> None:
    def cut(values: np.ndarray, old: Ragged) -> Ragged:
        lengths = np.minimum(old.lengths, 33)
        padded = old.padded()[:, :33]
        padded[np.arange(len(lengths)), lengths - 1] = 102
        return Ragged.from_padded(padded, lengths)

    assert set(tokens(cut)) == {"tokens-cut"}


def test_tokens_of_other_clips() -> None:
    rng = np.random.default_rng(0)
    rules = tokens(lambda values, old: old.take(rng.permutation(len(old))))
    assert set(rules) == {"tokens-unpaired"}
