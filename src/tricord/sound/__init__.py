"""Sound: what turns a clip's waveform into a track of features."""

from tricord.sound.extractor import Extractor, LicenceWarning
from tricord.sound.registry import get, names

__all__ = ["Extractor", "LicenceWarning", "get", "names"]
