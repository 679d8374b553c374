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

from reports.comparison import JUDGED, comparison_protocol, scored
from reports.learnt import (
    HYPERVOLUME,
    aux_heads,
    distribution,
    front_of,
    hypervolume_by_trial,
    points,
    same_cost,
    whose,
)
from reports.load import Comparison, Run
from reports.protocol import label, protocol
from reports.table import Table
from search.record import BASE, replace_file

# Okabe and Ito's palette, told apart by colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"
_MORE, _MARKERS = (ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9"), ("s", "^", "D", "v", "P")
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
    if len(ranked) > 1 and not same_cost(run):
        front = ranked.iloc[front_of(points(run, ranked))]
        axes.step(
            front["macs"] / 1e6,
            _scaled(run, front[run.objective]),
            where="post",
            color=ORANGE,
            linewidth=1,
            label="front of the trials",
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
    """The most important parameters by both evaluators, as bars, from the frame of the table of that name."""
    top = shares.head(15).iloc[::-1].reset_index(drop=True)
    figure, axes = _axes("share of the importance of all parameters", "", height=0.8 + 0.3 * len(top))
    axes.barh(top.index + 0.2, top["importance"], height=0.38, color=BLUE, label="fANOVA")
    axes.barh(top.index - 0.2, top["MDI"], height=0.38, color=ORANGE, label="MDI")
    axes.set_yticks(top.index, top["parameter"])
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", frameon=False)
    return figure


def hypervolume(shares: pd.DataFrame) -> Figure:
    """The front's hypervolume after each finished trial, from `hypervolume_by_trial`."""
    figure, axes = _axes("trained trials, in the order they were proposed", "hypervolume (share of the box)")
    axes.step(shares["trained"], shares["hypervolume"], where="post", color=BLUE)
    axes.set_ylim(0, 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def distribution_of_trials(run: Run) -> Figure:
    """The share of finished trials at or below each value of the objective, its bootstrap band, and the base."""
    steps = distribution(run)
    frame = pd.concat([steps.head(1).assign(share=0.0, low=0.0, high=0.0), steps])  # the first step rises from zero
    figure, axes = _axes(label(run), "share of trials at or below")
    x = _scaled(run, frame["value"])
    axes.fill_between(x, frame["low"], frame["high"], step="post", color=BLUE, alpha=0.2, label="95 % bootstrap band")
    axes.step(x, frame["share"], where="post", color=BLUE, label=f"finished trials (n = {len(run.ranked)})")
    if run.base:
        base = float(_scaled(run, pd.Series([run.base[run.objective]])).iloc[0])
        axes.axvline(base, color=ORANGE, linestyle="--", label="base network")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def aux_weights(run: Run) -> Figure:
    """Held-out accuracy of the network and of each head, against the loss weight of each head; a panel a weight."""
    heads, ranked = aux_heads(run), run.ranked
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        panels = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
        for panel, head in zip(panels, heads, strict=True):
            weight = ranked[f"aux_weight.{head}"]
            panel.scatter(weight, 100 * ranked["val_accuracy"], color=BLUE, s=20, label="network")
            for other, colour, marker in zip(heads, _MORE, _MARKERS, strict=False):
                accuracy = 100 * ranked[f"val_aux_accuracy.{other}"]
                panel.scatter(weight, accuracy, color=colour, marker=marker, s=16, label=f"head {other}")
            panel.set_xlabel(f"loss weight of head {head}")
        panels[0].set_ylabel("held-out accuracy (%)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(heads) + 1)
    return figure


def comparison(found: Comparison) -> Figure:
    """Accuracy of each network, seed by seed, and the differences to the base with their 95 % intervals."""
    result = scored(found)
    names = list(result.scores.index)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 1.4 + 0.45 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        places = {name: len(names) - 1 - index for index, name in enumerate(names)}
        for name, place in places.items():
            values = result.scores.loc[name].dropna()
            left.scatter(values, [place] * len(values), color=BLUE if name == BASE else GREY, s=16, alpha=0.8)
            if len(values):
                left.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=BLUE if name == BASE else ORANGE)
        for name, compared in result.compared.items():
            low, high = compared.interval
            right.plot([low, high], [places[name]] * 2, color=ORANGE)
            right.scatter([compared.mean], [places[name]], color=ORANGE, s=24, zorder=3)
        right.axvline(0, color=BLUE, linestyle="--")
        left.set_yticks(list(places.values()), list(places))
        left.set_ylim(-0.6, len(names) - 0.4)
        left.set_xlabel(f"{JUDGED[found.judged]} accuracy (%), a dot a seed,\nline: mean")
        right.set_xlabel("difference to the base (points),\nmean and 95 % interval")
    return figure


def footnote(notes: Sequence[str]) -> str:
    """Return the lines of n, seeds, data, recipe and hardware that stand under every figure."""
    text = " ".join(notes).removeprefix("Protocol: ").replace(" Hardware: ", " ")
    return "\n".join(textwrap.wrap(text, 125))


def figures_of(run: Run, tables: Sequence[Table]) -> Iterator[tuple[str, str, Figure]]:
    """Yield (name, caption, figure) for everything that a run with these tables has to show."""
    for name, caption, figure in _drawn(run, tables):
        compared = run.ablation or (run.confirmation if name == "confirmation" else None)
        notes = comparison_protocol(compared) if compared else protocol(run)
        figure.supxlabel(footnote(notes), x=0.01, ha="left", fontsize=5.5, color=GREY)
        yield name, caption, figure


def _drawn(run: Run, tables: Sequence[Table]) -> Iterator[tuple[str, str, Figure]]:
    if run.confirmation:
        yield (
            "confirmation",
            "The best networks and the base, trained again with fresh seeds.",
            comparison(run.confirmation),
        )
    if run.ablation:
        yield "ablation", "The base and its changes, trained with the same seeds.", comparison(run.ablation)
    if not run.epochs.empty and run.epochs["val_accuracy"].notna().any():
        yield "learning_curves", "Learning curves.", learning_curves(run)
    if run.kind == "study" and not run.ranked.empty:
        yield "accuracy_against_macs", "What each network cost, and how it did.", accuracy_against_macs(run)
        yield "search_progress", "How the search went.", search_progress(run)
    for table in tables:
        if table.name == "front":
            yield "hypervolume", HYPERVOLUME, hypervolume(hypervolume_by_trial(run))
        elif table.name == "distribution":
            yield "distribution", f"How good the trials are. {whose(run)}", distribution_of_trials(run)
        elif table.name == "aux_effect":
            yield "aux_effect", "Auxiliary weights, and what the network and its heads reached.", aux_weights(run)
        elif table.name == "importance":
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
