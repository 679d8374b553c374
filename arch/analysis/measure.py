"""Measures of a network besides its cost: dead weights, depth, receptive field, peak activation memory.

They are for comparing a few networks and take longer than `arch.cost`, which a search calls thousands of times.
Auxiliary heads are counted apart, since they are removed at inference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from arch.analysis.dead_weights import DeadTaps, dead_taps
from arch.analysis.shapes import Placed, place_network
from arch.nodes import (
    AdaptivePool,
    Chain,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    Pad,
    Pair,
    Pool,
    Relu,
    Residual,
    Shape,
)
from arch.specs.spec import FINAL, Spec

FLOAT32 = 4  # bytes


@dataclass(frozen=True, slots=True)
class Field:
    """What the outputs of a map see of the input, per axis (rows, columns), in pixels.

    The output at (0, 0) sees from `start` up to, without, `end`, padding included; its neighbour sees
    `jump` pixels further.
    """

    start: Pair = (0, 0)
    end: Pair = (1, 1)
    jump: Pair = (1, 1)

    @property
    def size(self) -> Pair:
        """The receptive field, (rows, columns)."""
        return (self.end[0] - self.start[0], self.end[1] - self.start[1])

    def through(self, kernel: Pair, stride: Pair, padding: Pair) -> Field:
        """Return the field of a window over this map (Dumoulin and Visin 2016, arXiv 1603.07285)."""
        return Field(
            _pair(s - p * j for s, p, j in zip(self.start, padding, self.jump, strict=True)),
            _pair(e + (k - 1 - p) * j for e, k, p, j in zip(self.end, kernel, padding, self.jump, strict=True)),
            _pair(s * j for s, j in zip(stride, self.jump, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class RowMeasures:
    """The measures of one row or head.

    `depth` counts the row's own layers. `field` is what the row's output sees of the image, None after a
    flatten, which sees all of it. `peak_memory` is in bytes while the row runs, at batch 1 in float32.
    """

    name: str
    dead: tuple[DeadTaps, ...]
    depth: int
    field: Field | None
    peak_memory: int

    @property
    def dead_weights(self) -> int:
        """How many weights of the row's convolutions can never receive a gradient."""
        return sum(taps.weights for taps in self.dead)


@dataclass(frozen=True, slots=True)
class NetworkMeasures:
    """A network's measures. The rows end with the final head; the auxiliary heads are in `aux`."""

    rows: tuple[RowMeasures, ...]
    aux: tuple[RowMeasures, ...]

    @property
    def dead_weights(self) -> int:
        """Weights that can never receive a gradient, without auxiliary heads."""
        return sum(row.dead_weights for row in self.rows)

    @property
    def depth(self) -> int:
        """Convolutions and linear layers on the longest path, without auxiliary heads."""
        return sum(row.depth for row in self.rows)

    @property
    def receptive_field(self) -> Pair | None:
        """What the last map before the final head sees of the image, (rows, columns) in pixels."""
        last = self.rows[-2].field if len(self.rows) > 1 else Field()
        return last.size if last else None

    @property
    def peak_memory(self) -> int:
        """Bytes of activations that must be alive at once in inference, batch 1, float32."""
        return max(row.peak_memory for row in self.rows)


def measure(spec: Spec) -> NetworkMeasures:
    """Return a network's dead weights, depth, receptive field and peak memory, row by row.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size.

    Examples
    --------
    >>> import arch
    >>> found = arch.measure(arch.load("googlenet"))
    >>> found.depth, found.receptive_field, found.dead_weights
    (22, (715, 715), 0)
    """
    placed = place_network(spec)
    rows, aux = [], []
    field: Field | None = Field()
    zeros: Pair = (0, 0)
    for row, part in zip(spec.rows, placed.rows, strict=True):
        dead, zeros = dead_taps(part, zeros)
        field = receptive_field(part, field)
        rows.append(RowMeasures(row.name, dead, depth(part), field, peak_memory(part)))
        if row.name in placed.heads:
            aux.append(_head(row.name, placed.heads[row.name], field, zeros))
    return NetworkMeasures((*rows, _head(FINAL, placed.heads[FINAL], field, zeros)), tuple(aux))


def _head(name: str, part: Placed, field: Field | None, zeros: Pair) -> RowMeasures:
    return RowMeasures(name, dead_taps(part, zeros)[0], depth(part), receptive_field(part, field), peak_memory(part))


def depth(placed: Placed, pools: bool = False) -> int:
    """Return the layers with parameters on the longest path, as the papers count depth; with `pools` pools too.

    GoogLeNet has 22, and 27 with its pools (Szegedy et al. 2014, section 5). A depthwise convolution and
    the 1x1 after it are one layer, the separable convolution.
    """
    node = placed.node
    if isinstance(node, Conv):
        bare = not (node.norm or node.activation or node.bias)
        # The depthwise half of a separable convolution does not count; its 1x1 half does.
        return 0 if bare and 1 < node.groups == placed.input[0] else 1
    if isinstance(node, Linear):
        return 1
    if isinstance(node, Pool | AdaptivePool):
        return int(pools)
    depths = [depth(part, pools) for part in placed.parts]
    return sum(depths) if isinstance(node, Chain) else max(depths, default=0)


