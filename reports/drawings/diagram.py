"""Drawings of blocks and networks: the places of a graph, in columns and layers, become inches of a figure.

As in the papers, data flows upwards: the input stands at the bottom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Polyline
from matplotlib.textpath import text_to_path

from arch.errors import InputError
from reports.drawings.graph import Box, Edge, Graph, Place
from reports.figures.style import write

Point = tuple[float, float]

# Tints of Okabe and Ito's palette: colour-blind readers distinguish them, and black text stays legible on them.
FILLS = {
    "input": "#FFFFFF",
    "conv": "#CFE7F7",
    "pool": "#FBE3B5",
    "join": "#BFE5D9",
    "dense": "#F3CFE0",
    "plain": "#EAEAEA",
    "block": "#BFE5D9",
    "head": "#F3CFE0",
}
PAPER = 7.0  # inches: the text width of a page
_FAMILY = "DejaVu Sans"  # it comes with matplotlib: the same widths on every machine
_FONT = 7.0  # points
_LINE = 1.25 * _FONT / 72
_MARGIN, _INSET, _ACROSS = 0.08, 0.06, 0.16  # inches: around all, in a box, between boxes
_UP, _SLOPE, _UPMOST = 0.2, 1 / 6, 0.4  # inches between layers, more where an edge would lie flatter, and at most
_WIDEST, _NARROWEST, _LEAST = 3.1, 0.5, 3.2  # inches: text of a box at most and at least; a figure at least
_LARGEST = 300  # inches: at 200 dots an inch, what matplotlib makes an image of
_EDGE: Any = {
    "arrowstyle": "-|>",
    "mutation_scale": 6,
    "linewidth": 0.7,
    "color": "#333333",
    "shrinkA": 0,
    "shrinkB": 0,
}


def draw(graph: Graph) -> Figure:
    """Return a graph as a figure, at most 7 inches wide with text of 7 points wherever its branches allow that.

    Every box is a patch with the id `box-N`, its text `text-N`; every edge is `edge-N-M`.

    Raises
    ------
    InputError
        The figure would be larger than an image can be.
    """
    font = FontProperties(family=_FAMILY, size=_FONT)
    first, last = graph.span
    widest = (PAPER - 2 * _MARGIN + _ACROSS) / (last - first) - _ACROSS - 2 * _INSET
    lines = [_box_text(box.lines, max(_NARROWEST, min(widest, _WIDEST)), font) for box in graph.boxes]
    frame = _frame(graph, lines, font)
    if max(frame.width, frame.height) > _LARGEST:
        size = f"{frame.width:.0f} x {frame.height:.0f} inches"
        raise InputError(
            f"{graph.title}: the drawing would take {size}, but at most {_LARGEST} either way; draw a row."
        )
    figure = Figure(figsize=(frame.width, frame.height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, frame.width), ylim=(0, frame.height))
    axes.set_axis_off()
    for index, box in enumerate(graph.boxes):
        _draw_box(axes, f"{index}", box, frame.rectangle(graph.places[index]), lines[index], font)
    for name, points in _polylines(graph, frame):
        axes.add_patch(FancyArrowPatch(path=Polyline(points), gid=f"edge-{name}", **_EDGE))
    _draw_caption(axes, frame, font)
    return figure


def save(graph: Graph, folder: Path, name: str) -> list[Path]:
    """Draw a graph into `NAME.svg` and `NAME.png`, and return their paths; what no file name takes becomes `_`."""
    name = re.sub(r"[^\w.-]+", "_", name)
    write(draw(graph), folder, name)
    return [folder / f"{name}.{ending}" for ending in ("svg", "png")]


# From places to a figure


@dataclass(frozen=True)
class _Frame:
    """The figure's measures in inches: where column 0 is, the width of boxes, the lower and upper end of each layer."""

    width: float
    height: float
    left: float
    box: float
    layers: list[Point]
    title: list[str]
    caption: list[str]

    def x(self, column: float) -> float:
        """Return the middle of a column."""
        return self.left + column * (self.box + _ACROSS)

    def rectangle(self, place: Place) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a box."""
        low, high = self.layers[place.layer]
        return (self.x(place.column) - self.box / 2, low, self.box, high - low)


def _frame(graph: Graph, lines: Sequence[Sequence[str]], font: FontProperties) -> _Frame:
    box = max(_inches(line, font) for text in lines for line in text) + 2 * _INSET
    pitch, (first, last) = box + _ACROSS, graph.span
    content = (last - first) * pitch - _ACROSS
    width = max(_LEAST, content + 2 * _MARGIN)
    title = _wrapped(graph.title.split(), width - 2 * _MARGIN, _bold(font))
    caption = _wrapped(graph.caption.split(), width - 2 * _MARGIN, font)
    low = 2 * _MARGIN + (len(title) + len(caption)) * _LINE
    layers = []
    for layer, gap in enumerate(_gaps(graph, pitch)):
        here = (len(text) for text, place in zip(lines, graph.places, strict=True) if place.layer == layer)
        layers.append((low, low + max(here) * _LINE + 2 * _INSET))
        low = layers[-1][1] + gap
    left = (width - content) / 2 - first * pitch - _ACROSS / 2
    return _Frame(width, layers[-1][1] + _MARGIN, left, box, layers, title, caption)


def _gaps(graph: Graph, pitch: float) -> list[float]:
    """Return the space above each layer: more of it where an edge goes far sideways."""
    gaps = [_UP] * (1 + max(place.layer for place in graph.places))
    for edge in graph.edges:
        for before, after in pairwise(_way(graph, edge)):
            needed = _SLOPE * pitch * abs(after.column - before.column)
            gaps[before.layer] = max(gaps[before.layer], min(_UPMOST, needed))
    return gaps


def _way(graph: Graph, edge: Edge) -> list[Place]:
    """Return where an edge bends, from its start to its end: it goes sideways only between two layers."""
    start, end = graph.places[edge.start], graph.places[edge.end]
    crossed = [Place(edge.lane, layer) for layer in range(start.layer + 1, end.layer)]
    return [start, *crossed, Place(edge.lane, end.layer) if edge.aside else end]


def _polylines(graph: Graph, frame: _Frame) -> Iterable[tuple[str, list[Point]]]:
    """Yield each edge's name and corners; within a layer it runs upright, so it cannot cut a box."""
    for edge in graph.edges:
        points = [(frame.x(column), y) for column, layer in _way(graph, edge) for y in frame.layers[layer]]
        enters = _from_the_left if edge.aside else _from_below
        yield f"{edge.start}-{edge.end}", [*points[1:-2], *enters(graph, frame, edge)]
    for start, end in graph.heads:
        (x, low, width, height), (into, *_) = (frame.rectangle(graph.places[box]) for box in (start, end))
        yield f"{start}-{end}", [(x + width, low + height / 2), (into, low + height / 2)]


