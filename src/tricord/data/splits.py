"""D_msc and D_msi: whether a clip's modalities agree (footnote 3 of the paper)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tricord.types import Subset


def is_consistent(scores: ArrayLike) -> NDArray[np.bool_]:
    """(N,) True where all scores of a clip are > 0, or all 0, or all < 0.

    scores: (N, 1 + K) real numbers, the multimodal one first. Raises ValueError for another shape,
    for K = 0, and for NaN: without all labels a clip belongs to neither part.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"scores: shape {values.shape} found, expected (N, 1 + K) with K >= 1")
    if np.isnan(values).any():
        raise ValueError("scores: NaN found, expected a number for every label")
    signs = np.sign(values)
    return np.asarray((signs == signs[:, :1]).all(axis=1))


def subset_masks(scores: NDArray[np.floating]) -> dict[Subset, NDArray[np.bool_]]:
    """Members of each subset, (N,) bool; scores (N, 1 + K) as for `is_consistent`.

    D_test is always there; D_msc and D_msi where every clip has a score for every modality.
    """
    masks = {Subset.TEST: np.ones(len(scores), dtype=np.bool_)}
    if scores.shape[1] > 1 and not np.isnan(scores).any():
        consistent = is_consistent(scores)
        masks |= {Subset.MSC: consistent, Subset.MSI: ~consistent}
    return masks
