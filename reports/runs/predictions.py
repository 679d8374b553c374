"""What a network predicted for the test images, as frames: by class, by pair of classes, by confidence, by image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from search.record.predictions import BINS, Predictions, class_figures, reliability
from search.record.predictions import confusion as counted


def by_class(found: Predictions) -> pd.DataFrame:
    """Return each class's accuracy: `class`, `n`, `right`, `accuracy`, `low`, `high` in per cent.

    The 95 % interval is Wilson's (1927); a class without images has none.
    """
    from scipy.stats import binomtest

    rows = []
    for figures in class_figures(found):
        n, share = figures["images"], figures["accuracy"]
        right = round(n * share) if n else 0
        low, high = binomtest(right, n).proportion_ci(method="wilson") if n else (np.nan, np.nan)
        accuracy = np.nan if share is None else share
        rows.append({"class": figures["class"], "n": n, "right": right, "accuracy": accuracy, "low": low, "high": high})
    frame = pd.DataFrame(rows)
    frame[["accuracy", "low", "high"]] *= 100
    return frame


def confusion(found: Predictions) -> pd.DataFrame:
    """Return how many images of each class (rows) were taken for each class (columns)."""
    return pd.DataFrame(counted(found), index=list(found.classes), columns=list(found.classes))


def calibration(found: Predictions, bins: int = BINS) -> pd.DataFrame:
    """Return accuracy by confidence, in bins of equal width: `lower`, `upper`, `images`, `confidence`, `accuracy`.

    All but the images are shares. Confidence is the highest probability (Guo et al. 2017); bins without images are
    left out.
    """
    rows = [row for row in reliability(found, bins) if row["images"]]
    return pd.DataFrame(rows, columns=["lower", "upper", "images", "confidence", "accuracy"])


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
