"""How good a model is, and how sure one may be of it."""

from tricord.evaluation import metrics, statistics

__all__ = ["metrics", "statistics"]
