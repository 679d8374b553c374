"""Figures of what made a difference: importance, auxiliary weights, paired differences with their verdicts."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import interactive
from reports.figures.run_figures import Tables, notes_of_confirmation, run_figure
from reports.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    ORANGE,
    PALETTE,
    TEXT,
    VERDICTS,
    axes_of,
    figure_of,
    legend,
    narrow,
    panels,
    shortened,
)
from reports.runs import frames
from reports.runs.run import Comparison, Run
from reports.tables.insight import aux_heads
from reports.tables.paired import DIFFERENCE, JUDGED, accuracies, pairs, scored
from search.record.layout import BASE


def importance(shares: pd.DataFrame, width: float = TEXT, most: int = 15) -> Figure:
    """The most important parameters by both evaluators, as bars, from the frame of the table of that name."""
    top = shares.head(most).iloc[::-1].reset_index(drop=True)
    figure, axes = axes_of("share of all importance", "", width, 0.9 + 0.26 * len(top))
    axes.barh(top.index + 0.2, top["importance"], height=0.38, color=BLUE, label="fANOVA")
    axes.barh(top.index - 0.2, top["mdi"], height=0.38, color=ORANGE, hatch="///", edgecolor="white", label="MDI")
    axes.set_yticks(top.index, [shortened(name, 21 if narrow(width) else 34) for name in top["parameter"]])
    axes.grid(axis="y", visible=False)
    legend(figure, axes)
    return figure


def aux_weights(points: pd.DataFrame, width: float = TEXT) -> Figure:
    """Held-out accuracy of the network and of each head against each head's loss weight; a panel a weight.

    From `reports.runs.frames.head_points`.
    """
    heads, measured = list(dict.fromkeys(points["head"])), list(dict.fromkeys(points["of"]))
    stacked = narrow(width)
    figure = figure_of(width, 0.4 + 1.9 * len(heads) if stacked else 0.6 * width)
    grid = panels(figure, *((len(heads), 1) if stacked else (1, len(heads))), sharey=True)
    flat = [axes for line in grid for axes in line]
    for axes, head in zip(flat, heads, strict=True):
        for index, of in enumerate(measured):
            part = points[(points["head"] == head) & (points["of"] == of)]
            colour, marker = PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]
            axes.scatter(part["weight"], part["accuracy"], color=colour, marker=marker, s=18, label=of)
        axes.set_xlabel(f"loss weight of head {head}")
    for axes in flat if stacked else flat[:1]:
        axes.set_ylabel("held-out accuracy (%)")
    legend(figure, flat[0])
    return figure


def forest(differences: pd.DataFrame, width: float = TEXT) -> Figure:
    """Paired differences to the base with 95 % intervals, and each verdict in words, from `reports.tables.paired.pairs`."""
    figure, axes = axes_of(DIFFERENCE, "", width, 1.0 + 0.3 * len(differences))
    draw_forest(axes, differences, [shortened(str(name), 16 if narrow(width) else 30) for name in differences["name"]])
    axes.set_xlabel(
        f"{DIFFERENCE},\nmean and 95 % interval" if narrow(width) else f"{DIFFERENCE}, mean and 95 % interval"
    )
    return figure


def draw_forest(axes: Any, differences: pd.DataFrame, names: list[str]) -> None:
    """Draw a forest plot into some axes, the first row on top, the verdicts to the right of the plot."""
    places = list(range(len(differences) - 1, -1, -1))
    for place, row in zip(places, differences.to_dict("records"), strict=True):
        verdict = row["verdict"]
        colour, marker = VERDICTS[verdict]
        if not math.isnan(row["low"]):
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
        axes.scatter([row["difference"]], [place], color=colour, marker=marker, s=28, zorder=3)
        axes.annotate(
            f"{verdict} (n = {int(row['pairs'])})",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            color=colour if verdict in ("better", "worse") else "#555555",
        )
    axes.axvline(0, color=BLUE, linestyle="--", linewidth=1)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(differences) - 0.4)
    axes.grid(axis="y", visible=False)


def comparison(trainings: pd.DataFrame, differences: pd.DataFrame, judged: str, width: float = TEXT) -> Figure:
    """Accuracy of each network, seed by seed, and below or next to it the differences to the base as a forest.

    From `reports.tables.paired.accuracies` and `.pairs` of a confirmation or an ablation; `judged` says which accuracy.
    """
    names = list(dict.fromkeys(trainings["name"]))
    stacked = narrow(width)
    figure = figure_of(width, (2.0 + 0.5 * len(names)) if stacked else 1.3 + 0.35 * len(names))
    grid = panels(figure, *((2, 1) if stacked else (1, 2)), width_ratios=None if stacked else (5, 4))
    scores, effects = [axes for line in grid for axes in line]
    for place, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
        values = trainings.loc[trainings["name"] == name, "accuracy"].dropna()
        scores.scatter(values, [place] * len(values), color=BLUE if name == BASE else GREY, s=16, alpha=0.8)
        if len(values):
            scores.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=BLUE if name == BASE else ORANGE)
    scores.set_yticks(range(len(names) - 1, -1, -1), [shortened(name, 16) for name in names])
    scores.set_ylim(-0.6, len(names) - 0.4)
    scores.set_xlabel(f"{judged},\na dot a seed, line: mean")
    draw_forest(effects, differences, [shortened(name, 16) for name in differences["name"]])
    effects.set_xlabel(f"{DIFFERENCE},\nmean and 95 % interval")
    return figure


# Of a run


@run_figure(
    "confirmation",
    "The best networks and the base, trained again with fresh seeds.",
    comparison,
    order=10,
    of=("study",),
    explore=interactive.comparison,
    notes=notes_of_confirmation,
)
def _confirmed(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return _compared(run.confirmation)


@run_figure(
    "ablation",
    "The base and its changes, trained with the same seeds.",
    comparison,
    order=10,
    of=("ablation",),
    explore=interactive.comparison,
)
def _changed(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return _compared(run.ablation)


def _compared(of: Comparison | None) -> tuple[Any, ...] | None:
    if of is None:
        return None
    found = scored(of)
    return accuracies(found), pairs(found), f"{JUDGED[of.judged]} accuracy (%)"


@run_figure(
    "aux_effect",
    "Auxiliary weights, and what the network and its heads reached.",
    aux_weights,
    order=80,
    of=("study",),
)
def _weighted(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    heads = aux_heads(run)
    return (frames.head_points(run, heads),) if heads else None


@run_figure(
    "importance",
    "Which parameters mattered in this search.",
    importance,
    order=90,
    of=("study",),
    explore=interactive.importance,
)
def _mattered(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (tables["importance"].frame,) if "importance" in tables else None
