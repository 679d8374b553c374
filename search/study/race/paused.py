"""Paused trainings on disk: how another trial takes over the checkpoint of one, and when checkpoints are removed."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from search.record.files import read_json, read_lines, replace_file, write_json
from search.record.layout import CHECKPOINT, CONTINUED, RESULT


def take_checkpoint(folder: Path, paused: Path) -> int:
    """Give a trial's folder the checkpoint of the paused training that it continues; return the epochs of that.

    Where the checkpoint is gone, the training begins again, and comes to the same weights.
    """
    epochs: int = read_json(paused / RESULT, "epochs")["epochs"]
    begun = (folder / CHECKPOINT).exists() or (folder / RESULT).exists()
    if not begun and (paused / CHECKPOINT).exists():
        # The mark first: without a checkpoint it counts no epoch as trained elsewhere that was not.
        write_json(folder / CONTINUED, {"trial": int(paused.name), "epochs": epochs})
        replace_file(folder / CHECKPOINT, partial(shutil.copyfile, paused / CHECKPOINT))
    return epochs


def epochs_recorded(folder: Path) -> int:
    """Return how many epochs of a training are done, here or in the paused one that it continues."""
    before = read_json(folder / CONTINUED, "epochs")["epochs"] if (folder / CONTINUED).exists() else 0
    return max(before, len(read_lines(folder / "metrics.jsonl")))


def clear_checkpoints(folder: Path, state: str, paused: Path | None) -> None:
    """Remove what nothing resumes from: the checkpoint of a training that has ended, and of the one it continued."""
    if state != "pruned":
        (folder / CHECKPOINT).unlink(missing_ok=True)
    if paused:
        (paused / CHECKPOINT).unlink(missing_ok=True)
