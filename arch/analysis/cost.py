"""Exact cost from the spec alone, without torch: parameters, MACs and activations.

Parameters are the trainable ones: weights, biases, and scale and shift of a batch norm. MACs are the
multiply-adds of convolutions and linear layers at batch 1, weights only. Activations are the output
elements of the same layers (the convention of Radosavovic et al. 2020). Auxiliary heads are counted
apart, since they are removed at inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from arch.analysis.shapes import Placed, place_network, place_row
from arch.files.html_table import table
from arch.nodes import Conv, Linear, Shape, dims
from arch.specs.spec import FINAL, Row, Spec


class RowCost(NamedTuple):
    """One row of a cost table; `output` is (C, H, W), or (classes,) for the final head."""

    name: str
    block: str
    output: Shape
    params: int
    macs: int
    activations: int


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """What a network costs. The rows end with the final head; the auxiliary heads are in `aux`."""

    rows: tuple[RowCost, ...]
    aux: tuple[RowCost, ...]

    @property
    def params(self) -> int:
        """Trainable parameters without auxiliary heads."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds per image without auxiliary heads."""
        return sum(row.macs for row in self.rows)

    @property
    def activations(self) -> int:
        """Output elements of convolutions and linear layers per image, without auxiliary heads."""
        return sum(row.activations for row in self.rows)

    @property
    def aux_params(self) -> int:
        """Trainable parameters of the auxiliary heads."""
        return sum(row.params for row in self.aux)

    @property
    def aux_macs(self) -> int:
        """Multiply-adds per image of the auxiliary heads."""
        return sum(row.macs for row in self.aux)

    def _repr_html_(self) -> str:
        """Return the cost by row, for a notebook."""
        return cost_html(self)


def cost(spec: Spec) -> NetworkCost:
    """Return what a network costs, row by row.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size.

    Examples
    --------
    >>> import arch
    >>> arch.cost(arch.load("googlenet")).macs
    1582671872
    """
    placed = place_network(spec)
    rows = [
        RowCost(row.name, row.block, part.output, *_cached_count(part))
        for row, part in zip(spec.rows, placed.rows, strict=True)
    ]
    heads = {
        after: RowCost(after, spec.heads[after].head, part.output, *_cached_count(part))
        for after, part in placed.heads.items()
    }
    final = heads.pop(FINAL)
    return NetworkCost((*rows, final), tuple(heads.values()))


def row_macs(spec: Spec, row: Row, shape: Shape) -> int:
    """Return the multiply-adds of one row, which need not be the spec's own, on an input of `shape`."""
    return _cached_count(place_row(spec, row, shape))[1]


def _cached_count(placed: Placed) -> tuple[int, int, int]:
    # Equal rows on equal inputs are one Placed (see arch.analysis.shapes), so a search counts each only once.
    if placed.counts is None:
        placed.counts = count(placed)
    return placed.counts


def count(placed: Placed) -> tuple[int, int, int]:
    """Return (parameters, MACs, activations) of a placed node and everything in it."""
    node = placed.node
    if isinstance(node, Conv):
        out, rows, columns = placed.output
        weights = _conv_weights(placed, node)
        # Each weight multiplies once at every position of the output. A norm has a shift, and a scale unless switched off.
        params = weights + (out if node.bias else 0) + (out * (1 + node.norm_scale) if node.norm else 0)
        return params, weights * rows * columns, out * rows * columns
    if isinstance(node, Linear):
        weights = placed.input[0] * node.out
        return weights + node.out, weights, node.out
    # Every other node costs what its parts cost; pools, ReLUs and the like have none.
    params = macs = activations = 0
    for part in placed.parts:
        p, m, a = count(part)
        params, macs, activations = params + p, macs + m, activations + a
    return params, macs, activations


def weights(placed: Placed) -> int:
    """Return the weights of a placed node's convolutions and linear layers, without biases and norms."""
    node = placed.node
    if isinstance(node, Conv):
        return _conv_weights(placed, node)
    if isinstance(node, Linear):
        return placed.input[0] * node.out
    return sum(map(weights, placed.parts))


def _conv_weights(placed: Placed, node: Conv) -> int:
    """Return F x C / groups x kH x kW."""
    return placed.output[0] * (placed.input[0] // node.groups) * node.kernel[0] * node.kernel[1]


def cost_html(cost: NetworkCost) -> str:
    """Return a cost as a table by row: first the network with its total, then the auxiliary heads."""
    total = {"row": "total", "block": "without auxiliary heads", "output": ""}
    sums = {"params": cost.params, "MACs": cost.macs, "activations": cost.activations}
    rows = [
        *map(_html_row, cost.rows),
        total | sums,
        *(_html_row(row) | {"row": f"aux {row.name}"} for row in cost.aux),
    ]
    return table(f"{cost.params:,} parameters, {cost.macs:,} MACs", rows)


def _html_row(row: RowCost) -> dict[str, Any]:
    counted = {"params": row.params, "MACs": row.macs, "activations": row.activations}
    return {"row": row.name, "block": row.block, "output": dims(row.output), **counted}
