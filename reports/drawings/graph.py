"""What a drawing says and where it stands: boxes and edges, from the placed nodes of a row, a head or a network.

A network is a tree of chains, concats and residuals, so its layout is a fold over that tree. A chain stacks its parts.
A concat sets its branches side by side, centred on its input. A residual has a shortcut to the left of its body. Each
part keeps to columns of its own: no edge runs through a box, and no two edges cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from arch.analysis.shapes import Placed, place_network
from arch.errors import SpecError
from arch.nodes import (
    AdaptivePool,
    Chain,
    Concat,
    Conv,
    Dropout,
    FitChannels,
    Flatten,
    Linear,
    Node,
    Pad,
    Pair,
    Pool,
    Relu,
    Residual,
    Shape,
)
from arch.specs.spec import FINAL, Row, Spec, described
from arch.specs.style import Style


@dataclass(frozen=True)
class Box:
    """What a box says, line by line, and its kind: input, conv, pool, join, dense, plain, block or head."""

    lines: tuple[str, ...]
    kind: str


class Place(NamedTuple):
    """Where a box stands: the middle of it, in widths of a column, and its distance from the input in layers."""

    column: float
    layer: int


class Edge(NamedTuple):
    """An arrow between two boxes, by number, which crosses the layers between them in the column `lane`.

    It enters from below, a shortcut (`aside`) from the left.
    """

    start: int
    end: int
    lane: float
    aside: bool = False


@dataclass(frozen=True)
class Graph:
    """Boxes in the order of the nodes, each after those that it reads; their places; edges; a title and a caption.

    Pairs in `heads` are a row's box and its head's: drawn at one height, with an arrow between them.
    """

    boxes: tuple[Box, ...]
    places: tuple[Place, ...]
    edges: tuple[Edge, ...]
    heads: tuple[tuple[int, int], ...] = ()
    title: str = ""
    caption: str = ""

    @property
    def span(self) -> tuple[float, float]:
        """Return where the leftmost column in use begins and the rightmost one ends."""
        lanes = [edge.lane for edge in self.edges if edge.aside]
        columns = [place.column for place in self.places]
        return min([min(columns) - 0.5, *(lane - _LANE / 2 for lane in lanes)]), max(columns) + 0.5


_LANE = 0.25  # the width of a column that holds a shortcut alone


def row_graph(spec: Spec, row_name: str) -> Graph:
    """Return the graph of one row, a box for each leaf and each join of its nodes.

    Raises
    ------
    SpecError
        There is no such row (names the near ones), or the network cannot stand.
    """
    row = spec.row(row_name)
    placed = place_network(spec).rows[spec.rows.index(row)]
    return _tree_graph(spec, placed, f"{spec.name}, row {row.name}: {row.block}", spec.style_of(row))


def head_graph(spec: Spec, row_name: str = FINAL) -> Graph:
    """Return the graph of the auxiliary head on a row, or of the classifier for `final`.

    Raises
    ------
    SpecError
        There is no such row, no head hangs on it, or the network cannot stand.
    """
    if row_name not in spec.heads:
        spec.row(row_name)
        raise SpecError(f"{spec.name}: no head hangs on row '{row_name}'. Heads: {', '.join(spec.heads)}.")
    where = "final head" if row_name == FINAL else f"auxiliary head of row {row_name}"
    title = f"{spec.name}, {where}: {spec.heads[row_name].head}"
    return _tree_graph(spec, place_network(spec).heads[row_name], title, spec.style)


def network_graph(spec: Spec) -> Graph:
    """Return the graph of a network: a box a row, its auxiliary heads next to it, the classifier at the end.

    Rows that follow each other with the same block, arguments, style and output are one box, `b1 to b4`;
    a row with a head ends such a run.

    Raises
    ------
    SpecError
        The network cannot stand.
    """
    network, drawn = place_network(spec), _Drawn()
    now = drawn.add(Box(("input", _shape(spec.input)), "input"), 0)
    for run in _runs(spec, network.rows):
        now, last = drawn.add(_run_box(run), 0, now), run[-1][0].name
        if last in spec.heads:
            drawn.add_head(_head_box(spec, last, network.heads[last]), now)
    drawn.add(_head_box(spec, FINAL, network.heads[FINAL]), 0, now)
    return drawn.graph(spec.name, f"Input {_shape(spec.input)}, {spec.classes} classes.{_source(spec)}")


@dataclass
class _Drawn:
    """Boxes with their places, and edges, in the order in which they are added."""

    boxes: list[Box] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    heads: list[tuple[int, int]] = field(default_factory=list)

    def add(self, box: Box, column: float, *before: int) -> int:
        """Add a box above those that it reads, with an edge from each; return its number."""
        layer = 1 + max((self.places[start].layer for start in before), default=-1)
        end = self._stand(box, Place(column, layer))
        self.edges += [Edge(start, end, self.places[start].column) for start in before]
        return end

    def add_head(self, box: Box, row: int) -> None:
        """Add a head to the right of its row."""
        self.heads.append((row, self._stand(box, self.places[row]._replace(column=1))))

    def _stand(self, box: Box, place: Place) -> int:
        self.boxes.append(box)
        self.places.append(place)
        return len(self.boxes) - 1

    def graph(self, title: str, caption: str) -> Graph:
        """Return all that was added."""
        boxes, places, edges, heads = tuple(self.boxes), tuple(self.places), tuple(self.edges), tuple(self.heads)
        return Graph(boxes, places, edges, heads, title, caption)


# From nodes to boxes


def _tree_graph(spec: Spec, placed: Placed, title: str, style: Style) -> Graph:
    drawn = _Drawn()
    start = drawn.add(Box(("input", _shape(placed.input)), "input"), 0)
    _Walk((style.norm != "none", style.activation == "relu"), drawn).node(placed, start, 0)
    convention = _convention(style) if any(box.kind == "conv" for box in drawn.boxes) else ""
    caption = f"Input {_shape(placed.input)}, output {_shape(placed.output)}.{convention}{_source(spec)}"
    return drawn.graph(title, caption)


def _source(spec: Spec) -> str:
    return f" Source: {spec.source}." if spec.source else ""


def _convention(style: Style) -> str:
    after = " and ".join(["batch norm"] * (style.norm != "none") + ["ReLU"] * (style.activation == "relu"))
    return f" After each conv: {after or 'nothing'}, unless the box says otherwise."


class _Extent(NamedTuple):
    """How far a part of the tree reaches to both sides of the column of its input and output."""

    left: float
    right: float

    @property
    def width(self) -> float:
        return self.left + self.right


def _extent(placed: Placed) -> _Extent:
    """Return the columns that a node and all in it take."""
    parts = [_extent(part) for part in placed.parts]
    match placed.node:
        case Concat():
            half = sum(part.width for part in parts) / 2
            return _Extent(half, half)
        case Residual():
            body, *shortcut = parts
            return _Extent(body.left + (shortcut[0].width if shortcut else _LANE), body.right)
    return _Extent(max([0.5, *(part.left for part in parts)]), max([0.5, *(part.right for part in parts)]))


@dataclass(frozen=True)
class _Walk:
    """A walk through a placed tree, branch after branch, that adds its boxes.

    `usual` is what follows a convolution by the style: (norm, activation).
    """

    usual: tuple[bool, bool]
    drawn: _Drawn

    def node(self, placed: Placed, after: int, column: float) -> int:
        """Add a node and all in it above box `after`, in or around a column; return the box that holds its output."""
        match placed.node:
            case Chain():
                for part in placed.parts:
                    after = self.node(part, after, column)
                return after
            case Concat():
                return self._concat(placed, after, column)
            case Residual() as node:
                return self._residual(node, placed.parts, after, column)
        return self.drawn.add(_leaf(placed, self.usual), column, after)

    def _concat(self, placed: Placed, after: int, column: float) -> int:
        ends, left = [], column - _extent(placed).left
        for part in placed.parts:
            extent = _extent(part)
            ends.append(self._branch(part, after, left + extent.left))
            left += extent.width
        return self.drawn.add(Box(("concat", str(placed.output[0])), "join"), column, *ends)

    def _residual(self, node: Residual, parts: Sequence[Placed], after: int, column: float) -> int:
        body, *shortcut = parts
        start, lane = after, column - _extent(body).left - _LANE / 2
        if shortcut:
            lane = column - _extent(body).left - _extent(shortcut[0]).right
            start = self.node(shortcut[0], after, lane)
        scale = () if node.scale == 1 else (f"body x {node.scale:g}",)
        total = self.drawn.add(Box(("+", *scale), "join"), column, self._branch(body, after, column))
        self.drawn.edges.append(Edge(start, total, lane, aside=True))
        return self.drawn.add(Box(("ReLU",), "plain"), column, total) if node.activation else total

    def _branch(self, part: Placed, after: int, column: float) -> int:
        end = self.node(part, after, column)
        return self.drawn.add(Box(("identity",), "plain"), column, after) if end == after else end


def _leaf(placed: Placed, usual: tuple[bool, bool]) -> Box:
    match placed.node:
        case Conv() as node:
            return Box(_conv_lines(node, placed.input[0], usual), "conv")
        case Pool() as node:
            name = {"max": "max pool", "avg": "average pool"}[node.kind]
            return Box(_lines(f"{_shape(node.kernel)} {name}", _window(node), "ceil" if node.ceil else ""), "pool")
        case AdaptivePool(size=(1, 1)):
            return Box(("global", "average pool"), "pool")
        case AdaptivePool(size=size):
            return Box(("average pool", f"to {_shape(size)}"), "pool")
        case Linear(out=out):
            return Box(("linear", str(out)), "dense")
        case Dropout(p=p):
            return Box(("dropout", f"p = {p:g}"), "plain")
        case Flatten():
            return Box(("flatten", _shape(placed.output)), "plain")
        case Pad(amount=amount):
            return Box(("pad", _both(amount)), "plain")
        case FitChannels(out=out):
            return Box(("identity", f"{placed.input[0]} to {out} channels"), "plain")
        case Relu():
            return Box(("ReLU",), "plain")
    raise TypeError(f"{type(placed.node).__name__} has no drawing")


def _conv_lines(node: Conv, channels: int, usual: tuple[bool, bool]) -> tuple[str, ...]:
    depthwise = 1 < node.groups == channels
    groups = f"{node.groups} groups" if node.groups > 1 and not depthwise else ""
    follows = (bool(node.norm), bool(node.activation))
    names = {(False, False): "linear", (True, False): "no ReLU", (False, True): "no norm", (True, True): "norm, ReLU"}
    name = f"{_shape(node.kernel)} {'depthwise ' if depthwise else ''}conv"
    name = ", ".join([name, names[follows]]) if follows != usual else name
    return _lines(name, str(node.out), groups, _window(node))


def _lines(name: str, *rest: str) -> tuple[str, ...]:
    second = ", ".join(part for part in rest if part)
    return (name, second) if second else (name,)


def _window(node: Conv | Pool) -> str:
    """Return stride and padding where they are not 1 and `same`."""
    same = tuple(extent // 2 for extent in node.kernel)
    odd = all(extent % 2 for extent in node.kernel)
    parts = [f"/{_both(node.stride)}"] if node.stride != (1, 1) else []
    if node.padding == (0, 0) and node.kernel != (1, 1):
        parts.append("valid")
    elif node.padding != same or not odd:
        parts.append(f"padding {_both(node.padding)}")  # type: ignore[arg-type]
    return ", ".join(parts)


def _both(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _shape(pair)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


# From rows to boxes


def _runs(spec: Spec, placed: Sequence[Placed]) -> list[list[tuple[Row, Placed]]]:
    runs: list[list[tuple[Row, Placed]]] = []
    for row, at in zip(spec.rows, placed, strict=True):
        if runs and _alike(runs[-1][-1], (row, at)) and runs[-1][-1][0].name not in spec.heads:
            runs[-1].append((row, at))
        else:
            runs.append([(row, at)])
    return runs


def _alike(one: tuple[Row, Placed], two: tuple[Row, Placed]) -> bool:
    return one[0].key == two[0].key and one[1].output == two[1].output


def _run_box(run: Sequence[tuple[Row, Placed]]) -> Box:
    (first, placed), (last, _) = run[0], run[-1]
    names = first.name if len(run) == 1 else f"{first.name} to {last.name}"
    times = "" if len(run) == 1 else f" x {len(run)}"
    args = described(first.args)
    return Box((f"{names}: {first.block}{times} → {_shape(placed.output)}", *([args] if args else [])), _kind(placed))


def _head_box(spec: Spec, after: str, placed: Placed) -> Box:
    head = spec.heads[after]
    name = FINAL if after == FINAL else f"auxiliary, {after}"
    args = described(head.args)
    return Box((f"{name}: {head.head} → {_shape(placed.output)}", *([args] if args else [])), "head")


def _kind(placed: Placed) -> str:
    kinds = set(map(type, _nodes(placed)))
    if kinds & {Concat, Residual}:
        return "block"
    if Conv in kinds:
        return "conv"
    return "pool" if kinds & {Pool, AdaptivePool} else "plain"


def _nodes(placed: Placed) -> Iterable[Node]:
    yield placed.node
    for part in placed.parts:
        yield from _nodes(part)
