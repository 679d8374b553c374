"""Figures of the page that answer a pointer: functions frame -> plotly figure, small, without templates."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from reports.figures.series import cost_label, front_by, ordered, over_seeds
from reports.figures.style import BLUE, GREEN, GREY, ORANGE, VERDICTS, look
from reports.runs.frames import OTHERS
from reports.tables.paired import DIFFERENCE
from search.record.layout import BASE

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


def learning_curves(curves: pd.DataFrame, label: str) -> go.Figure:
    """Accuracy by epoch with bands over seeds, as `reports.figures.curves.learning_curves`; hovering names the training."""
    figure = _figure("epoch", label)
    figure.update_xaxes(dtick=max(1, int(curves["epoch"].max()) // 10))
    for index, (name, frame) in enumerate(ordered(curves)):
        figure.add_traces([_other_curves(frame)] if name == OTHERS else _series(_text(name), frame, index))
    return figure


def _series(name: str, frame: pd.DataFrame, index: int) -> list[go.Scatter]:
    """Return a series as the mean of its trainings; of several also the band from the least to the most."""
    band, n, colour = over_seeds(frame), frame["training"].nunique(), look(index)[0]
    bounds = [_bound(name, band, "low", colour), _bound(name, band, "high", colour, "tonexty")] if n > 1 else []
    rates = frame.groupby("epoch")["lr"].mean().reindex(band["epoch"])
    return [*bounds, _mean(name, band, rates, n, index)]


def _bound(name: str, band: pd.DataFrame, bound: str, colour: str, fill: str | None = None) -> go.Scatter:
    return go.Scatter(
        x=band["epoch"].tolist(),
        y=_rounded(band[bound]),
        mode="lines",
        line={"width": 0},
        fill=fill,
        fillcolor=_faint(colour),
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )


def _mean(name: str, band: pd.DataFrame, rates: pd.Series, n: int, index: int) -> go.Scatter:
    colour, marker, dash = look(index)
    return go.Scatter(
        x=band["epoch"].tolist(),
        y=_rounded(band["mean"]),
        customdata=[f"{rate:.4g}" for rate in rates],
        name=f"{name} (n = {n})" if n > 1 else name,
        mode="lines+markers",
        line={"color": colour, "dash": _DASHES[dash], "width": 2},
        marker={"symbol": _SYMBOLS[marker], "size": 5},
        legendgroup=name,
        hovertemplate="%{y:.2f}, epoch %{x}, learning rate %{customdata}",
    )


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
        figure.add_trace(_front(factor * front[cost], front["score"]))
    for role in _ROLES:
        part = networks[networks["role"] == role]
        if len(part):
            figure.add_trace(_networks(role, factor * part[cost], part))
    if limit:
        figure.add_vline(x=factor * limit, line={"color": GREEN, "dash": "dot"}, annotation_text="limit")
    return figure


def _front(costs: pd.Series, scores: pd.Series) -> go.Scatter:
    return go.Scatter(
        x=_rounded(costs),
        y=_rounded(scores),
        mode="lines",
        line={"color": ORANGE, "shape": "hv", "width": 1},
        name="front of the trials",
        hoverinfo="skip",
    )


class _Look(NamedTuple):
    """How the networks of one role are named and marked."""

    name: str
    colour: str
    symbol: str
    size: int


_ROLES = {
    "trial": _Look("trials", GREY, "circle", 8),
    "best": _Look("best", ORANGE, "diamond", 12),
    "base": _Look("base network", BLUE, "square", 11),
}


def _networks(role: str, costs: pd.Series, part: pd.DataFrame) -> go.Scatter:
    shown = _ROLES[role]
    return go.Scatter(
        x=_rounded(costs),
        y=_rounded(part["score"]),
        text=["base network" if t == BASE else f"trial {_text(t)}" for t in part["trial"]],
        mode="markers",
        marker={"color": shown.colour, "symbol": shown.symbol, "size": shown.size},
        name=shown.name,
        hovertemplate="%{text}: %{y:.2f} at %{x:.3f}<extra></extra>",
    )


def comparison(trainings: pd.DataFrame, differences: pd.DataFrame, judged: str) -> go.Figure:
    """What is explored of a comparison: its differences, as a forest."""
    return forest(differences)


def forest(differences: pd.DataFrame) -> go.Figure:
    """Paired differences to the base with 95 % intervals; hovering gives the verdict. From `reports.tables.paired.pairs`."""
    figure = _figure(f"{DIFFERENCE}, mean and 95 % interval", "")
    names = differences["name"].map(_text)
    for verdict in VERDICTS:
        part = differences[differences["verdict"] == verdict]
        if len(part):
            figure.add_trace(_judged(verdict, names[part.index], part))
    figure.add_vline(x=0, line={"color": BLUE, "dash": "dash"})
    figure.update_yaxes(categoryorder="array", categoryarray=names.tolist()[::-1])
    figure.update_layout(height=170 + 32 * len(names))
    return figure


def _judged(verdict: str, names: pd.Series, part: pd.DataFrame) -> go.Scatter:
    colour, marker = VERDICTS[verdict]
    above, below = part["high"] - part["difference"], part["difference"] - part["low"]
    return go.Scatter(
        x=_rounded(part["difference"]),
        y=names.tolist(),
        error_x={"type": "data", "symmetric": False, "array": _rounded(above), "arrayminus": _rounded(below)},
        customdata=[f"{_text(words)}, n = {n}" for words, n in zip(part["words"], part["pairs"], strict=True)],
        mode="markers",
        marker={"color": colour, "symbol": _SYMBOLS.get(marker, "x"), "size": 9},
        name=verdict,
        hovertemplate="%{y}: %{x:+.2f} (%{customdata})<extra></extra>",
    )


def importance(shares: pd.DataFrame) -> go.Figure:
    """All parameters' importance by both evaluators, as bars, from the frame of the table of that name."""
    figure = _figure("share of all importance", "")
    names = [_text(name) for name in shares["parameter"]]
    for column, name, colour in (("importance", "fANOVA", BLUE), ("mdi", "MDI", ORANGE)):
        bars = go.Bar(
            x=_rounded(shares[column]),
            y=names,
            orientation="h",
            name=name,
            marker={"color": colour, "pattern": {"shape": "/" if column == "mdi" else ""}},
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
