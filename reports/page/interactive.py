"""Figures of the page that answer a pointer: functions frame -> plotly figure, small, without templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from reports.figures.curves import ordered, over_seeds
from reports.figures.importance import VERDICTS
from reports.figures.style import BLUE, GREEN, GREY, ORANGE, look
from reports.figures.tradeoff import cost_label, front_by
from reports.runs import frames
from reports.runs.frames import OTHERS
from reports.runs.run import Run
from reports.tables.paired import DIFFERENCE
from reports.tables.protocol import label
from reports.tables.table import Table

_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
}
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_MOST_OTHERS = 50  # curves of trials without a name, so that the page stays small


def interactive_of(run: Run, tables: Sequence[Table]) -> dict[str, go.Figure]:
    """Return the plotly versions of a run's figures, by the names that `figures_of` gives; not all have one."""
    by_name = {table.name: table for table in tables}
    found: dict[str, go.Figure] = {}
    for name in ("confirmation", "ablation"):
        if f"{name}_differences" in by_name:
            found[name] = forest(by_name[f"{name}_differences"].frame)
    if run.confirmation:
        curves = frames.confirmation_curves(run)
        if not curves.empty:
            found["confirmation_curves"] = learning_curves(curves, "train accuracy (%)")
    curves = frames.curves(run)
    if not curves.empty:
        found["learning_curves"] = learning_curves(curves, frames.curves_label(run))
    if run.kind == "study" and not run.ranked.empty:
        networks = frames.networks(run)
        for cost in ("macs", "params"):
            if networks[cost].notna().all():
                limit = run.config.get("max_macs") if cost == "macs" else None
                drawn = accuracy_against(networks, cost, label(run), run.objective == "val_loss", limit)
                found[f"accuracy_against_{cost}"] = drawn
    if "importance" in by_name:
        found["importance"] = importance(by_name["importance"].frame)
    return found


