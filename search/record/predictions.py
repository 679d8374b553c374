"""What a network predicted, image by image, in `predictions.npz`, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.errors import InputError
from search.record.files import replace_file

FILE = "predictions.npz"
BINS = 15  # of confidence, as in Guo et al. 2017
_ARRAYS = ("labels", "probabilities", "classes", "shown", "images")


@dataclass(frozen=True)
class Predictions:
    """The predictions of one network for N images of C classes.

    Attributes
    ----------
    classes : the names.
    labels : (N,) the true classes. probabilities : (N, C), float32.
    aux : the class that each auxiliary head predicted, by its row, (N,) each.
    shown, images : K indices of images kept to look at, and these as uint8 (K, H, W, channels).
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    aux: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    shown: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    images: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.uint8))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the highest probability, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

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
        """Return the predictions that a file holds.

        Raises
        ------
        InputError
            The file cannot be read, or lacks an array, or its arrays are not of one set of images; names it.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
        except Exception as error:  # NumPy and zipfile raise many kinds for a damaged archive
            raise InputError(f"{path}: cannot be read ({error}); evaluate again.") from None
        missing = [name for name in _ARRAYS if name not in held]
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}; evaluate again.")
        aux = {name.removeprefix("aux."): array for name, array in held.items() if name.startswith("aux.")}
        images, classes = held["probabilities"].shape if held["probabilities"].ndim == 2 else (0, 0)
        fits = [_indices(array, classes) and len(array) == images for array in (held["labels"], *aux.values())]
        fits += [_indices(held["shown"], images), held["images"].ndim == 4, len(held["shown"]) == len(held["images"])]
        fits += [held["classes"].shape == (classes,), held["probabilities"].dtype.kind == "f"]
        if not images or not all(fits) or not np.isfinite(held["probabilities"]).all():
            raise InputError(f"{path}: its arrays are not of the same images and classes; evaluate again.")
        names = tuple(map(str, held["classes"]))
        return cls(names, held["labels"], held["probabilities"], aux, held["shown"], held["images"])


def _indices(array: NDArray[Any], most: int) -> bool:
    """Return whether an array is a row of indices of so many things."""
    return array.ndim == 1 and array.dtype.kind in "iu" and (not len(array) or 0 <= array.min() <= array.max() < most)


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


def calibration_error(bins: Sequence[Mapping[str, Any]]) -> float:
    """Return the expected calibration error: |accuracy - confidence|, weighted by each bin's images.

    Naeini, Cooper and Hauskrecht 2015; equation 3 of Guo et al. 2017 (arXiv 1706.04599).
    """
    total = sum(row["images"] for row in bins)
    gaps = (row["images"] * abs(row["accuracy"] - row["confidence"]) for row in bins if row["images"])
    return sum(gaps) / total if total else 0.0
