"""Pure maths: no I/O, no configuration objects, no data set names; K and c are arguments."""

from tricord._lazy import submodules

__getattr__ = submodules(
    __name__, "classifier", "dropout", "ema", "encoder", "fusion", "losses", "router"
)
