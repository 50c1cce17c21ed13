"""A track: what an extractor measured in one clip, frame by frame, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Track:
    """One clip's features of one modality.

    values: (L, width) float32, finite; L is 0 where the clip lacks the modality.
    times: (L,) float64, seconds from the clip's start to the centre of each frame, increasing.
    columns: the width's names.

    Raises ValueError where these do not fit: an extractor that breaks this has a defect.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.dtype != np.float32 or self.times.dtype != np.float64:
            raise ValueError(f"values are {self.values.dtype}, times {self.times.dtype}")
        if self.values.shape != (len(self.times), len(self.columns)):
            raise ValueError(
                f"values of shape {self.values.shape} for {len(self.times)} times and "
                f"{len(self.columns)} columns"
            )
        if not np.isfinite(self.values).all():
            bad = self.columns[int(np.argmin(np.isfinite(self.values).all(axis=0)))]
            raise ValueError(f"column '{bad}' holds numbers that are not finite")
        if not (np.diff(self.times) > 0).all():
            raise ValueError("times do not increase")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def width(self) -> int:
        """Numbers per frame."""
        return len(self.columns)
