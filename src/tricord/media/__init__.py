"""Media: a file of sound and pictures to samples and images that know when they are."""

from tricord._lazy import submodules

__getattr__ = submodules(__name__, "audio", "info", "source", "track", "video")
