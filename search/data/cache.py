"""The cache of decoded images: one file a part with a checksum, decoded again where it is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from search.record.files import replace_file, set_aside

# Larger parts stay mapped from their file instead of being copied into memory.
MOST_IN_MEMORY = int(os.environ.get("INCEPTORY_MEMORY_LIMIT", 4 * 2**30))


@dataclass(frozen=True)
class Pixels:
    """Decoded images (N, C, H, W) uint8 with labels (N,), class names, checksum, and mean and deviation by channel."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    checksum: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pixels: Tensor, labels: Tensor, classes: tuple[str, ...]) -> Pixels:
        """Return the images with their checksum, and mean and deviation per channel on the scale 0 to 1."""
        values = torch.arange(256, dtype=torch.float64) / 255
        mean, std = [], []
        for channel in range(pixels.shape[1]):
            counts = torch.bincount(pixels[:, channel].flatten().int(), minlength=256).double()
            share = counts / counts.sum()
            mean.append(float((share * values).sum()))
            std.append(max(1e-3, float((share * (values - mean[-1]) ** 2).sum().sqrt())))
        return cls(pixels, labels, classes, _checksum(pixels, labels), tuple(mean), tuple(std))


def cached(path: Path, decode: Callable[[], Pixels]) -> Pixels:
    """Return the images in `path`; decode and write them first where it is missing, damaged or of other images."""
    if path.exists():
        found = _read(path)
        if found:
            return found
        aside = set_aside(path, "its checksum does not match")
        warnings.warn(f"{path}: damaged; set aside as {aside.name}, its images are decoded again", stacklevel=2)
    fresh = decode()
    about = {"classes": fresh.classes, "checksum": fresh.checksum, "mean": fresh.mean, "std": fresh.std}
    text = json.dumps(about | {"file": path.name})
    metadata = {"about": text, "seal": hashlib.sha256(text.encode()).hexdigest()}
    tensors = {"pixels": fresh.pixels, "labels": fresh.labels}
    replace_file(path, lambda temporary: save_file(tensors, temporary, metadata))
    return _read(path) or fresh  # read back, so that a large part is mapped from the first time on


def _read(path: Path) -> Pixels | None:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            about = json.loads(metadata["about"])
            pixels, labels = file.get_tensor("pixels"), file.get_tensor("labels")
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError):
        return None
    seal = hashlib.sha256(metadata["about"].encode()).hexdigest()
    if metadata.get("seal", seal) != seal or about.get("file", path.name) != path.name:
        return None
    if pixels.numel() <= MOST_IN_MEMORY:
        pixels = pixels.clone()
    if _checksum(pixels, labels) != about["checksum"]:
        return None
    return Pixels(pixels, labels, tuple(about["classes"]), about["checksum"], tuple(about["mean"]), tuple(about["std"]))


def _checksum(pixels: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(str(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().tobytes())
    return digest.hexdigest()
