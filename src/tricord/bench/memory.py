"""How much memory this process holds and has held, by the kernel's account of it."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_MIB = 2**20


def resident_mib() -> float | None:
    """What it holds now; None where the kernel gives no account (it is Linux that does)."""
    return _account("VmRSS")


def peak_rss_mib() -> float:
    """The most that it has held.

    Without an account by what the system says, in which a process that was started by a larger one
    may count that one's memory as its own.
    """
    found = _account("VmHWM")
    if found is not None:
        return found
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


def forget_peak() -> None:
    """Count the peak from here on; does nothing without an account."""
    if _FORGET.exists():
        _FORGET.write_text("5", encoding="ascii")


def _account(key: str) -> float | None:
    found = re.search(rf"{key}:\s+(\d+) kB", _STATUS.read_text()) if _STATUS.is_file() else None
    return int(found[1]) * 1024 / _MIB if found else None
