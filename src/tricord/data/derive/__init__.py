"""One data set from another: joined, split, thinned out, mended, exported."""

from tricord._lazy import submodules

__getattr__ = submodules(__name__, "export", "fix", "grouping", "join", "subset")
