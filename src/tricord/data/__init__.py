"""Data: feature files into validated tables, tables into batches."""

from tricord._lazy import submodules

__getattr__ = submodules(
    __name__, "batching", "describe", "mmsa", "schema", "simulate", "splits", "validate"
)
