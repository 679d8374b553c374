"""What the machine offers: device, precision, execution, cores."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from typing import Literal, cast

import torch

from arch.errors import InputError, near

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
EXECUTIONS = ("auto", "plain", "fused", "compiled")


def pick_device(device: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes an NVIDIA GPU where there is one, else the CPU.

    Raises
    ------
    InputError
        The device does not exist here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"there is no device '{device}'; use auto, cpu or cuda.") from None
    if chosen.type not in ("cpu", "cuda") or (chosen.type == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device '{device}' is not at hand here; use auto or cpu.")
    return chosen


def pick_precision(precision: str, device: torch.device) -> str:
    """Return `bf16` or `fp32`; `auto` takes bf16 where the hardware multiplies it faster.

    On CPUs that is with AMX, and with AVX-512 BF16: there googlenet_cifar_small trains 1.6 times and
    googlenet_bn_cifar32 1.4 times as fast as in fp32 (AMD EPYC, one thread, fused, medians of 9).
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported() else "fp32"


def pick_execution(execution: str, device: torch.device) -> Literal["plain", "fused", "compiled"]:
    """Return how a network computes its maps; `auto` takes `fused` on a CPU, else `plain`.

    Raises
    ------
    InputError
        There is no such execution, or not on that device.
    """
    if execution not in EXECUTIONS:
        raise InputError(
            f"there is no execution '{execution}'.{near(execution, EXECUTIONS)} Known: {', '.join(EXECUTIONS)}."
        )
    if execution == "auto":
        return "fused" if device.type == "cpu" else "plain"
    if execution == "compiled" and device.type == "cpu":
        raise InputError("execution 'compiled' is for GPUs: on a CPU it takes minutes and gains nothing; use fused.")
    return cast(Literal["plain", "fused", "compiled"], execution)


def cores() -> list[int]:
    """Return the processors that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for a training's next step needs as much again.

    By default glibc gives large blocks back at once and the system clears them anew: 5,000 to 8,000 page faults
    a step. Kept, googlenet_bn_cifar32 trains 1.11 times and googlenet_cifar_small 1.06 times as fast, with the
    same peak (AMD EPYC, one thread). Other allocators take no notice; settings by MALLOC_ variables are left alone.
    """
    set_already = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt and not set_already:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 2**30)


def give_back_freed_memory() -> None:
    """Give the system what was freed: a network of other sizes would leave holes in it that no one fills."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)
