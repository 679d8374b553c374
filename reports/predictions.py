"""What a network predicted for the test images, as frames: by class, by pair of classes, by confidence, by image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from arch.errors import InputError

FILE = "predictions.npz"
_ARRAYS = ("labels", "probabilities", "classes", "shown", "images")


@dataclass(frozen=True)
class Predictions:
    """The predictions of one training on the test set.

    Attributes
    ----------
    labels : (N,) the true classes. probabilities : (N, C).
    classes : the names. aux : the class that each auxiliary head predicted, by its row, (N,) each.
    shown, images : K indices of images, and these as (K, H, W, channels) of 0 to 255.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    aux: dict[str, np.ndarray]
    shown: np.ndarray
    images: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The class of the highest probability, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))


def read(path: Path) -> Predictions:
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
    return Predictions(held["labels"], held["probabilities"], names, aux, held["shown"], held["images"])


def _indices(array: np.ndarray, most: int) -> bool:
    """Return whether an array is a row of indices of so many things."""
    return array.ndim == 1 and array.dtype.kind in "iu" and (not len(array) or 0 <= array.min() <= array.max() < most)


def by_class(found: Predictions) -> pd.DataFrame:
    """Return each class's accuracy: `class`, `n`, `right`, `accuracy`, `low`, `high` in per cent.

    The 95 % interval is Wilson's (1927); a class without images has none.
    """
    from scipy.stats import binomtest

    rows = []
    for index, name in enumerate(found.classes):
        mine = found.labels == index
        n, right = int(mine.sum()), int((found.predicted[mine] == index).sum())
        low, high = binomtest(right, n).proportion_ci(method="wilson") if n else (np.nan, np.nan)
        share = right / n if n else np.nan
        rows.append({"class": name, "n": n, "right": right, "accuracy": share, "low": low, "high": high})
    frame = pd.DataFrame(rows)
    frame[["accuracy", "low", "high"]] *= 100
    return frame


def confusion(found: Predictions) -> pd.DataFrame:
    """Return how many images of each class (rows) were taken for each class (columns)."""
    counts = np.zeros((len(found.classes),) * 2, dtype=int)
    np.add.at(counts, (found.labels, found.predicted), 1)
    return pd.DataFrame(counts, index=list(found.classes), columns=list(found.classes))


def calibration(found: Predictions, bins: int = 15) -> pd.DataFrame:
    """Return accuracy by confidence, in bins of equal width: `from`, `to`, `n`, `confidence`, `accuracy` as shares.

    Confidence is the highest probability (Guo et al. 2017); bins without images are left out.
    """
    confidence = found.probabilities.max(axis=1).astype(float)
    right = found.predicted == found.labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # of (from, to], as Guo et al.
    rows = [
        {
            "from": index / bins,
            "to": (index + 1) / bins,
            "n": int((place == index).sum()),
            "confidence": confidence[place == index].mean(),
            "accuracy": right[place == index].mean(),
        }
        for index in range(bins)
        if (place == index).any()
    ]
    return pd.DataFrame(rows)


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error, the gap of accuracy and confidence over all images (Guo et al. 2017)."""
    return float((bins["n"] * (bins["accuracy"] - bins["confidence"]).abs()).sum() / bins["n"].sum())


def pictures(found: Predictions) -> pd.DataFrame:
    """Return the images that are shown: `image`, `label`, `predicted`, `probability`, `right`; the wrong ones first."""
    rows = [
        {
            "image": image,
            "label": found.classes[found.labels[index]],
            "predicted": found.classes[found.predicted[index]],
            "probability": float(found.probabilities[index].max()),
            "right": bool(found.labels[index] == found.predicted[index]),
        }
        for index, image in zip(found.shown, found.images, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["image", "label", "predicted", "probability", "right"])
    return frame.sort_values("right", kind="stable").reset_index(drop=True)
