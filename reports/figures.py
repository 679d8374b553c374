"""Figures for papers: functions from frames to matplotlib figures, written as SVG and PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from reports.load import BASE, Run
from reports.protocol import label, protocol
from reports.table import Table
from search.record import replace_file

# Okabe and Ito's palette, told apart by colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"
_WIDTH, _HEIGHT = 6.0, 3.6  # inches: the text width of most papers
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "svg.fonttype": "path",
    "svg.hashsalt": "inceptory",
}


def learning_curves(run: Run) -> Figure:
    """Held-out accuracy by epoch: every trial grey, the best and the base in colour."""
    figure, axes = _axes("epoch", "held-out accuracy (%)")
    best = None if run.ranked.empty else run.ranked.iloc[0]["trial"]
    for trial, frame in run.epochs.groupby("trial", sort=False):
        label, colour, width = _look(str(trial), best)
        curve = frame[["epoch", "val_accuracy"]].dropna()
        axes.plot(
            curve["epoch"],
            100 * curve["val_accuracy"],
            marker="o",
            markersize=3,
            label=label,
            color=colour,
            linewidth=width,
        )
    if run.kind == "training":
        axes.plot(
            run.epochs["epoch"],
            100 * run.epochs["train_accuracy"],
            "--",
            color=GREY,
            label="training images, augmented",
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _look(trial: str, best: str | None) -> tuple[str | None, str, float]:
    if trial == BASE:
        return "base network", BLUE, 1.8
    if trial == best:
        return f"best (trial {trial})", ORANGE, 1.8
    if trial == "training":
        return "held-out images", BLUE, 1.8
    return None, GREY, 0.7


def accuracy_against_macs(run: Run) -> Figure:
    """Objective against cost of each trained network, with the limit and the base."""
    figure, axes = _axes("MACs without auxiliary heads (M)", label(run))
    ranked = run.ranked
    axes.scatter(
        ranked["macs"] / 1e6, _scaled(run, ranked[run.objective]), color=GREY, s=22, label=f"trials (n = {len(ranked)})"
    )
    if not ranked.empty:
        best = ranked.iloc[:1]
        axes.scatter(
            best["macs"] / 1e6,
            _scaled(run, best[run.objective]),
            color=ORANGE,
            s=45,
            zorder=3,
            label=f"best (trial {best.iloc[0]['trial']})",
        )
    if run.base:
        base = pd.Series([run.base[run.objective]])
        axes.scatter(
            [run.base["macs"] / 1e6], _scaled(run, base), color=BLUE, marker="s", s=40, zorder=3, label="base network"
        )
    if run.config.get("max_macs"):
        axes.axvline(run.config["max_macs"] / 1e6, color=GREEN, linestyle=":", label="limit")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def search_progress(run: Run) -> Figure:
    """The best objective so far, trial by trial, and the base."""
    figure, axes = _axes("trained trials, in the order they were proposed", label(run))
    done = run.ranked.assign(order=run.ranked["trial"].astype(int)).sort_values("order")
    values = done[run.objective]
    so_far = values.cummin() if run.objective == "val_loss" else values.cummax()
    count = range(1, len(done) + 1)
    axes.scatter(count, _scaled(run, values), color=GREY, s=22, label="trial")
    axes.step(count, _scaled(run, so_far), where="post", color=ORANGE, label="best so far")
    if run.base:
        axes.axhline(
            float(_scaled(run, pd.Series([run.base[run.objective]])).iloc[0]),
            color=BLUE,
            linestyle="--",
            label="base network",
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def importance(shares: pd.DataFrame) -> Figure:
    """The most important parameters, as bars, from the frame of the table of that name."""
    top = shares.head(15).iloc[::-1]
    figure, axes = _axes("share of the objective's variance (fANOVA)", "", height=0.6 + 0.24 * len(top))
    axes.barh(top["parameter"], top["importance"], color=BLUE)
    axes.grid(axis="y", visible=False)
    return figure


def footnote(run: Run) -> str:
    """Return the one line of n, seeds, data, recipe and hardware that stands under every figure."""
    text = " ".join(protocol(run)).removeprefix("Protocol: ").replace(" Hardware: ", " ")
    return "\n".join(textwrap.wrap(text, 125))


def figures_of(run: Run, tables: Sequence[Table]) -> Iterator[tuple[str, str, Figure]]:
    """Yield (name, caption, figure) for everything that a run with these tables has to show."""
    for name, caption, figure in _drawn(run, tables):
        figure.supxlabel(footnote(run), x=0.01, ha="left", fontsize=5.5, color=GREY)
        yield name, caption, figure


def _drawn(run: Run, tables: Sequence[Table]) -> Iterator[tuple[str, str, Figure]]:
    if not run.epochs.empty and run.epochs["val_accuracy"].notna().any():
        yield "learning_curves", "Learning curves.", learning_curves(run)
    if run.kind == "study" and not run.ranked.empty:
        yield "accuracy_against_macs", "What each network cost, and how it did.", accuracy_against_macs(run)
        yield "search_progress", "How the search went.", search_progress(run)
        for table in tables:
            if table.name == "importance":
                yield "importance", "Which parameters mattered in this search.", importance(table.frame)


def write(figure: Figure, folder: Path, name: str) -> None:
    """Write `NAME.svg` and `NAME.png` (200 dots an inch)."""
    with matplotlib.rc_context(_STYLE):
        formats: dict[str, dict[str, Any]] = {"svg": {"metadata": {"Date": None}}, "png": {"dpi": 200}}
        for ending, options in formats.items():
            save = partial(figure.savefig, format=ending, **options)
            replace_file(folder / f"{name}.{ending}", save)


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG element."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(x: str, y: str, height: float = _HEIGHT) -> tuple[Figure, Any]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
    return figure, axes


def _scaled(run: Run, values: pd.Series) -> pd.Series:
    return values if run.objective == "val_loss" else 100 * values
