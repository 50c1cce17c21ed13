"""The machine: what it is, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

from tricord.bench.timing import median_seconds
from tricord.device import CPU
from tricord.features.language import multiplies_bfloat16

SIDE = 2048  # of the matrices: large enough that only the arithmetic counts
QUICK_SIDE = 1024
ACCELERATOR_SIDE = 8192
_MIB = 2**20


def describe(device: torch.device = CPU) -> dict[str, Any]:
    """Processor, cores, threads, memory, and what torch makes of them; the device, if another."""
    other = {} if device == CPU else {"device": _name(device)}
    return {
        **other,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_mib": _memory_mib(),
        "system": platform.system(),
        "bf16": has_bf16(),
    }


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    return multiplies_bfloat16(torch.device("cpu"))


def ceilings(*, quick: bool = False, device: torch.device = CPU) -> dict[str, float | None]:
    """GFLOP/s of a square matrix product in float32 and bfloat16; None without the latter."""
    side = QUICK_SIDE if quick else SIDE if device == CPU else ACCELERATOR_SIDE
    bf16 = multiplies_bfloat16(device)
    return {
        "gemm_gflops": _gemm(side, torch.float32, device),
        "gemm_bf16_gflops": _gemm(side, torch.bfloat16, device) if bf16 else None,
    }


def _gemm(side: int, dtype: torch.dtype, device: torch.device) -> float:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        found = a @ b
        if device != CPU:
            found[0, 0].item()  # waits for it

    return 2e-9 * side**3 / median_seconds(product, runs=7, warm_up=2)


def device_memory_mib(device: torch.device) -> dict[str, float]:
    """The most that tensors held on it in this process; nothing of the processor."""
    if device == CPU:
        return {}
    return {"peak_device_mib": round(torch.accelerator.max_memory_allocated(device) / _MIB, 1)}


def _name(device: torch.device) -> str:
    """What its maker calls it, where torch's module for its kind can say so."""
    find = getattr(getattr(torch, device.type, None), "get_device_name", str)
    return str(find(device))


def _processor() -> str:
    """The model's name, or the kind of processor where that is all there is to know."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", about.read_text()) if about.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
