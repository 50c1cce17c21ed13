"""Arrays too large to be in memory at once: walked by blocks, mapped pages given back."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 23


def blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Slices of the first axis, each of about 8 MiB; a block's pages are given back after it."""
    rows = max(1, BLOCK_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)
        release(array)


def release(array: NDArray[Any]) -> None:
    """Let go of the memory that holds a mapped file's pages; they are read again when needed.

    Nothing is done to an array that no file backs or that may have been written to.
    """
    owner: object = array
    while isinstance(owner, np.ndarray | memoryview):
        if isinstance(owner, np.ndarray) and owner.flags.writeable:
            return
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap):
        owner.madvise(mmap.MADV_DONTNEED)
