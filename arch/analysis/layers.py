"""Every layer of a network in the order in which it runs, as torchsummary lists them, but without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from arch.analysis.cost import count
from arch.analysis.measure import FLOAT32
from arch.analysis.shapes import Placed, place_network
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
    Pool,
    Relu,
    Residual,
    Shape,
)
from arch.specs.spec import FINAL, Spec

_KINDS: dict[type[Node], tuple[str, bool]] = {  # torch's name, and whether it needs no memory of its own in inference
    AdaptivePool: ("AdaptiveAvgPool2d", False),
    Relu: ("ReLU", True),
    Pad: ("ZeroPad2d", False),
    Dropout: ("Dropout", True),
    FitChannels: ("ZeroPad3d", False),
    Flatten: ("Flatten", True),
    Linear: ("Linear", False),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its name in the state dict, torch's name for its kind (`Concat` and `Add` join branches), its output.

    `memory` is that of the output in bytes, batch 1, float32. `in_place` layers need none of their own in
    inference: norm, activation and dropout overwrite their input, flatten is a view of it.
    """

    name: str
    kind: str
    output: Shape
    params: int
    in_place: bool
    aux: bool

    @property
    def memory(self) -> int:
        """Bytes of the output, batch 1, float32."""
        return FLOAT32 * math.prod(self.output)


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of the layers of a network, in bytes except `layers` and `params`; float32, batch 1.

    `outputs` are all layers' outputs, `passes` twice that, forward and backward, as torchsummary estimates a
    training step's memory; `total` is input, passes and parameters together.
    """

    layers: int
    params: int
    input: int
    outputs: int

    @property
    def passes(self) -> int:
        """Outputs and their gradients."""
        return 2 * self.outputs

    @property
    def parameters(self) -> int:
        """The parameters' own memory."""
        return FLOAT32 * self.params

    @property
    def total(self) -> int:
        """Input, outputs with gradients, and parameters."""
        return self.input + self.passes + self.parameters


def layers(spec: Spec) -> list[Layer]:
    """Return every layer in the order in which it runs in training, each auxiliary head after its row.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size.

    Examples
    --------
    >>> import arch
    >>> from arch.analysis.layers import layers
    >>> [(layer.kind, layer.output) for layer in layers(arch.load("googlenet"))][:3]
    [('Conv2d', (64, 112, 112)), ('ReLU', (64, 112, 112)), ('MaxPool2d', (64, 56, 56))]
    """
    placed = place_network(spec)
    found: list[Layer] = []
    for row, part in zip(spec.rows, placed.rows, strict=True):
        found += _layers(part, f"rows.{row.name}", False)
        if row.name in placed.heads:
            found += _layers(placed.heads[row.name], f"heads.{row.name}", True)
    return [*found, *_layers(placed.heads[FINAL], f"heads.{FINAL}", False)]


def totals(spec: Spec, found: list[Layer]) -> Totals:
    """Return the totals of these layers of a network."""
    params, outputs = sum(layer.params for layer in found), sum(layer.memory for layer in found)
    return Totals(len(found), params, FLOAT32 * math.prod(spec.input), outputs)


def _layers(placed: Placed, name: str, aux: bool) -> Iterator[Layer]:
    """Yield the layers of a placed node; `name` is that of its module."""
    match placed.node:
        case Conv() as node:
            params, out = count(placed)[0], placed.output
            norm = out[0] * (1 + node.norm_scale) if node.norm else 0
            yield Layer(f"{name}.conv", "Conv2d", out, params - norm, False, aux)
            if node.norm:
                yield Layer(f"{name}.norm", "BatchNorm2d", out, norm, True, aux)
            if node.activation:
                yield Layer(f"{name}.relu", "ReLU", out, 0, True, aux)
        case Pool() as node:
            yield Layer(name, "MaxPool2d" if node.kind == "max" else "AvgPool2d", placed.output, 0, False, aux)
        case Chain() | Concat():
            for part in placed.parts:
                yield from _layers(part, f"{name}.{part.name}", aux)
            if isinstance(placed.node, Concat):
                yield Layer(name, "Concat", placed.output, 0, False, aux)
        case Residual(activation=activation):
            body, *shortcut = placed.parts
            for part in (*shortcut, body):
                yield from _layers(part, f"{name}.{'body' if part is body else 'shortcut'}", aux)
            yield Layer(name, "Add", placed.output, 0, False, aux)
            if activation:
                yield Layer(name, "ReLU", placed.output, 0, True, aux)
        case _:
            kind, in_place = _KINDS[type(placed.node)]
            yield Layer(name, kind, placed.output, count(placed)[0], in_place, aux)
