"""Options of every command that takes a modality from another file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tricord.data.schema import Dataset

AudioFile = Annotated[
    Path | None, typer.Option("--audio", help="Take the audio from this file, by id.")
]
VisionFile = Annotated[
    Path | None, typer.Option("--vision", help="Take the vision from this file, by id.")
]
TextFile = Annotated[
    Path | None, typer.Option("--text", help="Take the text from this file, by id.")
]
AllowMissing = Annotated[
    str,
    typer.Option(help="Clips a split may lose that the file lacks: 5, 0.02 or 2%."),
]
JoinIds = Annotated[
    str,
    typer.Option(help="exact; or loose: overlook blanks, zeros in front, '$_$' or '_'."),
]


def with_files(
    data: Dataset,
    *,
    audio: Path | None,
    vision: Path | None,
    text: Path | None,
    allow_missing: str,
    join_ids: str,
) -> Dataset:
    """The data set with the modalities that these options name: `tricord.data.derive.join`.

    Raises ConfigError for options that say nothing, DataError where the files do not fit.
    """
    from tricord.data.derive.join import joined
    from tricord.errors import ConfigError

    if join_ids not in ("exact", "loose"):
        raise ConfigError(f"--join-ids: {join_ids!r} found, expected exact or loose")
    return joined(
        data,
        audio=audio,
        vision=vision,
        text=text,
        allow_missing=allowance(allow_missing),
        matching="loose" if join_ids == "loose" else "exact",
    )


def allowance(text: str) -> float | int:
    """What ``--allow-missing`` says: ``5`` clips, or the share ``0.02`` or ``2%``.

    Raises ConfigError for anything else.
    """
    from tricord.errors import ConfigError

    found: float | int = -1
    try:
        if text.endswith("%"):
            found = float(text[:-1]) / 100
        else:
            found = int(text) if text.isdecimal() else float(text)
    except ValueError:
        pass
    if not found >= 0 or (isinstance(found, float) and found > 1):
        raise ConfigError(
            f"--allow-missing: {text!r} found, expected a number of clips (5) or a share (0.02, 2%)"
        )
    return found
