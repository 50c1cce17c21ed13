"""How far something is."""

from __future__ import annotations

from collections.abc import Callable

Tick = Callable[[int, int], object]  # done, in all


class Steps:
    """Adds up what is done and tells a tick, where there is one."""

    def __init__(self, total: int, tick: Tick | None) -> None:
        self._done, self._total, self._tick = 0, total, tick

    def add(self, size: int = 1) -> None:
        """So much more is done."""
        self._done += size
        if self._tick is not None:
            self._tick(self._done, self._total)

    def finish(self) -> None:
        """All is done, though it was less than was thought."""
        self.add(self._total - self._done)
