"""Checkpoints of a training under way."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from arch.errors import InputError
from search.record import replace_file, set_aside


def save_checkpoint(path: Path, state: dict[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """Write a training's state, with what it may be continued by; atomic."""
    replace_file(path, lambda temporary: torch.save({"fingerprint": dict(fingerprint), **state}, temporary))


def load_checkpoint(path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a training's state, read without running any code from the file, or None where there is none.

    A damaged file is set aside, named in `damaged.txt` beside it, and counts as none.

    Raises
    ------
    InputError
        The checkpoint belongs to another training; names the differences.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(path.read_bytes()), weights_only=True, map_location="cpu")
        known = state["fingerprint"]
    except OSError:
        raise
    except Exception as error:  # of a damaged file torch's reader raises many kinds
        aside = set_aside(path, f"not readable as a checkpoint: {type(error).__name__}")
        warnings.warn(f"{path}: damaged; set aside as {aside.name}, the training starts anew", stacklevel=2)
        return None
    differences = [
        f"{key} was {known.get(key)!r} and is {value!r}"
        for key, value in fingerprint.items()
        if known.get(key) != value
    ]
    if differences:
        raise InputError(
            f"{path}: belongs to another training ({'; '.join(differences)}); undo the change or use a new folder."
        )
    return state
