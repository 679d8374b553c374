"""What a drawing says: boxes and edges, from the placed nodes of a row, a head or a whole network."""

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


class Edge(NamedTuple):
    """An arrow between two boxes, by number; on a longer way it keeps to the left of box `lane`."""

    start: int
    end: int
    lane: int


@dataclass(frozen=True)
class Graph:
    """Boxes in the order of the nodes, each after those that it reads; edges; a title and a caption.

    Pairs in `beside` are a row's box and its head's: drawn at one height, with an arrow between them.
    """

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    beside: tuple[tuple[int, int], ...] = ()
    title: str = ""
    caption: str = ""


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
    """Return the graph of a network: a box a row, its auxiliary heads beside it, the classifier at the end.

    Rows that follow each other with the same block, arguments, style and output are one box, `b1 to b4`;
    a row with a head ends such a run.

    Raises
    ------
    SpecError
        The network cannot stand.
    """
    network = place_network(spec)
    boxes, beside, now = [Box(("input", _shape(spec.input)), "input")], [], 0
    edges: list[Edge] = []
    for run in _runs(spec, network.rows):
        boxes.append(_run_box(run))
        edges.append(Edge(now, len(boxes) - 1, now))
        now = len(boxes) - 1
        last = run[-1][0].name
        if last in spec.heads:
            boxes.append(_head_box(spec, last, network.heads[last]))
            beside.append((now, len(boxes) - 1))
    boxes.append(_head_box(spec, FINAL, network.heads[FINAL]))
    edges.append(Edge(now, len(boxes) - 1, now))
    caption = f"Input {_shape(spec.input)}, {spec.classes} classes.{_source(spec)}"
    return Graph(tuple(boxes), tuple(edges), tuple(beside), spec.name, caption)


# From nodes to boxes


def _tree_graph(spec: Spec, placed: Placed, title: str, style: Style) -> Graph:
    tree = _Tree((style.norm != "none", style.activation == "relu"), [Box(("input", _shape(placed.input)), "input")])
    tree.walk(placed, 0)
    convention = _convention(*tree.usual) if any(box.kind == "conv" for box in tree.boxes) else ""
    caption = f"Input {_shape(placed.input)}, output {_shape(placed.output)}.{convention}{_source(spec)}"
    return Graph(tuple(tree.boxes), tuple(tree.edges), (), title, caption)


def _source(spec: Spec) -> str:
    return f" Source: {spec.source}." if spec.source else ""


def _convention(norm: bool, activation: bool) -> str:
    after = " and ".join(["batch norm"] * norm + ["ReLU"] * activation)
    return f" After each conv: {after or 'nothing'}, unless the box says otherwise."


@dataclass
class _Tree:
    """The boxes and edges of a placed tree, in the order of a walk through it, so branch after branch.

    `usual` is what follows a convolution by the style: (norm, activation).
    """

    usual: tuple[bool, bool]
    boxes: list[Box]
    edges: list[Edge] = field(default_factory=list)

    def walk(self, placed: Placed, after: int) -> int:
        """Add a node and all in it behind box `after`; return the box that holds its output."""
        match placed.node:
            case Chain():
                for part in placed.parts:
                    after = self.walk(part, after)
                return after
            case Concat():
                ends = [self._branch(part, after) for part in placed.parts]
                return self._add(Box(("concat", str(placed.output[0])), "join"), *ends)
            case Residual() as node:
                return self._residual(node, placed.parts, after)
        return self._add(_leaf(placed, self.usual), after)

    def _residual(self, node: Residual, parts: Sequence[Placed], after: int) -> int:
        body, *shortcut = parts
        across = self.walk(shortcut[0], after) if shortcut else after
        lane, end = len(self.boxes), self._branch(body, after)
        scale = () if node.scale == 1 else (f"body x {node.scale:g}",)
        total = self._add(Box(("+", *scale), "join"), across, end, lanes=(across if shortcut else lane, end))
        return self._add(Box(("ReLU",), "plain"), total) if node.activation else total

    def _branch(self, part: Placed, after: int) -> int:
        end = self.walk(part, after)
        return self._add(Box(("identity",), "plain"), after) if end == after else end

    def _add(self, box: Box, *before: int, lanes: Sequence[int] = ()) -> int:
        self.boxes.append(box)
        end = len(self.boxes) - 1
        self.edges += [Edge(start, end, lane) for start, lane in zip(before, lanes or before, strict=True)]
        return end


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
        case Relu():
            return Box(("ReLU",), "plain")
    raise TypeError(f"{type(placed.node).__name__} has no drawing")


def _conv_lines(node: Conv, channels: int, usual: tuple[bool, bool]) -> tuple[str, ...]:
    depthwise = 1 < node.groups == channels
    groups = f"{node.groups} groups" if node.groups > 1 and not depthwise else ""
    follows = (bool(node.norm), bool(node.activation))
    said = {(False, False): "linear", (True, False): "no ReLU", (False, True): "no norm", (True, True): "norm, ReLU"}
    name = f"{_shape(node.kernel)} {'depthwise ' if depthwise else ''}conv"
    name = ", ".join([name, said[follows]]) if follows != usual else name
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
