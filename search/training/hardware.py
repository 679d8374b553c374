"""What the machine offers: device, precision, execution, cores."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal, cast

import psutil
import torch

from arch.errors import InputError, near

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
EXECUTIONS = ("auto", "plain", "fused", "compiled")


def pick_device(device: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes an NVIDIA GPU where there is one, else the CPU.

    `mps`, Apple's GPU, is taken only by its name: nothing was measured there.

    Raises
    ------
    InputError
        The device does not exist here.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"there is no device '{device}'; use auto, {', '.join(there)}.") from None
    if not there.get(chosen.type):
        here = [name for name, found in there.items() if found]
        raise InputError(f"device '{device}' is not at hand here; use auto, {', '.join(here)}.")
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
    if device.type == "mps":
        return "fp32"
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
    if execution != "plain" and device.type == "mps":
        raise InputError(f"execution '{execution}' is not for device mps, where it was never run; use plain.")
    return cast(Literal["plain", "fused", "compiled"], execution)


def memory_format(device: torch.device) -> torch.memory_format:
    """Return how maps (N, C, H, W) lie in memory: channels side by side, but on Apple's GPU image by image.

    There torch's convolutions and norms crash or err on channels_last (PyTorch's issues 180984 and 188371).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def sum_type(device: torch.device) -> torch.dtype:
    """Return the type that losses are summed up in: float64, which Apple's GPU has not."""
    return torch.float32 if device.type == "mps" else torch.float64


def cores() -> list[int]:
    """Return the processors that this process may use, as far as the system says."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        return sorted(process.cpu_affinity())
    return list(range(os.cpu_count() or 1))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for a training's next step needs as much again.

    By default glibc gives large blocks back at once and the system clears them again: 5,000 to 8,000 page faults
    a step. Kept, googlenet_bn_cifar32 trains 1.11 times and googlenet_cifar_small 1.06 times as fast, with the
    same peak (AMD EPYC, one thread). Other allocators take no notice; settings by MALLOC_ variables are left alone.
    """
    set_already = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )
    mallopt = _of_glibc("mallopt")
    if mallopt and not set_already:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 2**30)


def give_back_freed_memory() -> None:
    """Give the system what was freed: a network of other sizes could not use the gaps in it."""
    trim = _of_glibc("malloc_trim")
    if trim:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """Return a function of glibc's allocator; None where another one is used."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
