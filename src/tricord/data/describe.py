"""What a data set holds, as plain numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.splits import subset_masks
from tricord.labels import UNKNOWN, LabelScheme

_SIGNS = {-1.0: "below 0", 0.0: "zero", 1.0: "above 0"}


def describe(dataset: Dataset, scheme: LabelScheme | None = None) -> dict[str, Any]:
    """A summary that JSON can hold.

    Per split: clips, videos, tokens (the longest row, None without), labels (name -> clips: the
    scheme's classes; without a scheme the file's words, else signs), subsets (clips in D_test,
    and in D_msc and D_msi where all labels are known and have a sign), and per modality the
    length of the padding, least, mean and greatest length of what is there, and the number of
    clips that lack it. Of all: source, simulated, widths, notices.

    Raises DataError for a label that the scheme does not know (see `check_labels`).
    """
    return {
        "source": dataset.source,
        "simulated": dataset.simulated,
        "widths": dataset.widths,
        "splits": {name: _split(table, scheme) for name, table in dataset.splits.items()},
        "notices": list(dataset.notices),
    }


def _split(table: FeatureTable, scheme: LabelScheme | None) -> dict[str, Any]:
    signed = scheme is None or not scheme.nominal
    masks = subset_masks(table.scores if signed else table.scores[:, :1])
    return {
        "clips": len(table),
        "videos": len(np.unique(table.videos)),
        "tokens": None if table.tokens is None else table.tokens.padded_length,
        "labels": _labels(table, scheme),
        "subsets": {str(name): int(mask.sum()) for name, mask in masks.items()},
        "lengths": {name: _lengths(ragged) for name, ragged in table.sequences.items()},
    }


def _labels(table: FeatureTable, scheme: LabelScheme | None) -> dict[str, int]:
    scores = table.scores[:, 0]
    if scheme is not None:
        classes = scheme.to_class(scores)
        counts = {name: int((classes == i).sum()) for i, name in enumerate(scheme.classes)}
        unknown = int((classes == UNKNOWN).sum())
    elif table.label_names is not None:
        counts, unknown = dict(sorted(Counter(table.label_names).items())), 0
    else:
        counts = {name: int((np.sign(scores) == sign).sum()) for sign, name in _SIGNS.items()}
        unknown = int(np.isnan(scores).sum())
    return {**counts, "unknown": unknown} if unknown else counts


def _lengths(ragged: Ragged) -> dict[str, Any]:
    real = ragged.lengths[ragged.lengths > 0]
    return {
        "padded": ragged.padded_length,
        "min": int(real.min()) if len(real) else None,
        "mean": float(real.mean()) if len(real) else None,
        "max": int(real.max()) if len(real) else None,
        "absent": len(ragged) - len(real),
    }
