"""Pure maths: no I/O, no configuration objects, no data set names; K and c are arguments."""

from tricord.nn import classifier, ema, encoder, fusion, losses, router

__all__ = ["classifier", "ema", "encoder", "fusion", "losses", "router"]
