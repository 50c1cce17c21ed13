"""What training computes on: the processor, or an accelerator that the user names."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from tricord.errors import ConfigError

CPU = torch.device("cpu")


def device_of(name: str) -> torch.device:
    """The device of this name: ``cpu``, ``cuda``, ``cuda:1``.

    ``auto`` is the machine's accelerator, or else the processor. Other kinds that torch knows are
    taken by their names, and have not been looked at. Raises ConfigError for a name
    that torch does not know, and for a device that is not there, with what is.
    """
    here = [CPU.type, *_accelerators()]
    if name == "auto":
        return torch.device(here[-1])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: {name!r} found, one of {_listed(here)} expected") from None
    if device.type not in here or (device.index or 0) >= _count(device):
        raise ConfigError(
            f"device: {name!r} is not on this machine, or this torch was built without it; "
            f"there is {_listed(here)}"
        )
    return CPU if device.type == CPU.type else device


def forked(device: torch.device = CPU) -> AbstractContextManager[None]:
    """Random numbers drawn within, on the processor and this device, are not drawn outside."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _accelerators() -> list[str]:
    """The kinds of the machine that torch can use: one or none."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return [] if found is None else [found.type]


def _count(device: torch.device) -> int:
    return 1 if device.type == CPU.type else torch.accelerator.device_count()


def _listed(names: list[str]) -> str:
    return ", ".join([*names, "auto"])
