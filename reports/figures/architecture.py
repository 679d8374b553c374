"""Figures of what networks are made of: how they divide their channels, and what each row costs."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures.run_figures import Tables, run_figure
from reports.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PALETTE,
    TEXT,
    YELLOW,
    figure_of,
    legend,
    letters,
    narrow,
    panels,
    shortened,
)
from reports.runs import frames
from reports.runs.run import Run
from reports.runs.splits import BRANCHES
from reports.tables.table import macs_unit

_BRANCH_COLOURS = dict(zip(BRANCHES, (BLUE, YELLOW, GREEN, ORANGE), strict=True))
_BRANCH_HATCHES = dict(zip(BRANCHES, ("", "///", "...", "\\\\\\"), strict=True))


def composition(shares: pd.DataFrame, width: float = TEXT) -> Figure:
    """Stacked bars of each row's output channels by branch, a panel a network, from `reports.runs.frames.compositions`."""
    networks = list(dict.fromkeys(shares["network"]))
    rows = list(dict.fromkeys(shares["row"]))
    columns = min(len(networks), 2 if narrow(width) else 4)
    lines = math.ceil(len(networks) / columns)
    figure = figure_of(width, 0.9 + lines * (0.55 + 0.2 * len(rows)))
    grid = panels(figure, lines, columns, sharex=True, sharey=True)
    places = {row: len(rows) - 1 - index for index, row in enumerate(rows)}
    flat = [axes for line in grid for axes in line]
    for axes, network in zip(flat, networks, strict=False):
        part = shares[shares["network"] == network].pivot(index="row", columns="branch", values="share")
        left = pd.Series(0.0, part.index)
        for branch in BRANCHES:
            axes.barh(
                [places[row] for row in part.index],
                100 * part[branch],
                left=left,
                height=0.75,
                color=_BRANCH_COLOURS[branch],
                hatch=_BRANCH_HATCHES[branch],
                edgecolor="white",
                linewidth=0.4,
                label=branch,
            )
            left += 100 * part[branch]
        axes.set_title(shortened(network, int(13 * width / columns)), fontsize=letters(width))
        axes.set_xlim(0, 100)
        axes.grid(visible=False)
    for axes in flat[len(networks) :]:
        axes.set_visible(False)
    flat[0].set_yticks(list(places.values()), [shortened(row, 14) for row in places])
    for axes in flat[: len(networks)][-columns:]:
        axes.set_xlabel("channels (%)")
    legend(figure, flat[0])
    return figure


def cost_by_row(costs: pd.DataFrame, width: float = TEXT) -> Figure:
    """MACs and parameters of each row, networks side by side, from `reports.runs.frames.row_costs`."""
    networks, rows = list(dict.fromkeys(costs["network"])), list(dict.fromkeys(costs["row"]))
    thick = 0.8 / len(networks)
    each = 0.9 + max(0.16, 0.11 * len(networks)) * len(rows)
    figure = figure_of(width, each + 0.2)
    grid = panels(figure, 1, 2, sharey=True)
    unit, factor = macs_unit(costs["macs"].tolist())
    flat = [axes for line in grid for axes in line]
    for axes, column, scale, title in zip(
        flat, ("macs", "params"), (factor, 1e-6), (f"MACs ({unit})", "parameters (M)"), strict=True
    ):
        for index, network in enumerate(networks):
            part = costs[costs["network"] == network].set_index("row")[column].reindex(rows)
            at = [len(rows) - 1 - place + 0.4 - thick * (index + 0.5) for place in range(len(rows))]
            hatch = ("", "///", "...")[index % 3]
            axes.barh(
                at,
                scale * part,
                height=0.9 * thick,
                color=PALETTE[index % len(PALETTE)],
                hatch=hatch,
                edgecolor="white",
                linewidth=0.3,
                label=shortened(network, 36),
            )
        axes.set_xlabel(title)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="y", visible=False)
        axes.set_yticks([len(rows) - 1 - place for place in range(len(rows))], [shortened(row, 14) for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
    if len(networks) > 1:
        legend(figure, flat[0])
    return figure


# Of a run


@run_figure(
    "composition",
    "How the best networks divide their channels among the branches, next to the base and GoogLeNet.",
    composition,
    order=100,
    of=("study",),
)
def _divided(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    shares = frames.compositions(run)
    return None if run.ranked.empty or shares.empty else (shares,)


@run_figure("cost_by_row", "What each row costs, auxiliary heads apart.", cost_by_row, order=110)
def _row_by_row(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    """Return what the networks cost, where they have the same rows."""
    specs = {f"{name}: {spec.name}" if name == "base" else name: spec for name, spec in run.specs.items()}
    same = len({tuple(row.name for row in spec.rows) for spec in specs.values()}) == 1
    return (frames.row_costs(specs),) if same else None
