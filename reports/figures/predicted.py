"""Figures of what a network predicted: accuracy by class, confusion, calibration, test images."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.figures.run_figures import Tables, run_figure
from reports.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    TEXT,
    axes_of,
    figure_of,
    legend,
    letters,
    narrow,
    panels,
    shortened,
    style,
)
from reports.runs import predictions
from reports.runs.run import Run
from search.record.predictions import calibration_error

_NUMBERS_UP_TO = 12  # classes whose confusions are written into the cells
_NAMES_UP_TO = 40  # classes that are named at the axes


def class_accuracy(classes: pd.DataFrame, width: float = TEXT) -> Figure:
    """Accuracy of each class with Wilson's 95 % interval, best first, from `reports.runs.predictions.by_class`."""
    frame = classes[classes["n"] > 0].sort_values("accuracy", ascending=False, kind="stable").reset_index(drop=True)
    named = len(frame) <= _NAMES_UP_TO
    figure, axes = axes_of("test accuracy (%), 95 % interval", "", width, 0.8 + (0.2 if named else 0.035) * len(frame))
    places = list(range(len(frame) - 1, -1, -1))
    errors = [frame["accuracy"] - frame["low"], frame["high"] - frame["accuracy"]]
    axes.errorbar(frame["accuracy"], places, xerr=errors, fmt="o", color=BLUE, markersize=4, linewidth=1.2)
    mean = 100 * frame["right"].sum() / frame["n"].sum()
    axes.axvline(mean, color=ORANGE, linestyle="--", label=f"all images: {mean:.2f} % (n = {frame['n'].sum():,})")
    axes.set_yticks(places if named else [], [shortened(name, 20) for name in frame["class"]] if named else [])
    if not named:
        axes.set_ylabel(f"{len(frame)} classes, best first")
    axes.set_ylim(-0.7, len(frame) - 0.3)
    legend(figure, axes)
    return figure


def confusion_matrix(counts: pd.DataFrame, width: float = TEXT) -> Figure:
    """Each class's images by the class that they were taken for, in per cent, from `reports.runs.predictions.confusion`."""
    shares = 100 * counts.div(counts.sum(axis=1).where(lambda n: n > 0), axis=0)
    n, side = len(counts), min(width, 5.0)
    figure, axes = axes_of("predicted class", "true class", side, 0.92 * side)
    picture = axes.imshow(shares.to_numpy(dtype=float), cmap="Blues", vmin=0, vmax=100)
    if n <= _NUMBERS_UP_TO:
        _write_shares(axes, shares, narrow(width))
    axes.grid(visible=False)
    if n <= _NAMES_UP_TO:
        names, small = [shortened(str(name), 14) for name in counts.index], 8 if n <= _NUMBERS_UP_TO else 5
        axes.set_xticks(range(n), names, rotation=90, fontsize=small)
        axes.set_yticks(range(n), names, fontsize=small)
    with style(width):
        figure.colorbar(picture, ax=axes, label="of the true class (%)", shrink=0.8)
    return figure


def _write_shares(axes: Any, shares: pd.DataFrame, small: bool) -> None:
    """Write each share into its cell; in a small figure only rounded per cents."""
    for i, line in enumerate(shares.to_numpy(dtype=float)):
        for j, share in enumerate(line):
            if share >= (0.5 if small else 0.05):
                text = f"{share:.0f}" if small or share >= 9.95 else f"{share:.1f}"
                colour = "white" if share > 50 else "black"
                axes.text(j, i, text, ha="center", va="center", fontsize=6 if small else 8, color=colour)


def reliability(bins: pd.DataFrame, width: float = TEXT) -> Figure:
    """Accuracy by confidence and how many images had it, from `reports.runs.predictions.calibration`."""
    side = min(width, 4.5)
    figure = figure_of(side, 1.1 * side)
    (upper,), (lower,) = panels(figure, 2, 1, sharex=True, height_ratios=(3, 1))
    left, wide = 100 * bins["lower"], 100 * (bins["upper"] - bins["lower"])
    upper.bar(left, 100 * bins["accuracy"], wide, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    upper.plot(
        100 * bins["confidence"], 100 * bins["confidence"], "D", color=ORANGE, markersize=4, label="mean confidence"
    )
    upper.plot([0, 100], [0, 100], "--", color=GREY, linewidth=1, label="calibrated")
    upper.set_ylabel("accuracy (%)")
    upper.set_xlim(0, 100)
    upper.set_ylim(0, 100)
    rows = [{str(key): value for key, value in row.items()} for row in bins.to_dict("records")]
    title = f"expected calibration error {100 * calibration_error(rows):.2f} points"
    upper.set_title(title, loc="left", fontsize=letters(width) - 0.5)
    lower.bar(left, bins["images"], wide, align="edge", color=GREY, edgecolor="white")
    lower.set_ylabel("images")
    lower.set_xlabel("confidence (%)")
    legend(figure, upper)
    return figure


def image_grid(pictures: pd.DataFrame, width: float = TEXT) -> Figure:
    """Test images with what the network took them for, the wrong ones first, from `reports.runs.predictions.pictures`."""
    columns = 5 if narrow(width) else 8
    lines = math.ceil(len(pictures) / columns)
    side = width / columns
    figure = figure_of(width, lines * (side + 0.34))
    grid = [axes for line in panels(figure, lines, columns) for axes in line]
    most = int(21 * side)
    for axes, row in zip(grid, pictures.to_dict("records"), strict=False):
        image = row["image"]
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        predicted = f"{'✓' if row['right'] else '✗'} {shortened(row['predicted'], most - 2)}"
        truth = "" if row["right"] else f"\nis {shortened(row['label'], most - 3)}"
        axes.set_title(predicted + truth, fontsize=5.5, pad=2, color=GREEN if row["right"] else ORANGE)
    for axes in grid:
        axes.set_axis_off()
    return figure


# Of a run


@run_figure("class_accuracy", "Test accuracy by class.", class_accuracy, order=120)
def _by_class(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (predictions.by_class(run.predictions),) if run.predictions else None


@run_figure("confusion", "What was taken for what.", confusion_matrix, order=130)
def _confused(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (predictions.confusion(run.predictions),) if run.predictions else None


@run_figure(
    "reliability",
    "Accuracy by confidence, in bins of equal width (ECE: Guo et al. 2017).",
    reliability,
    order=140,
)
def _calibrated(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (predictions.calibration(run.predictions),) if run.predictions else None


@run_figure(
    "test_images",
    "Test images and what they were taken for, the wrong ones first: chosen to show errors, no fair sample.",
    image_grid,
    order=150,
)
def _pictures(run: Run, tables: Tables) -> tuple[Any, ...] | None:
    return (predictions.pictures(run.predictions),) if run.predictions and len(run.predictions.shown) else None
