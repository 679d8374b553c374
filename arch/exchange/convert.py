"""Weights from and to other libraries (the same tensors under other names), and their files."""

from __future__ import annotations

import io
import pickle
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from arch.errors import InputError
from arch.exchange.library_names import library_keys
from arch.files.atomic import atomic_file
from arch.modules.builder import build
from arch.nodes import dims
from arch.specs.spec import FINAL, Spec

Weights = dict[str, Tensor]
Value = TypeVar("Value")
_COUNTER = "num_batches_tracked"  # of a norm: the only integers among weights


def to_library(spec: Spec, library: str, weights: Mapping[str, Tensor]) -> Weights:
    """Return our weights under the library's names; tensors that it does not have (TF-Slim's heads in timm) are left out.

    Auxiliary heads may be missing, as in weights that came from a library without them; the result lacks them too.

    Raises
    ------
    InputError
        The library does not have this network, or the weights are not this network's.
    """
    check_weights(weights, spec, _without_absent_heads(shapes_of(spec), weights))
    return {theirs: weights[ours] for ours, theirs in library_keys(spec, library).items() if ours in weights}


def from_library(spec: Spec, library: str, weights: Mapping[str, Tensor]) -> Weights:
    """Return a library's weights under our names.

    Auxiliary heads may be missing: libraries let their users build the network without them. The
    result then lacks them too, and `load_state_dict(..., strict=False)` takes it. So may the batch
    norms' counters, which files from before torch 0.4 do not have; they start at 0.

    Torchvision's ImageNet weights of both networks expect images in [-1, 1] (its `transform_input`).

    Raises
    ------
    InputError
        The library does not have this network, or the weights are not this network's.
    """
    shapes = shapes_of(spec)
    keys = library_keys(spec, library)
    keys = _without_absent_heads(keys, {ours for ours, theirs in keys.items() if theirs in weights})
    counters = {theirs: torch.tensor(0) for theirs in keys.values() if theirs.endswith(_COUNTER)}
    weights = counters | dict(weights)
    check_weights(weights, spec, {theirs: shapes[ours] for ours, theirs in keys.items()})
    return {ours: weights[theirs] for ours, theirs in keys.items()}


def _without_absent_heads(tensors: Mapping[str, Value], present: Container[str]) -> dict[str, Value]:
    """Return the mapping by our names, without auxiliary heads if no tensor of them is present."""
    has_heads = any(ours in present for ours in tensors if _is_auxiliary(ours))
    return {ours: value for ours, value in tensors.items() if has_heads or not _is_auxiliary(ours)}


def _is_auxiliary(ours: str) -> bool:
    return ours.startswith("heads.") and not ours.startswith(f"heads.{FINAL}.")


def shapes_of(spec: Spec) -> dict[str, torch.Size]:
    """Return the shapes of a network's tensors by their names in the state dict, heads included."""
    with torch.device("meta"):  # shapes only, without memory or random weights
        return {name: tensor.shape for name, tensor in build(spec).state_dict().items()}


def check_weights(
    weights: Mapping[str, Tensor], spec: Spec, shapes: Mapping[str, torch.Size] | None = None, where: str = ""
) -> None:
    """Refuse weights with missing, unknown or differently shaped tensors; by default `shapes` are all of the network's.

    Raises
    ------
    InputError
        Names the first wrong tensors: missing, unknown, of another shape or type, or not finite. Starts with `where`.
    """
    shapes = shapes_of(spec) if shapes is None else shapes
    start = f"{where}: " if where else ""
    # The names first, then the shapes, then the values: one error about the most basic thing that is wrong.
    missing = [name for name in shapes if name not in weights]
    unknown = [name for name in weights if name not in shapes]
    if missing or unknown:
        lists = [
            f"{word}: {_first_names(found)}" for word, found in (("missing", missing), ("unknown", unknown)) if found
        ]
        raise InputError(
            f"{start}these are not the weights of {spec.name}: {'; '.join(lists)}. Check network and library."
        )
    wrong = [
        f"{name} is {dims(tensor.shape)} and must be {dims(shapes[name])}"
        for name, tensor in weights.items()
        if tensor.shape != shapes[name]
    ]
    if wrong:
        raise InputError(
            f"{start}these are not the weights of {spec.name} for {spec.classes} classes: {_first_names(wrong)}. Check the "
            "network and the number of classes."
        )
    values = {name: tensor for name, tensor in weights.items() if not name.endswith(_COUNTER)}
    if not_float := [f"{name} is {tensor.dtype}" for name, tensor in values.items() if not tensor.is_floating_point()]:
        raise InputError(
            f"{start}weights are floating-point numbers: {_first_names(not_float)}. Save them unquantised."
        )
    if not_finite := [name for name, tensor in values.items() if not bool(tensor.float().isfinite().all())]:
        raise InputError(
            f"{start}NaN or infinite: {_first_names(not_finite)}. The training diverged, or the file is damaged."
        )


def _first_names(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    return f"{', '.join(names[:most])}{f' and {len(names) - most} more' if len(names) > most else ''}"


def read_weights(path: Path) -> Weights:
    """Return the tensors of a .safetensors file, or of a torch file, read without running any code from it.

    Raises
    ------
    InputError
        The file cannot be read, or holds something else than named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: holds objects, which are not loaded since that would run code from the file, or is not a torch file; "
            "save the network's state_dict() alone."
        ) from None
    except Exception:  # of a damaged file torch's reader raises many kinds
        raise InputError(f"{path}: is empty, damaged or not a file of weights; fetch or save it again.") from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise InputError(f"{path}: holds no plain state dict (names and tensors); save the network's state_dict().")
    return dict(found)


def check_target(path: Path) -> None:
    """Raise InputError where weights cannot be written: another ending than .safetensors, .pt, .pth, or no folder."""
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise InputError(f"{path}: weights are written as .safetensors, .pt or .pth; choose one of these endings.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first.")


def write_weights(path: Path, weights: Weights) -> None:
    """Write tensors as .safetensors, or as a torch file (.pt, .pth): the complete file or nothing.

    Raises
    ------
    InputError
        The ending is another one, or the folder does not exist.
    OSError
        The disk is full; names the file.
    """
    check_target(path)
    if path.suffix == ".safetensors":
        content = save({name: tensor.contiguous() for name, tensor in weights.items()})
    else:
        memory = io.BytesIO()  # torch's own error for a full disk names neither the file nor the reason
        torch.save(weights, memory)
        content = memory.getvalue()
    with atomic_file(path, path.suffix) as part:
        part.write_bytes(content)
