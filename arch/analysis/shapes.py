"""Shape inference: the input and output shape of every node of a tree. All geometry is here.

`place` walks a tree once and fills in what nodes leave open: input channels, padding, norm and bias. Costs,
torch modules and drawings are made from what it returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from arch.errors import ShapeError, SpecError
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
    Padding,
    Pair,
    Pool,
    Relu,
    Residual,
    Shape,
    dims,
    linear_1x1,
)
from arch.registry import BLOCKS, HEADS
from arch.specs.spec import FINAL, HeadKey, Row, RowKey, Spec
from arch.specs.style import Style


@dataclass(slots=True)
class Placed:
    """A node with its shapes. Nothing is left to the style: padding, norm, activation and bias are set.

    `parts` are the placed children: a chain's nodes, a concat's branches, a residual's body and,
    where its shortcut is not the input itself, that.
    """

    name: str
    node: Node
    input: Shape
    output: Shape
    parts: tuple[Placed, ...] = ()
    counts: tuple[int, int, int] | None = None  # the result of `arch.analysis.cost.count`, once it is needed


@dataclass(frozen=True)
class PlacedNetwork:
    """The rows of a network in order, and its heads by the row that they follow."""

    rows: tuple[Placed, ...]
    heads: dict[str, Placed]


def place(node: Node, shape: Shape, style: Style) -> Placed:
    """Place a tree of nodes on an input of `shape`, (C, H, W) or (C,).

    Raises
    ------
    ShapeError
        A map becomes empty, or shapes that must agree do not; names the branch.
    """
    match node:
        case Conv():
            return _place_conv(node, shape, style)
        case Chain():
            return _place_chain(node, shape, style)
        case Concat():
            return _place_concat(node, shape, style)
        case Pool():
            return _place_pool(node, shape)
        case Residual():
            return _place_residual(node, shape, style)
        case Linear():
            _need_vector(node, shape)
            return Placed(node.name, node, shape, (node.out,))
        case AdaptivePool():
            _need_map(node, shape)
            return Placed(node.name, node, shape, (shape[0], *node.size))
        case Flatten():
            return Placed(node.name, node, shape, (math.prod(shape),))
        case Pad():
            c, h, w = _need_map(node, shape)
            return Placed(node.name, node, shape, (c, h + 2 * node.amount[0], w + 2 * node.amount[1]))
        case FitChannels():
            return Placed(node.name, node, shape, (node.out, *_need_map(node, shape)[1:]))
        case Relu() | Dropout():
            return Placed(node.name, node, shape, shape)
    raise TypeError(f"{type(node).__name__} is not a node of the language")


def place_network(spec: Spec) -> PlacedNetwork:
    """Place every row and head of a spec. Rows and heads that were placed before come from a cache.

    Raises
    ------
    SpecError
        A row or head does not fit its input; names file, row, branch, shapes and a remedy.
    """
    shape: Shape = spec.input
    rows, heads = [], {}
    for row in spec.rows:
        rows.append(place_row(spec, row, shape))
        shape = rows[-1].output
        if row.name in spec.heads:
            heads[row.name] = _head(spec, row.name, shape)
    heads[FINAL] = _head(spec, FINAL, shape)
    return PlacedNetwork(tuple(rows), heads)


def place_row(spec: Spec, row: Row, shape: Shape) -> Placed:
    """Place one row, which need not be the spec's own, on an input of `shape`; raises as `place_network` does."""
    return _located(spec, "row", row.name, _placed_row, row.key, spec.style, shape)


def _head(spec: Spec, name: str, shape: Shape) -> Placed:
    return _located(spec, "head", name, _placed_head, spec.heads[name].key, spec.classes, spec.style, shape)


def _located(spec: Spec, kind: str, name: str, place_it: Callable[..., Placed], *args: Any) -> Placed:
    """Return `place_it(*args)`; an error of it names the file, and the row or head."""
    try:
        return place_it(*args)
    except ShapeError as error:
        raise SpecError(f"{spec.where or spec.name}, {error.within(f'{kind} {name}')}") from None


# A search edits one row at a time, so nearly all rows of a new spec are looked up. The caches are keyed by what
# decides the result, not by names or specs.
@lru_cache(maxsize=100_000)
def _placed_row(key: RowKey, style: Style, shape: Shape) -> Placed:
    block, args, overrides = key
    node = BLOCKS.get(block).function(**dict(args))
    return place(node, shape, style.model_copy(update=dict(overrides)) if overrides else style)


@lru_cache(maxsize=10_000)
def _placed_head(key: HeadKey, classes: int, style: Style, shape: Shape) -> Placed:
    head, args = key
    return place(HEADS.get(head).function(classes=classes, **dict(args)), shape, style)


