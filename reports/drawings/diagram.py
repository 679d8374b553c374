"""Drawings of blocks and networks: a graph to layers, the layers to a figure.

As in the papers, data flows upwards: the input stands at the bottom. Where a box stands comes from
igraph's Sugiyama layout; nothing is placed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import igraph
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Polyline
from matplotlib.textpath import text_to_path

from arch.errors import InputError
from reports.drawings.graph import Box, Edge, Graph
from reports.figures.style import write

Point = tuple[float, float]

# Tints of Okabe and Ito's palette: told apart by colour-blind readers, and black text stays legible on them.
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
    layout = _layout(graph)
    font = FontProperties(family=_FAMILY, size=_FONT)
    left, right = layout.columns
    room = (PAPER - 2 * _MARGIN + _ACROSS) / (1 + right - left) - _ACROSS - 2 * _INSET
    lines = [_box_text(box.lines, max(_NARROWEST, min(room, _WIDEST)), font) for box in graph.boxes]
    frame = _frame(graph, layout, lines, font)
    if max(frame.width, frame.height) > _LARGEST:
        size = f"{frame.width:.0f} x {frame.height:.0f} inches"
        raise InputError(
            f"{graph.title}: the drawing would take {size}, but at most {_LARGEST} either way; draw a row."
        )
    figure = Figure(figsize=(frame.width, frame.height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, frame.width), ylim=(0, frame.height))
    axes.set_axis_off()
    for index, box in enumerate(graph.boxes):
        _draw_box(axes, f"{index}", box, frame.rectangle(layout.places[index]), lines[index], font)
    for name, points in _polylines(graph, layout, frame):
        axes.add_patch(FancyArrowPatch(path=Polyline(points), gid=f"edge-{name}", **_EDGE))
    _draw_caption(axes, frame, font)
    return figure


def save(graph: Graph, folder: Path, name: str) -> list[Path]:
    """Draw a graph into `NAME.svg` and `NAME.png`, and return their paths; what no file name takes becomes `_`."""
    name = re.sub(r"[^\w.-]+", "_", name)
    write(draw(graph), folder, name)
    return [folder / f"{name}.{ending}" for ending in ("svg", "png")]


# From boxes to places


@dataclass(frozen=True)
class _Layout:
    """Where boxes stand, as (column, layer), and what edges pass on their way; columns may be fractions."""

    places: list[Point]
    routes: dict[Edge, list[Point]]

    @property
    def columns(self) -> tuple[float, float]:
        """Return the leftmost and the rightmost column in use."""
        used = [x for x, _ in [*self.places, *(bend for way in self.routes.values() for bend in way)]]
        return min(used), max(used)

    def way(self, edge: Edge) -> list[Point]:
        """Return all that an edge touches, from its source to its end."""
        return [self.places[edge.start], *self.routes[edge], self.places[edge.end]]


def _layout(graph: Graph) -> _Layout:
    """Let igraph place the boxes, with a bend of ours in every layer that an edge crosses.

    Vertices are handed over from left to right: boxes as the walk met them, a bend before the box of
    its lane and left of what ends sooner; so no edges cross, and branches stand as they are written.
    The engine keeps that order up to six in a layer. Among more it may swap equals, so each layer's
    columns are dealt out again in order. Every link leads to the next layer: for longer ones igraph 1.0
    adds bends itself, and crashes now and then.
    """
    layers = _layers(graph)
    vertices = [((box, 1, 0), layer) for box, layer in enumerate(layers)]
    ways = {}
    for edge in graph.edges:
        crossed = range(layers[edge.start] + 1, layers[edge.end])
        ways[edge] = [len(vertices) + number for number in range(len(crossed))]
        vertices += [((edge.lane, 0, -edge.end), layer) for layer in crossed]
    links = [link for edge, way in ways.items() for link in pairwise([edge.start, *way, edge.end])]
    for one, other in pairwise([head for _, head in graph.beside]):  # unseen: holds the heads in a column of their own
        crossed = range(layers[one] + 1, layers[other])
        bends = [len(vertices) + number for number in range(len(crossed))]
        vertices += [((len(layers), 1, 0), layer) for layer in crossed]
        links += pairwise([one, *bends, other])
    order = sorted(range(len(vertices)), key=lambda vertex: vertices[vertex][0])
    rank = {vertex: position for position, vertex in enumerate(order)}
    engine = igraph.Graph(len(vertices), [(rank[a], rank[b]) for a, b in links], directed=True)
    levels = [vertices[vertex][1] for vertex in order]
    placed = engine.layout_sugiyama(layers=levels, maxiter=1)
    columns = _dealt([float(x) for x, _ in placed], levels)
    places = [(columns[rank[vertex]], float(layer)) for vertex, (_, layer) in enumerate(vertices)]
    return _Layout(places[: len(layers)], {edge: [places[bend] for bend in way] for edge, way in ways.items()})


def _dealt(columns: Sequence[float], layers: Sequence[int]) -> list[float]:
    """Return the columns so that they rise within each layer."""
    rising = {
        level: iter(sorted(x for x, at in zip(columns, layers, strict=True) if at == level)) for level in set(layers)
    }
    return [next(rising[layer]) for layer in layers]


def _layers(graph: Graph) -> list[int]:
    """Return each box's distance from the input by the longest way."""
    layers = [0] * len(graph.boxes)
    beside = {end: start for start, end in graph.beside}
    for box in range(1, len(layers)):
        below = (layers[edge.start] for edge in graph.edges if edge.end == box)
        layers[box] = layers[beside[box]] if box in beside else 1 + max(below)
    return layers


