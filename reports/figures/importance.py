"""Figures of what made a difference: importance, auxiliary weights, paired differences with their verdicts."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures.style import (
    BLUE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PALETTE,
    TEXT,
    axes_of,
    figure_of,
    legend,
    narrow,
    panels,
    shortened,
)
from reports.tables.paired import DIFFERENCE
from search.record.layout import BASE

VERDICTS = {"better": (GREEN, "^"), "worse": (ORANGE, "v"), "inconclusive": (GREY, "o"), "no verdict": (GREY, "x")}


def importance(shares: pd.DataFrame, width: float = TEXT, most: int = 15) -> Figure:
    """The most important parameters by both evaluators, as bars, from the frame of the table of that name."""
    top = shares.head(most).iloc[::-1].reset_index(drop=True)
    figure, axes = axes_of("share of all importance", "", width, 0.9 + 0.26 * len(top))
    axes.barh(top.index + 0.2, top["importance"], height=0.38, color=BLUE, label="fANOVA")
    axes.barh(top.index - 0.2, top["MDI"], height=0.38, color=ORANGE, hatch="///", edgecolor="white", label="MDI")
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
    """Paired differences to the base with 95 % intervals, and each verdict in words, from a table of differences.

    The first column names what is compared: networks of a confirmation, changes of an ablation.
    """
    figure, axes = axes_of(DIFFERENCE, "", width, 1.0 + 0.3 * len(differences))
    draw_forest(axes, differences, [shortened(str(name), 16 if narrow(width) else 30) for name in _names(differences)])
    axes.set_xlabel(
        f"{DIFFERENCE},\nmean and 95 % interval" if narrow(width) else f"{DIFFERENCE}, mean and 95 % interval"
    )
    return figure


def draw_forest(axes: Any, differences: pd.DataFrame, names: list[str]) -> None:
    """Draw a forest plot into some axes, the first row on top, the verdicts to the right of the plot."""
    places = list(range(len(differences) - 1, -1, -1))
    for place, row in zip(places, differences.to_dict("records"), strict=True):
        verdict = str(row["verdict"]).partition(":")[0]
        colour, marker = VERDICTS.get(verdict, VERDICTS["no verdict"])
        if row["95 % from"] == row["95 % from"]:
            axes.plot([row["95 % from"], row["to"]], [place, place], color=colour, linewidth=1.6)
        axes.scatter([row[DIFFERENCE]], [place], color=colour, marker=marker, s=28, zorder=3)
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
    """Accuracy of each network, seed by seed, and below or beside it the differences to the base as a forest.

    From the frames of the tables of trainings and of differences of a confirmation or an ablation; their first
    columns hold the names, `judged` heads the column of accuracies.
    """
    whose = trainings.iloc[:, 0].astype(str)
    names = list(dict.fromkeys(whose))
    stacked = narrow(width)
    figure = figure_of(width, (2.0 + 0.5 * len(names)) if stacked else 1.3 + 0.35 * len(names))
    grid = panels(figure, *((2, 1) if stacked else (1, 2)), width_ratios=None if stacked else (5, 4))
    scores, effects = [axes for line in grid for axes in line]
    for place, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
        values = trainings.loc[whose == name, judged].dropna()
        scores.scatter(values, [place] * len(values), color=BLUE if name == BASE else GREY, s=16, alpha=0.8)
        if len(values):
            scores.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=BLUE if name == BASE else ORANGE)
    scores.set_yticks(range(len(names) - 1, -1, -1), [shortened(name, 16) for name in names])
    scores.set_ylim(-0.6, len(names) - 0.4)
    scores.set_xlabel(f"{judged},\na dot a seed, line: mean")
    draw_forest(effects, differences, [shortened(name, 16) for name in _names(differences)])
    effects.set_xlabel(f"{DIFFERENCE},\nmean and 95 % interval")
    return figure


def _names(differences: pd.DataFrame) -> list[str]:
    return [str(name) for name in differences.iloc[:, 0]]
