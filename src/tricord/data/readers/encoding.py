"""The text of bytes whose encoding nobody says."""

from __future__ import annotations

import re

GB18030 = "GB18030 (GBK)"
WESTERN = "Western European (Windows-1252)"
_BOMS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
_HIGH = re.compile(rb"[\x80-\xff]")
_BESIDE_A_LETTER = re.compile(rb"(?<=[A-Za-z])[\x80-\xff]|[\x80-\xff](?=[A-Za-z])")


def decoded(data: bytes) -> tuple[str, str | None]:
    """The text, and as what it was read where that is a guess.

    UTF-8, or UTF-16 where a byte order mark says so; else GB18030 or Windows-1252, in which U+FFFD
    stands for bytes that are no character.
    """
    try:
        return data.decode("utf-16" if data.startswith(_BOMS) else "utf-8-sig"), None
    except UnicodeDecodeError:
        pass
    # Many words with accents are pairs of Chinese characters too. But an accented letter stands
    # beside a plain one, and a Chinese character among its like.
    if 2 * len(_BESIDE_A_LETTER.findall(data)) <= len(_HIGH.findall(data)):
        try:
            return data.decode("gb18030"), GB18030
        except UnicodeDecodeError:
            pass
    return data.decode("cp1252", errors="replace"), WESTERN