# From places to a figure


@dataclass(frozen=True)
class _Frame:
    """The figure's measures in inches: the width of boxes, the lower and upper end of each layer."""

    width: float
    height: float
    left: float
    box: float
    layers: list[Point]
    title: list[str]
    caption: list[str]

    def x(self, column: float) -> float:
        """Return the middle of a column."""
        return self.left + self.box / 2 + column * (self.box + _ACROSS)

    def rectangle(self, place: Point) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a box."""
        low, high = self.layers[int(place[1])]
        return (self.x(place[0]) - self.box / 2, low, self.box, high - low)


def _frame(graph: Graph, layout: _Layout, lines: Sequence[Sequence[str]], font: FontProperties) -> _Frame:
    box = max(_inches(line, font) for text in lines for line in text) + 2 * _INSET
    first, last = layout.columns
    content = (last - first) * (box + _ACROSS) + box
    width = max(_LEAST, content + 2 * _MARGIN)
    title = _wrapped(graph.title.split(), width - 2 * _MARGIN, _bold(font))
    caption = _wrapped(graph.caption.split(), width - 2 * _MARGIN, font)
    low = 2 * _MARGIN + (len(title) + len(caption)) * _LINE
    layers = []
    for layer, gap in enumerate(_gaps(layout, box + _ACROSS)):
        here = (len(text) for text, place in zip(lines, layout.places, strict=True) if place[1] == layer)
        layers.append((low, low + max(here) * _LINE + 2 * _INSET))
        low = layers[-1][1] + gap
    left = (width - content) / 2 - first * (box + _ACROSS)
    return _Frame(width, layers[-1][1] + _MARGIN, left, box, layers, title, caption)


def _gaps(layout: _Layout, pitch: float) -> list[float]:
    """Return the room above each layer: more of it where an edge has far to go sideways."""
    gaps = [_UP] * (1 + int(max(y for _, y in layout.places)))
    for edge in layout.routes:
        for (x, layer), (then, _) in pairwise(layout.way(edge)):
            gaps[int(layer)] = max(gaps[int(layer)], min(_UPMOST, _SLOPE * pitch * abs(then - x)))
    return gaps


def _polylines(graph: Graph, layout: _Layout, frame: _Frame) -> Iterable[tuple[str, list[Point]]]:
    """Yield each edge's name and corners; within a layer it runs upright, so it cannot cut a box."""
    for edge in graph.edges:
        points = [(frame.x(column), y) for column, layer in layout.way(edge) for y in frame.layers[int(layer)]]
        yield f"{edge.start}-{edge.end}", [*points[1:-2], (_entry(graph, layout, frame, edge), points[-2][1])]
    for start, end in graph.beside:
        (x, low, width, height), (into, *_) = (frame.rectangle(layout.places[box]) for box in (start, end))
        yield f"{start}-{end}", [(x + width, low + height / 2), (into, low + height / 2)]


def _entry(graph: Graph, layout: _Layout, frame: _Frame, edge: Edge) -> float:
    """Return where on its lower side a box is entered: those that enter share the side from left to right."""
    entering = sorted((other for other in graph.edges if other.end == edge.end), key=lambda e: layout.way(e)[-2])
    share = (entering.index(edge) + 1) / (len(entering) + 1) - 0.5
    return frame.x(layout.places[edge.end][0]) + share * frame.box


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
