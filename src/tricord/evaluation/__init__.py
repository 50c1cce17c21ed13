"""How good a model is, and how sure one may be of it."""

from tricord._lazy import submodules

__getattr__ = submodules(__name__, "metrics", "statistics", "table")
