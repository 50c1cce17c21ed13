"""Words of any file, fit for a terminal."""

from __future__ import annotations

_SHOWN_AS = "\N{REPLACEMENT CHARACTER}"


def plain(words: str) -> str:
    """The words without what would move the cursor or change colours; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else _SHOWN_AS for c in words)
