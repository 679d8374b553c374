"""What the machine offers: device, precision, cores."""

from __future__ import annotations

import os

import torch

from arch.errors import InputError


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
    """Return `bf16` or `fp32`; `auto` takes bf16 where the hardware has matrix units for it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def cores() -> list[int]:
    """Return the processors that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
