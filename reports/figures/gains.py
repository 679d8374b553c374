"""The figure of a race: what was seen of each leading candidate, and what is to be expected of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures.run_figures import Tables, run_figure
from reports.figures.style import BLUE, GREY, ORANGE, TEXT, axes_of, legend
from reports.runs.run import Run

_MOST = 15  # candidates that are drawn


def gains(candidates: pd.DataFrame, width: float = TEXT) -> Figure:
    """Each candidate's expected gain with its interval and what was seen, best first; the base stands at 0.

    `candidates` has the columns `candidate`, `n`, `seen`, `expected`, `low`, `high`, in points.
    """
    figure, axes = axes_of("gain over the base (points), 95 % interval", "", width, 0.9 + 0.22 * len(candidates))
    places = list(range(len(candidates) - 1, -1, -1))
    axes.axvline(0, color=ORANGE, linestyle="--", label="base network")
    axes.hlines(places, candidates["seen"], candidates["expected"], color=GREY, linewidth=0.8)
    axes.plot(candidates["seen"], places, "o", color=GREY, markerfacecolor="white", markersize=5, label="seen")
    errors = [candidates["expected"] - candidates["low"], candidates["high"] - candidates["expected"]]
    axes.errorbar(
        candidates["expected"],
        places,
        xerr=errors,
        fmt="D",
        color=BLUE,
        markersize=4.5,
        linewidth=1.2,
        label="expected",
    )
    axes.set_yticks(places, [f"{row.candidate} (n = {row.n})" for row in candidates.itertuples()])
    axes.set_ylim(-0.7, len(candidates) - 0.3)
    legend(figure, axes)
    return figure


@run_figure(
    "gains",
    "What was seen of the leading candidates, and what is to be expected. The line between the two is luck, as far as "
    "repeated trainings tell it from merit.",
    gains,
    order=5,
    of=("study",),
)
def _gains(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (tables["candidates"].frame.head(_MOST),) if "candidates" in tables else None
