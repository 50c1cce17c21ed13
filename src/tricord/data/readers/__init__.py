"""One file per kind of source; each reads what is there, as it is (see `tricord.data.load`)."""

from tricord._lazy import submodules

__getattr__ = submodules(__name__, "csd", "folder", "label_table", "layout", "mmsa", "npz")
