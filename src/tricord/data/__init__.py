"""Data: files of any kind into validated tables, tables into batches."""

from tricord._lazy import submodules

__getattr__ = submodules(
    __name__,
    *("admit", "batching", "check", "derive", "describe", "load", "readers"),
    *("schema", "simulation", "splits", "store", "validate"),
)
