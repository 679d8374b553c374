"""Initial weights from a file: which of its tensors fit a network, and which heads keep random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from arch.errors import InputError
from arch.exchange.convert import check_weights, shapes_of
from arch.exchange.convert import read_weights as read_tensors
from arch.specs.edit import with_classes
from arch.specs.spec import FINAL, Spec


@dataclass(frozen=True)
class Initial:
    """Tensors to begin with by their names in the state dict, and the heads left out: why, by row."""

    tensors: Mapping[str, Tensor]
    skipped: Mapping[str, str]


def weights_checksum(path: str | Path) -> str:
    """Return the SHA-256 of a file of weights; InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path.") from None


def initial_weights(spec: Spec, path: str | Path) -> Initial:
    """Return what a .safetensors, .pt or .pth file gives a network to begin with; no code of the file is run.

    A head for another number of classes is skipped, and so is an auxiliary head that the file does not have.

    Raises
    ------
    InputError
        The file cannot be read, or anything else is missing, unknown or of another shape; names it.
    """
    tensors, due = read_tensors(Path(path)), shapes_of(spec)
    skipped: dict[str, str] = {}
    for row in (*spec.aux_rows, FINAL):
        start = f"heads.{row}."
        own = {name: shape for name, shape in due.items() if name.startswith(start)}
        given = {name: tensor.shape for name, tensor in tensors.items() if name.startswith(start)}
        if not given and row != FINAL:
            skipped[row] = "not in the file"
        elif (classes := _classes_of(given, own, spec)) is not None:
            skipped[row] = f"{classes} classes there, {spec.classes} here"
    heads = tuple(f"heads.{row}." for row in skipped)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}
    rest = {name: shape for name, shape in due.items() if not name.startswith(heads)}
    check_weights(kept, spec, rest, str(path))
    return Initial(kept, skipped)


def _classes_of(given: Mapping[str, torch.Size], own: Mapping[str, torch.Size], spec: Spec) -> int | None:
    """Return the other number of classes for which a head has the given shapes, or None where there is none."""
    if given.keys() != own.keys():
        return None
    numbers = {shape[0] for name, shape in given.items() if len(shape) and shape != own[name]}
    if len(numbers) != 1:
        return None
    other = shapes_of(with_classes(spec, classes := numbers.pop()))
    return classes if all(other[name] == shape for name, shape in given.items()) else None
