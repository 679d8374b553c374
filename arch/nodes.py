"""The node language: a few leaves, and three ways to put them together.

A block definition is a function from channel numbers to a tree of these nodes. Nodes hold only what
a paper's figure says; input channels, map size and style follow when `arch.analysis.shapes` places a tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal

Pair = tuple[int, int]
Size = int | Pair
Padding = Literal["same", "valid"] | Size
Shape = tuple[int, ...]  # (C, H, W) of a map or (C,) of a vector; the batch is left out


class Node:
    """Anything that maps one tensor to one tensor."""

    __slots__ = ()
    name: str

    def __rshift__(self, after: Node) -> Chain:
        return chain(self, after)


@dataclass(frozen=True, slots=True)
class Conv(Node):
    """Convolution, then norm, then activation, as the style says where these are None.

    `out` None means a depthwise convolution of `multiplier` outputs for each input channel. `std` is the
    deviation of this layer's initial weights where it is not the style's. The style sets `norm_scale`.
    """

    out: int | None
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = "same"
    groups: int = 1
    multiplier: int = 1
    norm: bool | None = None
    activation: bool | None = None
    bias: bool | None = None
    name: str = ""
    std: float | None = None
    norm_scale: bool = True


@dataclass(frozen=True, slots=True)
class Pool(Node):
    """Max or average pooling; `ceil` keeps the last window that starts inside the map."""

    kind: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Padding = "same"
    ceil: bool = False
    count_pad: bool = True
    name: str = ""


@dataclass(frozen=True, slots=True)
class AdaptivePool(Node):
    """Means over `size` even windows, which may overlap, (C, H, W) -> (C, *size); by default over all of the map."""

    size: Pair = (1, 1)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Relu(Node):
    """A ReLU that no convolution includes."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Pad(Node):
    """Zeros around the map: `amount` rows above and below, and columns left and right."""

    amount: Pair
    name: str = ""