def _place_conv(node: Conv, shape: Shape, style: Style) -> Placed:
    c, h, w = _need_map(node, shape)
    padding = _padding(node.padding, node.kernel)
    groups = c if node.out is None else node.groups  # no `out`: a depthwise convolution, one group for each channel
    out = c * node.multiplier if node.out is None else node.out
    if c % groups or out % groups:
        raise ShapeError(f"{groups} groups do not divide {c} input and {out} output channels", (node.name,))
    norm = style.norm != "none" if node.norm is None else node.norm
    activation = style.activation == "relu" if node.activation is None else node.activation
    bias = style.has_bias(norm) if node.bias is None else node.bias
    scale = style.norm != "batch_shift"
    resolved = Conv(
        out, node.kernel, node.stride, padding, groups, 1, norm, activation, bias, node.name, node.std, scale
    )
    rows = _windows(h, node.kernel[0], node.stride[0], padding[0])
    columns = _windows(w, node.kernel[1], node.stride[1], padding[1])
    if rows < 1 or columns < 1:
        raise _empty_map_error(node, shape, "convolution")
    return Placed(node.name, resolved, shape, (out, rows, columns))


def _place_pool(node: Pool, shape: Shape) -> Placed:
    c, h, w = _need_map(node, shape)
    padding = _padding(node.padding, node.kernel)
    if 2 * padding[0] > node.kernel[0] or 2 * padding[1] > node.kernel[1]:
        raise ShapeError(f"padding {padding} is more than half of kernel {node.kernel}", (node.name,))
    resolved = Pool(node.kind, node.kernel, node.stride, padding, node.ceil, node.count_pad, node.name)
    rows = _windows(h, node.kernel[0], node.stride[0], padding[0], node.ceil)
    columns = _windows(w, node.kernel[1], node.stride[1], padding[1], node.ceil)
    if rows < 1 or columns < 1:
        raise _empty_map_error(node, shape, f"{node.kind} pool")
    return Placed(node.name, resolved, shape, (c, rows, columns))


def _place_chain(node: Chain, shape: Shape, style: Style) -> Placed:
    parts = []
    current = shape
    for part in node.nodes:
        parts.append(place(part, current, style))
        current = parts[-1].output
    return Placed(node.name, node, shape, current, tuple(parts))


def _place_concat(node: Concat, shape: Shape, style: Style) -> Placed:
    parts = []
    for branch in node.branches:
        try:
            parts.append(place(branch, shape, style))
        except ShapeError as error:
            raise error.within(f"branch {branch.name}") from None
    grids = {part.output[1:] for part in parts}
    if len(grids) > 1:
        listed = "; ".join(f"{part.name} {dims(part.output)}" for part in parts)
        raise ShapeError(f"branches end on different maps ({listed}); give them equal strides and padding")
    return Placed(node.name, node, shape, (sum(part.output[0] for part in parts), *grids.pop()), tuple(parts))


def _place_residual(node: Residual, shape: Shape, style: Style) -> Placed:
    try:
        body = place(node.body, shape, style)
    except ShapeError as error:
        raise error.within("body") from None
    if body.output[1:] != shape[1:]:
        raise ShapeError(
            f"the body turns {dims(shape)} into {dims(body.output)}, and a sum needs equal maps; use stride 1"
        )
    if body.output == shape:
        return Placed(node.name, node, shape, shape, (body,))
    if not node.project and not node.fit:
        raise ShapeError(
            f"the body has {body.output[0]} channels and the identity shortcut {shape[0]}; make them equal"
        )
    out = body.output[0]
    shortcut = place(linear_1x1(out) if node.project else FitChannels(out), shape, style)
    shortcut.name = "shortcut"
    return Placed(node.name, node, shape, body.output, (body, shortcut))


def _padding(padding: Padding, kernel: Pair) -> Pair:
    match padding:
        case "valid":
            return (0, 0)
        case "same":
            if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
                raise ShapeError(f"same padding needs an odd kernel, not {kernel}; give the padding as a number")
            return (kernel[0] // 2, kernel[1] // 2)
        case int():
            return (padding, padding)
    return padding


def _windows(size: int, kernel: int, stride: int, padding: int, ceil: bool = False) -> int:
    """Return how many windows fit (none: 0 or less); with `ceil` also one that only starts inside the map."""
    steps = size + 2 * padding - kernel  # how far the first window can move
    if not ceil:
        return steps // stride + 1
    windows = -(-steps // stride) + 1
    # As in torch, a last window must start inside the map or the padding before it, not in the padding after it.
    return windows - 1 if (windows - 1) * stride >= size + padding else windows


def _need_map(node: Node, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(
            f"needs a (C, H, W) map, but a vector of {shape[0]} comes in; put it before flatten", (node.name,)
        )
    return shape  # type: ignore[return-value]


def _need_vector(node: Node, shape: Shape) -> None:
    if len(shape) != 1:
        raise ShapeError(f"needs a vector, but a {dims(shape)} map comes in; put flatten before it", (node.name,))


def _empty_map_error(node: Conv | Pool, shape: Shape, what: str) -> ShapeError:
    padding = node.padding if isinstance(node.padding, str) else f"padding-{node.padding}"
    return ShapeError(
        f"{dims(node.kernel)} {padding} {what} on a {shape[1]}x{shape[2]} map leaves nothing; "
        "use padding: same, a larger input or a stem with less stride",
        (node.name,),
    )
