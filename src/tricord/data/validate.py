"""Labels against a LabelScheme, before anything is trained or reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tricord.data.readers.layout import LABEL, label_key
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import DataError
from tricord.labels import UNKNOWN, LabelScheme


def check_labels(dataset: Dataset, scheme: LabelScheme) -> Dataset:
    """The data set, its scores valid under the scheme.

    Nominal labels given as words become class numbers. Raises DataError, naming file, split and
    key, for a word or a score that the scheme does not know, and for a train split without labels
    or with one class only.
    """
    splits = {
        name: _encoded(table, scheme, dataset.source) for name, table in dataset.splits.items()
    }
    for table in splits.values():
        _check_range(table, dataset, scheme)
    if "train" in splits:
        _check_train(splits["train"], scheme, dataset.source)
    return replace(dataset, splits=splits)


def _encoded(table: FeatureTable, scheme: LabelScheme, source: str) -> FeatureTable:
    if not scheme.nominal or table.label_names is None:
        return table
    scores = table.scores.copy()
    try:
        scores[:, 0] = scheme.encode(table.label_names)
    except DataError as error:
        place = f"{source}: split '{table.name}', key 'annotations'"
        raise DataError(f"{place}: {error}{_hint(table)}") from None
    return replace(table, scores=scores)


def _check_range(table: FeatureTable, dataset: Dataset, scheme: LabelScheme) -> None:
    keys = (LABEL, *map(label_key, dataset.modalities))
    for key, column in zip(keys, table.scores.T, strict=True):
        try:
            scheme.to_class(column)
        except DataError as error:
            place = f"{dataset.source}: split '{table.name}', key '{key}'"
            raise DataError(f"{place}: {error}{_hint(table)}") from None


def _hint(table: FeatureTable) -> str:
    """What to do about a label of test that no model can learn."""
    if table.name != "test":
        return ""
    return (
        "; a label that train and valid lack cannot be learned: split anew (tricord data split), "
        "leave its clips out (tricord data subset), or merge it with another"
    )


def _check_train(table: FeatureTable, scheme: LabelScheme, source: str) -> None:
    classes = scheme.to_class(table.scores[:, 0])
    found = np.unique(classes[classes != UNKNOWN])
    place = f"{source}: split '{table.name}', key '{LABEL}'"
    if not len(found):
        words = "; its labels are words, which a nominal scheme reads"
        hint = words if table.label_names else ""
        raise DataError(f"{place}: no label found, expected one for every clip{hint}")
    if len(found) == 1:
        only = scheme.classes[found[0]]
        raise DataError(f"{place}: every label is '{only}', expected at least two classes")
