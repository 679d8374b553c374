"""What a network answered, image by image, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arch.errors import InputError
from arch.modules import Network
from search.data import Data, Part
from search.order import Batch
from search.recipe import Recipe
from search.record import replace_file
from search.training import Judged, judge

SHOWN, WRONG = 40, 20  # images kept to look at, and at most how many of them wrong
BINS = 15  # of confidence, as in Guo et al. 2017


@dataclass(frozen=True)
class Predictions:
    """Labels (N,), probabilities (N, C) float32, and the class that each auxiliary head predicts (N,), by its row.

    `shown` (K,) are indices of images kept to look at, and `images` uint8 (K, H, W, channels) these images.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    aux: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    shown: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    images: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.uint8))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image (N,)."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    def write(self, path: Path) -> None:
        """Write all as a NumPy archive without pickled objects; atomic."""
        arrays = {
            "labels": self.labels,
            "probabilities": self.probabilities,
            "classes": np.array(self.classes, dtype=np.str_),
            **{f"aux.{row}": predicted for row, predicted in self.aux.items()},
            "shown": self.shown,
            "images": self.images,
        }

        def save(temporary: str) -> None:
            with open(temporary, "wb") as file:  # given a name, NumPy would add .npz to it
                np.savez_compressed(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]

        replace_file(path, save)

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Return what `write` wrote; InputError where it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
            aux = {name.removeprefix("aux."): array for name, array in arrays.items() if name.startswith("aux.")}
            names = tuple(map(str, arrays["classes"]))
            labels, probabilities, shown = (arrays[name] for name in ("labels", "probabilities", "shown"))
            return cls(names, labels, probabilities, aux, shown, arrays["images"])
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from None
        except Exception as error:  # NumPy and zipfile raise many kinds for a damaged archive
            raise InputError(f"{path}: damaged ({error}); open the test set again to write it.") from None


def predictions_of(network: Network, data: Data, part: Part, recipe: Recipe, bf16: bool) -> tuple[Judged, Predictions]:
    """Return a network's figures on a part of the data, and what it answered."""
    judged = judge(network, data, part, recipe, bf16, keep=True)
    assert judged.probabilities is not None
    labels = part.labels.cpu().numpy()
    shown = choose_shown(judged.predictions.numpy() == labels)
    pixels = next(iter(part.stream([Batch(torch.from_numpy(shown), None)], recipe, network.spec.input[1:])))
    predictions = Predictions(
        data.classes,
        labels.astype(np.int64),
        judged.probabilities.numpy(),
        {row: predicted.numpy() for row, predicted in judged.aux_predictions.items()},
        shown,
        pixels.cpu().permute(0, 2, 3, 1).contiguous().numpy(),
    )
    return judged, predictions


def choose_shown(right: NDArray[np.bool_], seed: int = 0) -> NDArray[np.int64]:
    """Return sorted indices of up to 40 images to look at, drawn with `seed`: up to 20 wrong, and right ones."""
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(np.flatnonzero(~right))[:WRONG]
    others = generator.permutation(np.flatnonzero(right))[: SHOWN - len(wrong)]
    return np.sort(np.concatenate([wrong, others])).astype(np.int64)


def top_accuracy(found: Predictions, k: int) -> float:
    """Return the fraction of images whose class is among the `k` most probable; ties count as misses."""
    own = found.probabilities[np.arange(len(found.labels)), found.labels]
    return float(((found.probabilities >= own[:, None]).sum(1) <= k).mean())


def confusion(found: Predictions) -> NDArray[np.int64]:
    """Return how many images of each class (rows) were given each class (columns), (C, C)."""
    table = np.zeros((len(found.classes),) * 2, np.int64)
    np.add.at(table, (found.labels, found.predicted), 1)
    return table


def class_figures(found: Predictions) -> list[dict[str, Any]]:
    """Return for each class its images, its accuracy (recall), and how often its name was right (precision).

    A figure that has no images to be taken from is None.
    """
    table = confusion(found)
    right, true, given = table.diagonal(), table.sum(1), table.sum(0)
    return [
        {
            "class": name,
            "images": int(true[i]),
            "accuracy": float(right[i] / true[i]) if true[i] else None,
            "precision": float(right[i] / given[i]) if given[i] else None,
        }
        for i, name in enumerate(found.classes)
    ]


def reliability(found: Predictions, bins: int = BINS) -> list[dict[str, Any]]:
    """Return even bins (lower, upper] of confidence: images, mean confidence and accuracy (None where it is empty).

    Confidence is the probability of the predicted class (Guo et al. 2017, arXiv 1706.04599, figure 1).
    """
    sure, right = found.probabilities.max(1).astype(np.float64), found.predicted == found.labels
    places = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for i in range(bins):
        inside = places == i
        images = int(inside.sum())
        rows.append(
            {
                "lower": i / bins,
                "upper": (i + 1) / bins,
                "images": images,
                "confidence": float(sure[inside].mean()) if images else None,
                "accuracy": float(right[inside].mean()) if images else None,
            }
        )
    return rows


def calibration_error(bins: list[dict[str, Any]]) -> float:
    """Return the expected calibration error: |accuracy - confidence|, weighted by each bin's images.

    Naeini, Cooper and Hauskrecht 2015; equation 3 of Guo et al. 2017 (arXiv 1706.04599).
    """
    total = sum(row["images"] for row in bins)
    gaps = (row["images"] * abs(row["accuracy"] - row["confidence"]) for row in bins if row["images"])
    return sum(gaps) / total if total else 0.0
