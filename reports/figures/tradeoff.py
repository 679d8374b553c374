"""Figures of networks among one another: score against cost with the front, and how the scores are distributed."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from reports.figures.style import BLUE, GREEN, GREY, ORANGE, TEXT, axes_of, legend
from reports.tables.insight import front_of, level
from reports.tables.table import macs_unit


def accuracy_against(
    networks: pd.DataFrame,
    cost: str,
    label: str,
    minimise: bool = False,
    limit: float | None = None,
    width: float = TEXT,
) -> Figure:
    """Score against `macs` or `params` of each network of `reports.runs.frames.networks`: best, base, front, limit."""
    title, factor = cost_label(networks, cost)
    figure, axes = axes_of(title, label, width)
    trials = networks[networks["role"] != "base"]
    axes.scatter(factor * trials[cost], trials["score"], color=GREY, s=22, label=f"trials (n = {len(trials)})")
    for role, colour, marker, size in (("best", ORANGE, "D", 42), ("base", BLUE, "s", 40)):
        for row in networks[networks["role"] == role].to_dict("records"):
            shown = "base network" if role == "base" else f"best (trial {row['trial']})"
            axes.scatter(
                [factor * row[cost]], [row["score"]], color=colour, marker=marker, s=size, zorder=3, label=shown
            )
    front = front_by(networks, cost, minimise)
    if len(front):
        axes.step(
            factor * front[cost], front["score"], where="post", color=ORANGE, linewidth=1, label="front of the trials"
        )
    if limit:
        axes.axvline(factor * limit, color=GREEN, linestyle=":", label="limit")
    legend(figure, axes)
    return figure


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


def distribution(steps: pd.DataFrame, networks: pd.DataFrame, label: str, width: float = TEXT) -> Figure:
    """The share of finished trials at or below each score, its bootstrap band, and the base.

    `steps` is `reports.tables.insight.distribution`, its values as they are shown.
    """
    frame = pd.concat([steps.head(1).assign(share=0.0, low=0.0, high=0.0), steps])  # the first step rises from zero
    n = int((networks["role"] != "base").sum())
    figure, axes = axes_of(label, "share of trials at or below", width)
    axes.fill_between(
        frame["value"], frame["low"], frame["high"], step="post", color=BLUE, alpha=0.2, label="95 % bootstrap band"
    )
    axes.step(frame["value"], frame["share"], where="post", color=BLUE, label=f"finished trials (n = {n})")
    for score in networks.loc[networks["role"] == "base", "score"]:
        axes.axvline(score, color=ORANGE, linestyle="--", label="base network")
    axes.set_ylim(0, 1.02)
    legend(figure, axes)
    return figure
