"""An accelerator that is none: tensors that say they are elsewhere, and are computed on the CPU.

Within `imitated`, device "lazy" works as a real one would as far as a program can tell: a tensor
must be brought back before numpy can have it, and two tensors of different devices do not mix,
unless one of them is a single number or an index into the other. It is slow, and only for tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy")  # torch knows its name, asks for no driver, and gives it no kernels
# take what is on the processor beside what is there: copies and lengths, and tables their indices
BETWEEN = {"aten._to_copy", "aten.copy_", "aten._pack_padded_sequence"}
INDEX = {"aten.index", "aten.index_put_", "aten.index_put", "aten._index_put_impl_"}
AUTOCAST = torch.autocast


class Elsewhere(Tensor):
    """A tensor on the imitated device; held: its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"Elsewhere({self.held!r})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _call(func, args, kwargs or {})


class _Made(TorchDispatchMode):
    """Takes over what is made on the device, or sent to it."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _call(func, args, kwargs or {})


class _Sent(TorchFunctionMode):
    """What is made of others' numbers never comes to the mode above: sent there in two steps."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == DEVICE:
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        if func is Tensor.__getitem__ and isinstance(args[1], list):
            return args[0][torch.tensor(args[1])]
        if func is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(args[1], dtype=args[0].dtype).to(DEVICE)
        return func(*args, **kwargs)


def _call(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    to = kwargs.get("device")
    if not there and to != DEVICE:
        return func(*args, **kwargs)
    name = str(func.overloadpacket)
    bound = [args[0], *args[2:3]] if name in INDEX else tensors  # the table, and what is put in
    here = [x for x in bound if isinstance(x, Tensor) and not isinstance(x, Elsewhere) and x.ndim]
    if there and here and name not in BETWEEN:
        raise RuntimeError(f"{func}: tensors of two devices")
    held_args, held_kwargs = tree_map(
        lambda x: x.held if isinstance(x, Elsewhere) else x, (args, kwargs)
    )
    if to is not None:
        held_kwargs["device"] = torch.device("cpu")
    found = func(*held_args, **held_kwargs)
    if to is not None and to != DEVICE:
        return found
    if name == "aten.copy_" and not isinstance(args[0], Elsewhere):
        return args[0]
    if name == "aten._pack_padded_sequence":
        return Elsewhere(found[0]), found[1]  # how many clips are that long: for the processor
    wrapped = tree_map(lambda x: Elsewhere(x) if type(x) is Tensor else x, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
    """Torch has none of its own for the device."""
    return nullcontext() if device_type == DEVICE.type else AUTOCAST(device_type, *args, **kwargs)


@contextmanager
def imitated() -> Iterator[torch.device]:
    """The device, for as long as this lasts."""
    with _Made(), _Sent(), mock.patch.object(torch, "autocast", _autocast):
        yield DEVICE
