"""Write and read the checkpoints of an unfinished training."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from arch.errors import InputError
from search.record.files import content, replace_file, set_aside


def save_checkpoint(path: Path, state: dict[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """Write a training's state with the fingerprint that a resumed training must have; atomic."""
    replace_file(path, lambda temporary: torch.save({"fingerprint": dict(fingerprint), **state}, temporary))


def load_checkpoint(path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a training's state, read without running any code from the file, or None where there is none.

    A damaged file is set aside, named in `damaged.txt` next to it, and counts as none.

    Raises
    ------
    InputError
        The checkpoint belongs to another training; names the differences.
    """
    if not path.exists():
        return None
    try:
        raw = io.BytesIO(content(path))
        _check_sums(raw)
        state: dict[str, Any] = torch.load(raw, weights_only=True, map_location="cpu")
        known = dict(state["fingerprint"])
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as there are places in it
        aside = set_aside(path, f"not readable as a checkpoint: {type(error).__name__}: {error}")
        warnings.warn(f"{path}: damaged; set aside as {aside.name}, the training starts again", stacklevel=2)
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


def _check_sums(raw: io.BytesIO) -> None:
    """Check each part of a torch file against its CRC-32, which torch writes but does not check."""
    with zipfile.ZipFile(raw) as archive:
        if (bad := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {bad} does not match")
    raw.seek(0)
