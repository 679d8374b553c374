"""What drawn and explored figures share: the order of series, means over seeds, fronts, how costs are labelled."""

from __future__ import annotations

import pandas as pd

from reports.runs.frames import OTHERS
from reports.tables.insight import front_of, level
from reports.tables.table import macs_unit


def ordered(curves: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the series with their frames in the order they came, `OTHERS` last: it takes no colour from the rest."""
    series = [(str(name), frame) for name, frame in curves.groupby("series", sort=False)]
    return sorted(series, key=lambda pair: pair[0] == OTHERS)


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `epoch`, `mean`, `low`, `high` of a series' trainings, at the epochs that all of them reached."""
    found = frame.groupby("epoch")["accuracy"].agg(["mean", "min", "max", "count"]).reset_index()
    complete = found[found["count"] == frame["training"].nunique()]
    return complete.rename(columns={"min": "low", "max": "high"})[["epoch", "mean", "low", "high"]]


def cost_label(networks: pd.DataFrame, cost: str) -> tuple[str, float]:
    """Return how an axis of `macs` or `params` is labelled, with its unit, and what the values are multiplied by."""
    if cost == "params":
        return "parameters without auxiliary heads (M)", 1e-6
    unit, factor = macs_unit(networks["macs"].tolist())
    return f"MACs without auxiliary heads ({unit})", factor


def front_by(networks: pd.DataFrame, cost: str, minimise: bool = False) -> pd.DataFrame:
    """Return the trials that no other one beats in score and cost, cheapest first; none where all cost the same."""
    trials = networks[networks["role"] != "base"]
    if level(trials[cost]):
        return trials.iloc[:0]
    sign = -1.0 if minimise else 1.0
    return trials.iloc[front_of(list(zip(sign * trials["score"], trials[cost].astype(float), strict=True)))]
