"""TensorBoard's event files of a training, for recipes with `tensorboard: true`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arch.errors import InputError
from search.recipes.recipe import Recipe
from search.record.files import unwritable

_NAMED = {
    "train_loss": "loss/train",
    "val_loss": "loss/held-out",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/held-out",
    "lr": "lr",
    "images_per_second": "images_per_second",
}
_BY_ROW = {"val_aux_accuracy": "accuracy of heads", "aux_weights": "weight of heads"}


def check_events(recipe: Recipe) -> None:
    """Raise InputError where a recipe asks for event files and TensorBoard is not installed."""
    if recipe.tensorboard and not importlib.util.find_spec("tensorboard"):
        raise InputError(
            f"recipe {recipe.name}: tensorboard: true needs the package tensorboard, which is not installed; "
            "pip install 'inceptory[tensorboard]', or remove the key."
        )


@contextmanager
def event_files(folder: Path, recipe: Recipe) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give a function that writes an epoch's metrics into an event file in `folder`, if the recipe asks for one.

    A resumed training yields its finished epochs again, so the files of an earlier start are removed. A reader that
    still shows them drops them at the new file's first entry.
    """
    if not recipe.tensorboard:
        yield lambda metrics: None
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with _writing(folder):
        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        writer = SummaryWriter(folder, purge_step=0)

    def note(metrics: Mapping[str, Any]) -> None:
        with _writing(folder):
            for tag, value in scalars(metrics).items():
                writer.add_scalar(tag, value, metrics["epoch"])
            writer.flush()

    try:
        yield note
    finally:
        with _writing(folder):
            writer.close()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raise a full disk as a WriteError, which does not count as the training's failure."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder / "events.out.tfevents", error) from error


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return an epoch's figures by the names that TensorBoard groups them by; missing ones are left out."""
    found = {tag: metrics[key] for key, tag in _NAMED.items() if metrics[key] is not None}
    rows = ((tag, row, value) for key, tag in _BY_ROW.items() for row, value in metrics[key].items())
    return found | {f"{tag}/{row}": value for tag, row, value in rows}
