"""The store: a data set as a folder of mapped arrays (its layout: `tricord.data.store.read`)."""

from tricord.data.store.read import is_store, manifest_of, read_store, verify_store
from tricord.data.store.write import check_place, write_store

__all__ = [
    "check_place",
    "is_store",
    "manifest_of",
    "read_store",
    "verify_store",
    "write_store",
]
