"""Quantities of networks by path: `googlenet/3a/b3x3/reduce/width`, `inception_v3/macs over googlenet/macs`.

A path names a network, then parts down its placed tree (a row or `aux/ROW`, a branch, a node), then a
measure. Two paths, or a path and a whole number, may be joined by `over`, `minus` or `times`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from arch.analysis.cost import count, weights
from arch.analysis.measure import depth
from arch.analysis.shapes import Placed, place_network
from arch.errors import InputError, near
from arch.nodes import Conv, Pool, Shape
from arch.specs.read import load
from arch.specs.spec import FINAL

Value = Fraction | Shape


class Tree(NamedTuple):
    """A network's placed rows (`trunk`, the classifier last) and auxiliary heads, by name."""

    trunk: dict[str, Placed]
    aux: dict[str, Placed]


def tree(network: str) -> Tree:
    """Return the placed parts of a shipped network."""
    spec = load(network)
    placed = place_network(spec)
    rows = dict(zip((row.name for row in spec.rows), placed.rows, strict=True))
    return Tree(rows | {FINAL: placed.heads[FINAL]}, {row: placed.heads[row] for row in spec.aux_rows})


Find = Callable[[str], Tree]
_JOINS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "over": operator.truediv,
    "minus": operator.sub,
    "times": operator.mul,
}


_COUNTS: dict[str, Callable[[Placed], int]] = {
    "weights": weights,
    "params": lambda placed: count(placed)[0],
    "macs": lambda placed: count(placed)[1],
    "depth": depth,
    "layers": lambda placed: depth(placed, pools=True),
    "inputs": lambda placed: math.prod(placed.input),
}


def _kernel(placed: Placed) -> Value:
    if not isinstance(placed.node, Conv | Pool):
        raise InputError(f"{placed.name} has no kernel; name a convolution or a pool.")
    return placed.node.kernel


_SHAPES: dict[str, Callable[[Placed], Value]] = {
    "output": lambda placed: channels_last(placed.output),
    "input": lambda placed: channels_last(placed.input),
    "grid": lambda placed: placed.output[1:],
    "width": lambda placed: Fraction(placed.output[0]),
    "kernel": _kernel,
}
MEASURES = (*_COUNTS, *_SHAPES)


def quantity(text: str, find: Find = tree) -> Value:
    """Return the value of a path or of two joined paths: a number, or a shape as papers print it, (H, W, C) or (H, W).

    A network's counts leave its auxiliary heads out; `NETWORK/aux/MEASURE` counts these alone and `NETWORK/all/MEASURE`
    both. `width` is the number of output channels, `inputs` the number of input values. `find` returns a network's parts.

    Raises
    ------
    InputError
        There is no such network, part or measure; names the near ones.

    Examples
    --------
    >>> from arch.ledger.quantity import quantity
    >>> quantity("googlenet/3a/b3x3/reduce/width")
    Fraction(96, 1)
    """
    words = text.split()
    if len(words) == 1:
        return _value(text, find)
    if len(words) != 3 or words[1] not in _JOINS:
        raise InputError(f"'{text}' is not a quantity; it must read PATH, or PATH {'|'.join(_JOINS)} PATH.")
    left, right = _value(words[0], find), _value(words[2], find)
    if not isinstance(left, Fraction) or not isinstance(right, Fraction):
        raise InputError(f"'{text}' joins shapes; only numbers can be joined.")
    return _JOINS[words[1]](left, right)


def networks_of(text: str) -> list[str]:
    """Return the networks that a quantity names, in its order."""
    return list(dict.fromkeys(word.partition("/")[0] for word in text.split() if "/" in word))


def _value(path: str, find: Find) -> Value:
    if path.isdigit():
        return Fraction(path)
    name, *steps = path.split("/")
    measure = steps.pop() if steps else ""
    if measure not in MEASURES:
        raise InputError(f"'{path}' ends in no measure.{near(measure, MEASURES)} Measures: {', '.join(MEASURES)}.")
    parts = _parts(find(name), steps, path)
    if measure in _COUNTS:
        return Fraction(sum(map(_COUNTS[measure], parts)))
    if len(parts) != 1:
        raise InputError(f"'{path}': a network has no {measure}; name a row.")
    return _SHAPES[measure](parts[0])


def _parts(network: Tree, steps: list[str], path: str) -> list[Placed]:
    """Return the part that the steps lead to, or all rows or heads of a network."""
    if not steps:
        return list(network.trunk.values())
    if steps in (["aux"], ["all"]):
        return [*(network.trunk.values() if steps == ["all"] else ()), *network.aux.values()]
    parts = network.trunk
    if steps[0] == "aux":
        parts, steps = network.aux, steps[1:]
    for step in steps:
        if step not in parts:
            raise InputError(f"'{path}': there is no part '{step}'.{near(step, parts)} Parts: {', '.join(parts)}.")
        found = parts[step]
        parts = {part.name: part for part in found.parts}
    return [found]


def channels_last(shape: Shape) -> Shape:
    """Return (C, H, W) as the papers print it, (H, W, C); a vector is 1x1."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else (1, 1, shape[0])
