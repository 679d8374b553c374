"""Figures of networks among one another: score against cost with the front, and how the scores are distributed."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import interactive
from reports.figures.run_figures import Tables, run_figure
from reports.figures.series import cost_label, front_by
from reports.figures.style import BLUE, GREEN, GREY, ORANGE, TEXT, axes_of, legend
from reports.runs import frames
from reports.runs.run import Run
from reports.tables import insight
from reports.tables.protocol import label as label_of


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


# Of a run


@run_figure(
    "accuracy_against_macs",
    "What each network cost in MACs, and how it did.",
    accuracy_against,
    order=40,
    of=("study",),
    explore=interactive.accuracy_against,
)
def _macs(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return _against(run, "macs", run.config.get("max_macs"))


@run_figure(
    "accuracy_against_params",
    "What each network cost in parameters, and how it did.",
    accuracy_against,
    order=41,
    of=("study",),
    explore=interactive.accuracy_against,
)
def _params(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return _against(run, "params", None)


def _against(run: Run, cost: str, limit: float | None) -> tuple[Any, ...] | None:
    if run.ranked.empty:
        return None
    networks = frames.networks(run)
    known = bool(networks[cost].notna().all())
    return (networks, cost, label_of(run), run.objectives.minimise, limit) if known else None


@run_figure(
    "distribution",
    lambda run: f"How good the trials are. {insight.whose(run)}",
    distribution,
    order=70,
    of=("study",),
)
def _distribution(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    if not insight.enough(run):
        return None
    steps = insight.distribution(run).assign(value=lambda frame: frames.scale(run) * frame["value"])
    return steps, frames.networks(run), label_of(run)
