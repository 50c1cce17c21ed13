"""Models: CMC and its parts."""

from tricord.models.cmc import CMC
from tricord.models.unimodal import Unimodal

__all__ = ["CMC", "Unimodal"]
