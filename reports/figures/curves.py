"""Figures over time: learning curves with bands over seeds, how a search went, how its front grew."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import interactive
from reports.figures.run_figures import Tables, notes_of_confirmation, run_figure
from reports.figures.series import ordered, over_seeds
from reports.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    TEXT,
    axes_of,
    figure_of,
    legend,
    look,
    narrow,
    panels,
    shortened,
    whole_numbers,
)
from reports.runs import frames
from reports.runs.frames import OTHERS
from reports.runs.run import Run
from reports.tables.insight import HYPERVOLUME, has_front, hypervolume_by_trial
from reports.tables.protocol import label as label_of


def learning_curves(curves: pd.DataFrame, label: str, width: float = TEXT) -> Figure:
    """Accuracy by epoch from `reports.runs.frames.curves`, the learning rate below it.

    A series of several trainings, which differ by their seed, is drawn as the mean at each epoch that all of them
    reached, with a band from the least to the most; those of the series `OTHERS` are drawn grey, each by itself.
    """
    figure = figure_of(width, (0.85 if narrow(width) else 0.68) * width)
    (upper,), (lower,) = panels(figure, 2, 1, sharex=True, height_ratios=(4, 1))
    for index, (name, frame) in enumerate(ordered(curves)):
        colour, marker, dash = look(index)
        if name == OTHERS:
            for place, (_, one) in enumerate(frame.groupby("training", sort=False)):
                shown = f"{OTHERS} (n = {frame['training'].nunique()})" if place == 0 else None
                upper.plot(one["epoch"], one["accuracy"], color=GREY, linewidth=0.7, alpha=0.6, label=shown, zorder=1)
            continue
        band = over_seeds(frame)
        n = frame["training"].nunique()
        shown = shortened(name, 28) + (f" (n = {n})" if n > 1 else "")
        every = max(1, len(band) // 12)
        upper.plot(
            band["epoch"], band["mean"], dash, color=colour, marker=marker, markersize=3.5, markevery=every, label=shown
        )
        if n > 1:
            upper.fill_between(band["epoch"], band["low"], band["high"], color=colour, alpha=0.2, linewidth=0)
    _rates(lower, curves)
    upper.set_ylabel(label)
    lower.set_xlabel("epoch")
    whole_numbers(lower.xaxis)
    legend(figure, upper)
    return figure


def _rates(axes: Any, curves: pd.DataFrame) -> None:
    """Draw each learning rate that was had, at the epochs' ends: grey where several series share it."""
    had: dict[tuple[Any, ...], list[str]] = {}
    for index, (name, frame) in enumerate(ordered(curves)):
        rates = frame.groupby("epoch")["lr"].mean().dropna().round(12)
        had.setdefault(tuple(rates.items()), []).append(GREY if name == OTHERS else look(index)[0])
    for points, colours in had.items():
        shared = len(colours) > 1 or len(had) == 1
        axes.plot(*zip(*points, strict=True), color=GREY if shared else colours[0], linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("learning\nrate")
    axes.locator_params(axis="y", nbins=3)


def search_progress(networks: pd.DataFrame, label: str, minimise: bool = False, width: float = TEXT) -> Figure:
    """The best score so far, trial by trial, and the base, from `reports.runs.frames.networks`."""
    figure, axes = axes_of("trained trials, as they were proposed", label, width)
    done = networks[networks["role"] != "base"]
    done = done.assign(order=done["trial"].astype(int)).sort_values("order")
    so_far = done["score"].cummin() if minimise else done["score"].cummax()
    count = range(1, len(done) + 1)
    axes.scatter(count, done["score"], color=GREY, s=22, label="trial")
    axes.step(count, so_far, where="post", color=ORANGE, label="best so far")
    for score in networks.loc[networks["role"] == "base", "score"]:
        axes.axhline(score, color=BLUE, linestyle="--", label="base network")
    whole_numbers(axes.xaxis)
    legend(figure, axes)
    return figure


def hypervolume(shares: pd.DataFrame, width: float = TEXT) -> Figure:
    """The front's hypervolume after each finished trial, from `reports.tables.insight.hypervolume_by_trial`."""
    figure, axes = axes_of("trained trials, as they were proposed", "hypervolume (share)", width)
    axes.step(shares["trained"], shares["hypervolume"], where="post", color=BLUE)
    axes.set_ylim(0, 1)
    whole_numbers(axes.xaxis)
    return figure


# Of a run


@run_figure(
    "confirmation_curves",
    "Learning curves of the confirmation's trainings; band: least to most of the seeds.",
    learning_curves,
    order=20,
    of=("study",),
    explore=interactive.learning_curves,
    notes=notes_of_confirmation,
)
def _confirmed(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    found = frames.confirmation_curves(run)
    return None if found.empty else (found, "train accuracy (%)")


@run_figure(
    "learning_curves",
    lambda run: f"Learning curves{'; band: least to most of the seeds' if run.ablation else ''}.",
    learning_curves,
    order=30,
    explore=interactive.learning_curves,
)
def _trained(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    found = frames.curves(run)
    return None if found.empty else (found, frames.curves_label(run))


@run_figure("search_progress", "How the search went.", search_progress, order=50, of=("study",))
def _searched(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return None if run.ranked.empty else (frames.networks(run), label_of(run), run.objectives.minimise)


@run_figure("hypervolume", HYPERVOLUME, hypervolume, order=60, of=("study",))
def _grown(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (hypervolume_by_trial(run),) if has_front(run) else None
