"""Sight: what turns a clip's pictures into a track of features."""

from tricord.sight.extractor import Extractor, Sight
from tricord.sight.registry import get, names

__all__ = ["Extractor", "Sight", "get", "names"]
