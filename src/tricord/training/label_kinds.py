"""Which classes the labels of a data set without a preset are: words, grades, or a sign.

Looks at train and valid alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.layout import LABEL
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import ConfigError, DataError
from tricord.labels import UNKNOWN, LabelScheme, nominal, sentiment
from tricord.presets import BOUNDS, FEW_CLIPS, MOST_GRADES
from tricord.training.loaders import check_splits
from tricord.types import Polarity

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """scheme: what the labels of train say. kind: in words; why: the reason for what is not plain.

    notices: what may be wrong with them, one line each.
    """

    scheme: LabelScheme
    kind: str
    why: str = ""
    notices: tuple[str, ...] = ()


def labels_of(data: Dataset) -> Labels:
    """The classes of this data set.

    Raises DataError where train or valid is missing or unlabelled, where train has one class
    alone, or valid a label that train leaves no room for; ConfigError for numbers that can be
    cut into classes in more than one sensible way.
    """
    complete = all(name in data for name in ("train", "valid"))
    words = words_alone(data["train"]) if complete else ()
    if words:
        return _of_words(words, data)
    check_splits(data)
    largest = max(float(np.abs(_known(data[name])).max()) for name in ("train", "valid"))
    found = _of_numbers(_known(data["train"]), largest, data.source)
    in_train = _class_names(found.scheme, data["train"])
    _check_several(np.unique(in_train).tolist(), data.source, LABEL)
    _check_valid(found.scheme, data["valid"], data.source)
    numbers = {"train": in_train, "valid": _class_names(found.scheme, data["valid"])}
    return replace(found, notices=_few(found.scheme.classes, numbers))


def cut_by_hand(data: Dataset) -> Labels:
    """Room for cuts that the user gives: the range of the scores, no sign.

    Raises DataError where train or valid is missing or unlabelled.
    """
    check_splits(data)
    known = _known(data["train"])
    low, high = float(np.floor(known.min())), float(np.ceil(known.max()))
    scheme = LabelScheme(classes=("low", "high"), cuts=(f">{low:.0f}",), low=low, high=high)
    return Labels(scheme, "scores")


def words_alone(table: FeatureTable) -> tuple[str, ...]:
    """The label words, where scores are unknown or do no more than number the words."""
    words = sorted(set(table.label_names or ()) - {""})
    scores = table.scores[:, 0]
    pairs = set(zip(table.label_names or (), scores.tolist(), strict=False))
    numbered = sorted(number for _, number in pairs) == list(range(len(words)))
    return tuple(words) if numbered or np.isnan(scores).all() else ()


def grades(low: int, high: int) -> LabelScheme:
    """Whole numbers from low to high, each a class of its own, without a sign."""
    numbers = range(low, high + 1)
    return LabelScheme(
        classes=tuple(map(str, numbers)),
        cuts=tuple(f">={n}" for n in numbers[1:]),
        low=low,
        high=high,
    )


def _of_words(words: tuple[str, ...], data: Dataset) -> Labels:
    _check_several(words, data.source, "annotations")
    names = {name: np.array(data[name].label_names or ()) for name in ("train", "valid")}
    notices = (*_alike(words), *_few(words, names))
    return Labels(nominal(words), f"{len(words)} words", "no order", notices)


def _of_numbers(known: Scores, largest: float, source: str) -> Labels:
    """Signed numbers are sentiment; a few whole ones from 0 up are grades; others are refused.

    known: of train, those of single modalities among them. largest: size of a label of train or
    valid: the scale is no class, and the largest may be in either.
    """
    if known.min() < 0:
        return _signed(known, largest)
    low, high = float(known.min()), float(known.max())
    place = f"{source}: split 'train', key '{LABEL}'"
    if not _whole(known) or high - low >= MOST_GRADES:
        raise ConfigError(f"{place}: {_where_to_cut(known)}")
    if low == high:
        raise DataError(f"{place}: every label is {low:g}, expected at least two classes")
    return Labels(
        grades(int(low), int(high)),
        f"whole numbers {low:g} to {high:g}",
        "each a class; where they only stand for names, give the names",
    )


def _signed(known: Scores, largest: float) -> Labels:
    """Negative and positive, and neutral where a label is 0."""
    bound = next((b for b in BOUNDS if largest <= b), float(np.ceil(largest)))
    polarity, why = Polarity.NON_NEGATIVE, "of two sides, 0 is the positive, as in CMU-MOSI"
    if bound == BOUNDS[0]:
        polarity, why = Polarity.NON_POSITIVE, "of two sides, 0 is the negative, as in CH-SIMS"
    scheme = sentiment(polarity, bound)
    kind = f"scores from {-bound:g} to {bound:g} by their sign"
    if (known == 0).any():
        return Labels(scheme, kind, why)
    cut = ">0" if polarity is Polarity.NON_POSITIVE else ">=0"
    two = {"classes": ("negative", "positive"), "cuts": (cut,)}
    return Labels(scheme.model_copy(update=two), kind, "no label of train is 0")


def _where_to_cut(known: Scores) -> str:
    low, high = np.floor(known.min()), np.ceil(known.max())
    return (
        f"numbers from {known.min():g} to {known.max():g} found, neither signed nor up to "
        f"{MOST_GRADES} whole grades; say where classes begin: "
        f"""--set 'labels.cuts=[">={np.median(known):g}"]' """
        f"""--set 'labels.classes=["low","high"]' """
        f"--set labels.low={low:.0f} --set labels.high={high:.0f}"
    )


def _known(table: FeatureTable) -> Scores:
    return table.scores[~np.isnan(table.scores)]


def _whole(known: Scores) -> bool:
    return bool((known == np.floor(known)).all())


def _class_names(scheme: LabelScheme, table: FeatureTable) -> NDArray[np.str_]:
    """Of the clips whose label is known."""
    classes = scheme.to_class(table.scores[:, 0])
    names: NDArray[np.str_] = np.array(scheme.classes)[classes[classes != UNKNOWN]]
    return names


def _check_several(found: Sequence[str], source: str, key: str) -> None:
    if len(found) < 2:
        place = f"{source}: split 'train', key '{key}'"
        raise DataError(f"{place}: every label is '{found[0]}', expected at least two classes")


def _check_valid(scheme: LabelScheme, valid: FeatureTable, source: str) -> None:
    """Raise DataError for a label of valid that the labels of train leave no room for."""
    place = f"{source}: split '{valid.name}', key '{LABEL}'"
    known = _known(valid)
    try:
        scheme.to_class(known)
    except DataError as error:
        raise DataError(f"{place}: {error} (from the labels of train)") from None
    if scheme.polarity is None and not _whole(known):
        odd = known[known != np.floor(known)][0]
        raise DataError(f"{place}: label {odd:g} found, expected whole numbers as in train")


def _alike(words: tuple[str, ...]) -> list[str]:
    """Words that differ in nothing but case and spaces."""
    seen: dict[str, str] = {}
    found = []
    for word in words:
        plain = " ".join(word.casefold().split())
        if plain in seen:
            found.append(f"'{seen[plain]}' and '{word}' are taken as two classes")
        seen.setdefault(plain, word)
    return found


def _few(classes: tuple[str, ...], names: Mapping[str, NDArray[np.str_]]) -> tuple[str, ...]:
    """Classes with too few clips of train to be learned, or none of valid to be judged by."""
    in_train = {c: int((names["train"] == c).sum()) for c in classes}
    in_valid = {c: int((names["valid"] == c).sum()) for c in classes}
    few = [f"{c} ({n})" for c, n in in_train.items() if n < FEW_CLIPS]
    unseen = [c for c, n in in_valid.items() if not n]
    notices = []
    if few:
        notices.append(f"hardly to be learned from under {FEW_CLIPS} clips of train: {listed(few)}")
    if unseen:
        notices.append(f"no clip in valid, so that no epoch is chosen by it: {listed(unseen)}")
    return tuple(notices)


def listed(names: Sequence[str]) -> str:
    """As many of them as can be taken in, and how many more."""
    more = len(names) - MOST_GRADES
    return ", ".join(names[:MOST_GRADES]) + (f" and {more} more" if more > 0 else "")