def _from_the_left(graph: Graph, frame: _Frame, edge: Edge) -> list[Point]:
    x, low, _, height = frame.rectangle(graph.places[edge.end])
    return [(frame.x(edge.lane), low + height / 2), (x, low + height / 2)]


def _from_below(graph: Graph, frame: _Frame, edge: Edge) -> list[Point]:
    """Return where on its lower side a box is entered: those that enter share the side from left to right."""
    entering = sorted((e for e in graph.edges if e.end == edge.end and not e.aside), key=lambda e: e.lane)
    share = (entering.index(edge) + 1) / (len(entering) + 1) - 0.5
    end = graph.places[edge.end]
    return [(frame.x(end.column) + share * frame.box, frame.layers[end.layer][0])]


def _draw_box(
    axes: Any, name: str, box: Box, rectangle: tuple[float, ...], lines: Sequence[str], font: FontProperties
) -> None:
    x, y, width, height = rectangle
    style: Any = {"boxstyle": "round,pad=0,rounding_size=0.04", "linewidth": 0.7, "edgecolor": "#333333"}
    axes.add_patch(FancyBboxPatch((x, y), width, height, facecolor=FILLS[box.kind], gid=f"box-{name}", **style))
    text: Any = {"ha": "center", "va": "center", "linespacing": 1.2, "parse_math": False}
    axes.text(x + width / 2, y + height / 2, "\n".join(lines), fontproperties=font, gid=f"text-{name}", **text)


def _draw_caption(axes: Any, frame: _Frame, font: FontProperties) -> None:
    for number, line in enumerate([*frame.title, *frame.caption]):
        y = _MARGIN + (len(frame.title) + len(frame.caption) - number - 1) * _LINE
        used = _bold(font) if number < len(frame.title) else font
        axes.text(_MARGIN, y, line, fontproperties=used, gid=f"caption-{number}", va="bottom", parse_math=False)


def _bold(font: FontProperties) -> FontProperties:
    bold = font.copy()
    bold.set_weight("bold")
    return bold


def _box_text(lines: Iterable[str], width: float, font: FontProperties) -> list[str]:
    """Break a box's lines behind commas, so that an argument stays with its value, or else at spaces."""
    result: list[str] = []
    for line in lines:
        parts = re.split(r"(?<=,) ", line)
        narrow = all(_inches(part, font) <= width for part in parts)
        result += _wrapped(parts if narrow else line.split(), width, font)
    return result


def _wrapped(words: Iterable[str], width: float, font: FontProperties) -> list[str]:
    """Set words in lines of at most `width` inches, where they allow that."""
    result = [""]
    for word in words:
        longer = f"{result[-1]} {word}".strip()
        if result[-1] and _inches(longer, font) > width:
            result.append(word)
        else:
            result[-1] = longer
    return result


def _inches(text: str, font: FontProperties) -> float:
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72
