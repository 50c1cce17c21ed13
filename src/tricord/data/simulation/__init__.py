"""Data in the shape of CH-SIMS whose best possible accuracy is known."""

from tricord._lazy import submodules

__getattr__ = submodules(
    __name__, "clips", "kinds", "limits", "model", "sequences", "simulate", "speakers"
)
