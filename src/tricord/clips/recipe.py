"""Recipe: all that decides what a clip becomes, kept in the data set and in every model of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

KEY = "clips"  # where `Dataset.recipe` holds it


class Part(BaseModel):
    """One modality. extractor: its name, as the registry of the modality knows it.

    options: what was asked of the registry beside the name (rate, face, ...).
    description: `describe()` of the extractor: columns, settings, versions of its tools.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    extractor: str
    options: dict[str, Any] = {}
    description: dict[str, Any]


class Recipe(BaseModel):
    """A small versioned object. name: of the recipe it began as. None: modality not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str
    text: Part | None = None
    audio: Part | None = None
    vision: Part | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """Modality -> part, of those that are measured, text first."""
        found = {"text": self.text, "audio": self.audio, "vision": self.vision}
        return {name: part for name, part in found.items() if part is not None}

    def key(self) -> str:
        """SHA-256 of all that decides the numbers; the name does not."""
        content = {name: part.model_dump(mode="json") for name, part in self.parts.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
