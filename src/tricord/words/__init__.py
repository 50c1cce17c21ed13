"""Words: what is said in a clip, and what turns it into a track of features."""

from tricord.words.registry import get, names
from tricord.words.transcripts import Segment, Transcript, read, sidecar, within

__all__ = ["Segment", "Transcript", "get", "names", "read", "sidecar", "within"]