def receptive_field(placed: Placed, field: Field | None) -> Field | None:
    """Return what a placed node's output sees of the image, given what its input sees; None is all of it.

    A concat or a sum sees what any of its branches sees. The field may be larger than the image, as it counts
    padding. Branches may have different jumps (a strided pool whose map zeros pad to its old size). The field is then
    that of the central output, and later layers use the larger jump, so that theirs is an upper bound.
    """
    if field is None:
        return None
    match placed.node:
        case Conv(kernel=kernel, stride=stride, padding=padding) | Pool(kernel=kernel, stride=stride, padding=padding):
            return field.through(kernel, stride, cast(Pair, padding))  # placed: always a pair
        case AdaptivePool(size=size):
            return field.through(*_adaptive(placed.input, size), (0, 0))
        case Pad(amount=amount):
            return field.through((1, 1), (1, 1), amount)
        case Flatten() | Linear():
            return None
        case Chain():
            for part in placed.parts:
                field = receptive_field(part, field)
            return field
        case Concat():
            return _union([receptive_field(part, field) for part in placed.parts], placed.output)
        case Residual():
            ends = [receptive_field(part, field) for part in placed.parts]
            return _union([*ends, field] if len(ends) == 1 else ends, placed.output)
    return field


def _adaptive(shape: Shape, size: Pair) -> tuple[Pair, Pair]:
    """Return the largest window and step of adaptive pooling from a (C, H, W) map to `size`."""
    axes = list(zip(shape[1:], size, strict=True))
    windows = _pair(max(-(-(i + 1) * n // k) - i * n // k for i in range(k)) for n, k in axes)
    return windows, _pair(-(-n // k) for n, k in axes)


def _union(fields: list[Field | None], shape: Shape) -> Field:
    """Return what the fields see together from the centre of a (C, H, W) map."""
    branches = [field for field in fields if field is not None]  # branches end on maps, so none is None
    axes = []
    for axis in (0, 1):
        # A field gives what output (0, 0) sees, and the central output sees that moved by `centre` jumps. Written with
        # the largest jump, each branch's field shifts so that its central output still sees the same.
        centre, jump = shape[1 + axis] // 2, max(field.jump[axis] for field in branches)
        shifts = [centre * (field.jump[axis] - jump) for field in branches]
        start = min(field.start[axis] + shift for field, shift in zip(branches, shifts, strict=True))
        end = max(field.end[axis] + shift for field, shift in zip(branches, shifts, strict=True))
        axes.append((start, end, jump))
    return Field(*(_pair(values) for values in zip(*axes, strict=True)))


def _pair(values: Iterable[int]) -> Pair:
    rows, columns = values
    return (rows, columns)


def peak_memory(placed: Placed) -> int:
    """Return the bytes of activations that must be alive at once while a placed node runs: batch 1, float32.

    A layer needs its input and its output. Branches run one after another as written, a shortcut before its body.
    What a later layer reads stays in memory: the shared input, finished branches, the shortcut. A concat and a sum
    need their inputs and the result. Norm, activation and dropout work in place, except a ReLU whose input is
    read again; flatten is a view.
    """
    return FLOAT32 * _peak(placed, 0, False)


def _peak(placed: Placed, other: int, read_again: bool) -> int:
    """Return the peak in elements while `other` elements stay in memory; `read_again` says that the input must too."""
    into, out = math.prod(placed.input), math.prod(placed.output)
    kept = other + (into if read_again else 0)
    match placed.node:
        case Dropout() | Flatten():
            return other + into
        case Relu():
            return kept + out
        case Chain():
            # Dropout and views need nothing of their own. The first layer's need includes the chain's input; during later
            # layers that input stays only where it is read again.
            parts = [part for part in placed.parts if not isinstance(part.node, Dropout | Flatten)]
            peaks = [_peak(part, kept if i else other, read_again and i == 0) for i, part in enumerate(parts)]
            return max(peaks, default=other + into)
        case Concat():
            # The branches' outputs together are as large as the result.
            return max(_peak_of_branches(placed.parts, other, read_again), kept + 2 * out)
        case Residual() if len(placed.parts) == 1:
            # The identity shortcut is the input, which waits for the sum: input, body and result.
            return max(_peak(placed.parts[0], other, True), other + into + 2 * out)
        case Residual():
            # Shortcut, body and result are of one size.
            return max(_peak_of_branches(placed.parts[::-1], other, read_again), kept + 3 * out)
    return other + into + out


def _peak_of_branches(parts: tuple[Placed, ...], other: int, read_again: bool) -> int:
    """Return the peak of parts that run one after another on one input and keep their outputs."""
    peak = 0
    for index, part in enumerate(parts):
        peak = max(peak, _peak(part, other, read_again or index < len(parts) - 1))
        other += math.prod(part.output)
    return peak
