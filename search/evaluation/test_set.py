"""Open the test set and judge a network on it; every opening leaves a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from arch.errors import InputError
from arch.modules.plain import Network
from search.data.class_folders import find_folder
from search.data.dataset import Data, DataConfig, data_root
from search.recipes.recipe import Recipe
from search.record.predictions import Predictions
from search.training.hardware import pick_precision
from search.training.judge import Judged, predictions_of


def judge_test(
    folder: Path, network: Network, data: Data, recipe: Recipe, device: torch.device, when: str, keep: bool = True
) -> tuple[Judged, Predictions]:
    """Judge a trained network on the test set, and leave a record of having opened it in `folder`.

    The predictions go into `predictions.npz` there, unless `keep` is false. Nothing else opens the test set.
    """
    part = data.open_test(folder / "test_openings.jsonl", f"{network.spec.name} {when}")
    bf16 = pick_precision(recipe.precision, device) == "bf16"
    judged, predictions = predictions_of(network, data, part, recipe, bf16)
    if keep:
        predictions.write(folder / "predictions.npz")
    return judged, predictions


def check_test(config: DataConfig) -> None:
    """Raise InputError where a folder of images has no test set, before anything is trained."""
    folder = find_folder(config.name, data_root())
    if folder and not (folder / "test").is_dir():
        raise InputError(f"{folder}: has no test/ to open; add it, or leave out --test.")


def figures_on_test_set(
    folder: Path, network: Network, data: Data, recipe: Recipe, device: torch.device
) -> dict[str, Any]:
    """Open the test set for a network after its last epoch; return the figures that go into its result."""
    judged, predictions = judge_test(folder, network, data, recipe, device, "after its last epoch")
    labels = torch.from_numpy(predictions.labels)
    right = judged.predictions == labels
    return {
        "test_accuracy": judged.accuracy,
        "test_loss": judged.loss,
        "test_aux_accuracy": judged.aux_accuracy,
        "test_class_accuracy": {
            name: float(right[labels == index].float().mean()) for index, name in enumerate(predictions.classes)
        },
    }