@dataclass(frozen=True, slots=True)
class FitChannels(Node):
    """Maps of `out` channels without a layer: zeros for those that are missing, the first `out` where there are more."""

    out: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Dropout(Node):
    """Dropout with probability `p` of zeroing a value."""

    p: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Flatten(Node):
    """(C, H, W) -> (C * H * W,)."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Linear(Node):
    """A fully connected layer with bias, on a vector."""

    out: int
    name: str = ""
    std: float | None = None


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """Nodes one after another."""

    nodes: tuple[Node, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Concat(Node):
    """Branches that read the same input; their channels are concatenated in order."""

    branches: tuple[Node, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Residual(Node):
    """`activation(shortcut(x) + scale * body(x))`.

    Where channel numbers differ, the shortcut is a linear 1x1 convolution with `project`, and the identity with zeros
    for missing channels, or without surplus ones, with `fit` (He et al. 2015, option A). Without either they are an error.
    """

    body: Node
    scale: float = 1.0
    activation: bool = True
    project: bool = False
    name: str = ""
    fit: bool = False


def dims(sizes: Iterable[int]) -> str:
    """Return a shape or a kernel as text, `28x28x256`."""
    return "x".join(map(str, sizes))


def signature(node: Node) -> str:
    """Return a node and its children as text. Defaults are left out, so that a new option changes no signature."""
    given = ((f.name, getattr(node, f.name)) for f in fields(node) if getattr(node, f.name) != f.default)  # type: ignore[arg-type]
    return f"{type(node).__name__}({', '.join(f'{name}={_signature(value)}' for name, value in given)})"


def _signature(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_signature, value))}]"
    return signature(value) if isinstance(value, Node) else repr(value)


_cached = lru_cache(maxsize=10_000)  # nodes never change, and a search builds the same ones thousands of times
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in Node.__subclasses__()}  # type: ignore[arg-type]


def _pair(size: Size) -> Pair:
    return size if isinstance(size, tuple) else (size, size)


def with_name(node: Node, name: str) -> Node:
    """Return the node under another name; names appear in errors and state-dict keys."""
    if node.name == name:
        return node
    # A search builds thousands of trees, and dataclasses.replace takes ten times as long.
    new = object.__new__(type(node))
    for field in _FIELDS[type(node)]:
        object.__setattr__(new, field, getattr(node, field))
    object.__setattr__(new, "name", name)
    return new


@_cached
def conv(
    out: int,
    kernel: Size,
    stride: Size = 1,
    padding: Padding = "same",
    groups: int = 1,
    norm: bool | None = None,
    activation: bool | None = None,
    bias: bool | None = None,
    std: float | None = None,
) -> Conv:
    """A convolution of `out` channels; norm, activation and bias follow the style where None."""
    kernel = _pair(kernel)
    name = f"conv{kernel[0]}x{kernel[1]}"
    return Conv(out, kernel, _pair(stride), padding, groups, 1, norm, activation, bias, name, std)


def depthwise(multiplier: int, kernel: Size, stride: Size = 1, padding: Padding = "same") -> Conv:
    """The first part of a separable convolution: no norm, activation or bias follows it."""
    return Conv(None, _pair(kernel), _pair(stride), padding, 1, multiplier, False, False, False, "depthwise")


@_cached
def reduce(out: int) -> Conv:
    """The 1x1 convolution before a larger one."""
    return Conv(out, (1, 1), name="reduce")


@_cached
def project(out: int) -> Conv:
    """The 1x1 convolution after a pool."""
    return Conv(out, (1, 1), name="project")


@_cached
def linear_1x1(out: int) -> Conv:
    """A 1x1 convolution with bias and without norm or activation (Szegedy et al. 2016, section 3.2)."""
    return Conv(out, (1, 1), norm=False, activation=False, bias=True, name="linear")


@_cached
def max_pool(kernel: Size, stride: Size = 1, padding: Padding = "same", ceil: bool = False) -> Pool:
    """Max pooling; padding is never the maximum."""
    return Pool("max", _pair(kernel), _pair(stride), padding, ceil, name="max_pool")


@_cached
def avg_pool(
    kernel: Size, stride: Size = 1, padding: Padding = "same", ceil: bool = False, count_pad: bool = True
) -> Pool:
    """Average pooling; `count_pad` says whether padding counts as zeros in the mean."""
    return Pool("avg", _pair(kernel), _pair(stride), padding, ceil, count_pad, name="avg_pool")


def global_pool() -> AdaptivePool:
    """The mean over the map."""
    return AdaptivePool(name="global_pool")


def adaptive_pool(size: Size) -> AdaptivePool:
    """Means over `size` even windows of a map of any size."""
    return AdaptivePool(_pair(size), "adaptive_pool")


def relu() -> Relu:
    """A ReLU that no convolution includes."""
    return Relu("relu")


def pad(amount: Size) -> Pad:
    """Zeros on all four sides."""
    return Pad(_pair(amount), "pad")


def dropout(p: float) -> Dropout:
    """Dropout with probability `p` of zeroing a value, in training only."""
    return Dropout(p, "dropout")


def flatten() -> Flatten:
    """A map as one vector."""
    return Flatten("flatten")


@_cached
def linear(out: int, std: float | None = None) -> Linear:
    """A fully connected layer with bias."""
    return Linear(out, "linear", std)


def chain(*nodes: Node) -> Chain:
    """Nodes one after another; chains without a name are flattened, and equal names get a number."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, Chain) and not node.name else [node])
    return Chain(_distinct(flat))


def _distinct(nodes: list[Node]) -> tuple[Node, ...]:
    """Return the nodes with distinct names: a second conv3x3 is conv3x3_2."""
    if len({node.name for node in nodes}) == len(nodes):
        return tuple(nodes)
    seen: set[str] = set()
    result = []
    for node in nodes:
        name, count = node.name, 2
        while name in seen:
            name, count = f"{re.sub(r'_[0-9]+$', '', node.name)}_{count}", count + 1
        seen.add(name)
        result.append(node if name == node.name else with_name(node, name))
    return tuple(result)


def concat(**branches: Node) -> Concat:
    """Named branches on one input."""
    return Concat(tuple(with_name(node, name) for name, node in branches.items()), "concat")


def residual(
    body: Node, scale: float = 1.0, activation: bool = True, project: bool = False, fit: bool = False
) -> Residual:
    """Add `scale` times the body to its input, then activate (Szegedy et al. 2016, figure 20)."""
    return Residual(with_name(body, "body"), scale, activation, project, "residual", fit)
