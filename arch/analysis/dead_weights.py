"""Dead weights: kernel taps of convolutions that only see padding, and so never receive a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import cast

from arch.analysis.shapes import Placed
from arch.nodes import Chain, Concat, Conv, Dropout, FitChannels, Pad, Pair, Relu, Residual, dims


@dataclass(frozen=True, slots=True)
class DeadTaps:
    """The taps of one convolution that lie on zeros around the map at every output position.

    `rows` and `columns` are the dead indices along each axis of `kernel`; a weight is dead when
    either of its indices is. `map` is the (H, W) that the convolution reads, without the zeros.
    """

    layer: str
    kernel: Pair
    map: Pair
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    weights: int


def dead_taps(placed: Placed, zeros: Pair = (0, 0), path: str = "") -> tuple[tuple[DeadTaps, ...], Pair]:
    """Return the convolutions in a placed node that have dead weights, and the (rows, columns) of zeros around its output.

    Taps count that see a convolution's own padding, or zeros of `Pad` nodes before it, also through ReLUs, dropout,
    concats and sums. Zeros are not followed through a pool. Every output counts as read, though a later stride may
    skip it.

    Parameters
    ----------
    zeros : the (rows, columns) of zeros around the input.
    path : the node's place in its row, for the names of layers.
    """
    found: tuple[DeadTaps, ...]
    node = placed.node
    match node:
        case Conv():
            return _dead_taps(placed, node, zeros, path), (0, 0)
        case Pad(amount=amount):
            return (), (zeros[0] + amount[0], zeros[1] + amount[1])
        case Relu() | Dropout() | FitChannels():
            return (), zeros
        case Chain():
            found = ()
            for part in placed.parts:
                in_part, zeros = dead_taps(part, zeros, _inside(path, part))
                found += in_part
            return found, zeros
        case Concat() | Residual():
            branches = [dead_taps(part, zeros, _inside(path, part)) for part in placed.parts]
            ends = [end for _, end in branches] + ([zeros] if len(branches) == 1 else [])  # an identity shortcut
            found = tuple(chain.from_iterable(in_branch for in_branch, _ in branches))
            # A border of zeros stays only where every branch has it.
            return found, (min(rows for rows, _ in ends), min(columns for _, columns in ends))
    return (), (0, 0)


def _inside(path: str, part: Placed) -> str:
    return f"{path}.{part.name}" if path else part.name


def _dead_taps(placed: Placed, node: Conv, zeros: Pair, path: str) -> tuple[DeadTaps, ...]:
    padding = cast(Pair, node.padding)  # placed: always a pair

    def dead(axis: int) -> tuple[int, ...]:
        stride, windows, size = node.stride[axis], placed.output[1 + axis], placed.input[1 + axis]
        taps = range(node.kernel[axis])
        return tuple(t for t in taps if not _sees_data(t - padding[axis], stride, windows, zeros[axis], size))

    rows, columns = dead(0), dead(1)
    live = (node.kernel[0] - len(rows)) * (node.kernel[1] - len(columns))
    weights = placed.output[0] * (placed.input[0] // node.groups) * (node.kernel[0] * node.kernel[1] - live)
    _, height, width = placed.input
    inner = (height - 2 * zeros[0], width - 2 * zeros[1])
    return (DeadTaps(path, node.kernel, inner, rows, columns, weights),) if weights else ()


def _sees_data(offset: int, stride: int, windows: int, zeros: int, size: int) -> bool:
    """Say whether a tap at `offset` from the start of window 0 meets an element that is no zero of padding."""
    first = max(0, -(-(zeros - offset) // stride))  # the first window whose tap is past the leading zeros
    return first < windows and first * stride + offset < size - zeros


def warning(dead: Mapping[str, tuple[DeadTaps, ...]], params: int) -> str:
    """Return how many weights are dead, in which rows and why, and a remedy; an empty text if none is.

    Parameters
    ----------
    dead : the dead taps by row, without auxiliary heads.
    params : parameters without auxiliary heads, for the share of dead ones.
    """
    total = sum(taps.weights for found in dead.values() for taps in found)
    if not total:
        return ""
    reasons: dict[str, list[str]] = {}
    for row, found in dead.items():
        sizes = dict.fromkeys((taps.kernel, taps.map) for taps in found)
        if why := "; ".join(f"{dims(kernel)} kernels on {dims(map_)} maps" for kernel, map_ in sizes):
            reasons.setdefault(why, []).append(row)
    where = "".join(f"\n  {', '.join(rows)}: {why}" for why, rows in reasons.items())
    return (
        f"warning: {total:,} weights, {100 * total / params:.1f} % of the parameters without auxiliary heads, can never "
        f"receive a gradient: their kernel taps only see padding.{where}\n"
        "  remedy: a stem with less stride, or a larger input, so that these rows stand on larger maps"
    )