def learning_curves(curves: pd.DataFrame, label: str) -> go.Figure:
    """Accuracy by epoch with bands over seeds, as `reports.figures.curves.learning_curves`; hovering names the training."""
    figure = _figure("epoch", label)
    figure.update_xaxes(dtick=max(1, int(curves["epoch"].max()) // 10))
    for index, (name, frame) in enumerate(ordered(curves)):
        colour, marker, dash = look(index)
        if name == OTHERS:
            figure.add_trace(_other_curves(frame))
            continue
        band, n = over_seeds(frame), frame["training"].nunique()
        if n > 1:
            for bound, fill in (("low", None), ("high", "tonexty")):
                figure.add_trace(
                    go.Scatter(
                        x=band["epoch"].tolist(),
                        y=_rounded(band[bound]),
                        mode="lines",
                        line={"width": 0},
                        fill=fill,
                        fillcolor=_faint(colour),
                        hoverinfo="skip",
                        showlegend=False,
                        legendgroup=_text(name),
                    )
                )
        rates = frame.groupby("epoch")["lr"].mean().reindex(band["epoch"])
        figure.add_trace(
            go.Scatter(
                x=band["epoch"].tolist(),
                y=_rounded(band["mean"]),
                customdata=[f"{rate:.4g}" for rate in rates],
                name=f"{_text(name)} (n = {n})" if n > 1 else _text(name),
                mode="lines+markers",
                line={"color": colour, "dash": _DASHES[dash], "width": 2},
                marker={"symbol": _SYMBOLS[marker], "size": 5},
                legendgroup=_text(name),
                hovertemplate="%{y:.2f}, epoch %{x}, learning rate %{customdata}",
            )
        )
    return figure


def _other_curves(frame: pd.DataFrame) -> go.Scatter:
    """Return the curves of trials without a series as one trace, cut where a new one begins."""
    x: list[Any] = []
    y: list[Any] = []
    text: list[Any] = []
    last = frame.groupby("training")["accuracy"].last().sort_values(ascending=False)
    for training in last.index[:_MOST_OTHERS]:
        one = frame[frame["training"] == training]
        x += [*one["epoch"].tolist(), None]
        y += [*_rounded(one["accuracy"]), None]
        text += [*[f"trial {_text(training)}"] * len(one), None]
    shown = f", the best {_MOST_OTHERS} of them" if len(last) > _MOST_OTHERS else ""
    return go.Scatter(
        x=x,
        y=y,
        text=text,
        name=f"{OTHERS} (n = {len(last)}{shown})",
        mode="lines",
        line={"color": GREY, "width": 0.8},
        opacity=0.6,
        hovertemplate="%{y:.2f}, epoch %{x}<extra>%{text}</extra>",
    )


def accuracy_against(
    networks: pd.DataFrame, cost: str, label: str, minimise: bool = False, limit: float | None = None
) -> go.Figure:
    """Score against `macs` or `params`, with the front; hovering names the trial."""
    title, factor = cost_label(networks, cost)
    figure = _figure(title, label)
    front = front_by(networks, cost, minimise)
    if len(front):
        figure.add_trace(
            go.Scatter(
                x=_rounded(factor * front[cost]),
                y=_rounded(front["score"]),
                mode="lines",
                line={"color": ORANGE, "shape": "hv", "width": 1},
                name="front of the trials",
                hoverinfo="skip",
            )
        )
    looks = {"trial": (GREY, "circle", 8), "best": (ORANGE, "diamond", 12), "base": (BLUE, "square", 11)}
    for role, (colour, symbol, size) in looks.items():
        part = networks[networks["role"] == role]
        if len(part):
            figure.add_trace(
                go.Scatter(
                    x=_rounded(factor * part[cost]),
                    y=_rounded(part["score"]),
                    text=["base network" if t == "base" else f"trial {_text(t)}" for t in part["trial"]],
                    mode="markers",
                    marker={"color": colour, "symbol": symbol, "size": size},
                    name={"trial": "trials", "best": "best", "base": "base network"}[role],
                    hovertemplate="%{text}: %{y:.2f} at %{x:.3f}<extra></extra>",
                )
            )
    if limit:
        figure.add_vline(x=factor * limit, line={"color": GREEN, "dash": "dot"}, annotation_text="limit")
    return figure


def forest(differences: pd.DataFrame) -> go.Figure:
    """Paired differences to the base with 95 % intervals; hovering gives the verdict. From a table of differences."""
    figure = _figure(f"{DIFFERENCE}, mean and 95 % interval", "")
    names = [_text(name) for name in differences.iloc[:, 0]]
    for verdict, (colour, marker) in VERDICTS.items():
        picked = differences["verdict"].astype(str).str.partition(":")[0] == verdict
        part = differences[picked]
        if part.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=_rounded(part[DIFFERENCE]),
                y=[name for name, mine in zip(names, picked, strict=True) if mine],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": _rounded(part["to"] - part[DIFFERENCE]),
                    "arrayminus": _rounded(part[DIFFERENCE] - part["95 % from"]),
                },
                customdata=[f"{_text(v)}, n = {int(n)}" for v, n in zip(part["verdict"], part["pairs"], strict=True)],
                mode="markers",
                marker={"color": colour, "symbol": _SYMBOLS.get(marker, "x"), "size": 9},
                name=verdict,
                hovertemplate="%{y}: %{x:+.2f} (%{customdata})<extra></extra>",
            )
        )
    figure.add_vline(x=0, line={"color": BLUE, "dash": "dash"})
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_layout(height=170 + 32 * len(names))
    return figure


def importance(shares: pd.DataFrame) -> go.Figure:
    """All parameters' importance by both evaluators, as bars, from the frame of the table of that name."""
    figure = _figure("share of all importance", "")
    names = [_text(name) for name in shares["parameter"]]
    for column, name, colour in (("importance", "fANOVA", BLUE), ("MDI", "MDI", ORANGE)):
        bars = go.Bar(
            x=_rounded(shares[column]),
            y=names,
            orientation="h",
            name=name,
            marker={"color": colour, "pattern": {"shape": "/" if column == "MDI" else ""}},
            hovertemplate="%{y}: %{x:.3f}",
        )
        figure.add_trace(bars)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_layout(height=170 + 26 * len(names), barmode="group")
    return figure


def _figure(x: str, y: str) -> go.Figure:
    """Return an empty figure that carries no template: plotly's own would be most of the page's data."""
    figure = go.Figure(layout={"template": "none"})
    figure.layout.template = None
    figure.update_layout(
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        height=420,
    )
    figure.update_xaxes(title_text=x, automargin=True)
    figure.update_yaxes(title_text=y, automargin=True)
    return figure


def _rounded(values: pd.Series) -> list[float | None]:
    """Return numbers to five decimals as plain ones; what is missing is no number."""
    return [None if value != value else round(float(value), 5) for value in values]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


def _text(name: Any) -> str:
    """Return a name with what plotly reads as markup escaped."""
    return str(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
