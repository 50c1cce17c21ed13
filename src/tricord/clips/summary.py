"""What an extraction came to, as JSON beside the store: counts, speed, faces, what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tricord._version import __version__
from tricord.clips.extract import Extraction
from tricord.clips.recipe import Recipe
from tricord.data.schema import Dataset
from tricord.files import write_atomically


def summary_of(extraction: Extraction, recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """Plain JSON values. missing: modality -> clips that lack it, of those measured.

    real_time_factor: seconds of media measured in a second; None where all was measured before.
    """
    clips = {clip.id: clip for clip in extraction.features}
    splits = {}
    for name, table in data.splits.items():
        rows = [clips[i] for i in table.ids]
        splits[name] = {
            "clips": len(rows),
            "frames": sum(clip.frames for clip in rows),
            "faces": sum(clip.faces for clip in rows),
        }
    return {
        "kind": "extraction",
        "tricord": __version__,
        "recipe": recipe.name,
        "recipe_sha256": recipe.key(),
        "extractors": {name: part.extractor for name, part in recipe.parts.items()},
        "clips": len(extraction.features),
        "failures": len(extraction.failed),
        "from_cache": extraction.from_cache,
        "seconds": round(extraction.seconds, 3),
        "media_seconds": round(extraction.media_seconds, 3),
        "real_time_factor": extraction.real_time_factor,
        "frames": extraction.frames,
        "faces": extraction.faces,
        "missing": {
            name: sum(not len(clip.tracks[name]) for clip in clips.values())
            for name in recipe.parts
        },
        "splits": splits,
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Raises TricordError where the disk does not let it."""
    text = json.dumps(summary, indent=1)
    write_atomically(path, lambda place: place.write_text(text + "\n", encoding="utf-8"))
