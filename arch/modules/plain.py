"""The plain execution: a network as torch modules, one layer for each node."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

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
    Pad,
    Pair,
    Pool,
    Relu,
    Residual,
)
from arch.specs.spec import FINAL, Spec
from arch.specs.style import Style

Execution = Literal["plain", "fused"]


class Output(NamedTuple):
    """What a network returns: `logits` (N, classes), and `aux` with the same by the row of each head."""

    logits: Tensor
    aux: dict[str, Tensor]


class Network(nn.Module):
    """A spec as a torch module.

    Auxiliary heads run in training mode only, unless `aux` is given. State-dict keys follow the
    spec: `rows.4c.b5x5.reduce.conv.weight`, `heads.4a.linear.weight`. `execution` names how the maps are
    computed; the results and the state dict are the same.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.execution: Execution = "plain"
        placed = place_network(spec)
        self.rows = Named(
            {row.name: _module(part, spec.style_of(row)) for row, part in zip(spec.rows, placed.rows, strict=True)}
        )
        self.heads = Named({after: _module(part, spec.style) for after, part in placed.heads.items()})
        initialise(self, spec.style.init, spec.style.std)

    def forward(self, images: Tensor, aux: bool | None = None) -> Output:
        """Return the logits of images (N, C, H, W); with `aux` (by default in training) the heads' too."""
        with_aux = self.training if aux is None else aux
        x, auxiliary = images, {}
        for name, row in self.rows.items():
            x = row(x)
            if with_aux and name in self.heads:
                auxiliary[name] = self.heads[name](x)
        return Output(self.heads[FINAL](x), auxiliary)


class Named(nn.Module):
    """Modules by any name; torch's ModuleDict refuses the names of its own methods."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(modules)

    def items(self) -> list[tuple[str, nn.Module]]:
        """Return names and modules in order."""
        return [(name, cast(nn.Module, module)) for name, module in self._modules.items()]

    def __getitem__(self, name: str) -> nn.Module:
        return cast(nn.Module, self._modules[name])

    def __contains__(self, name: str) -> bool:
        return name in self._modules


class ConcatModule(Named):
    """Named branches on one input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches' maps with their channels concatenated."""
        return torch.cat([branch(x) for _, branch in self.items()], 1)


class ResidualModule(nn.Module):
    """A shortcut plus `scale` times a body."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, scale: float, activation: bool) -> None:
        super().__init__()
        self.body, self.shortcut, self.scale, self.activation = body, shortcut, scale, activation

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, through a ReLU if `activation`."""
        total = torch.add(self.shortcut(x), self.body(x), alpha=self.scale)
        return torch.relu(total) if self.activation else total


def _module(placed: Placed, style: Style) -> nn.Module:
    """Return the torch module of a placed node."""
    match placed.node:
        case Chain():
            return nn.Sequential(OrderedDict((part.name, _module(part, style)) for part in placed.parts))
        case Concat():
            return ConcatModule({part.name: _module(part, style) for part in placed.parts})
        case Residual(scale=scale, activation=activation):
            body, *shortcut = (_module(part, style) for part in placed.parts)
            return ResidualModule(body, shortcut[0] if shortcut else nn.Identity(), scale, activation)
        case Conv() as node:
            return _conv(node, placed, style)
        case Pool() as node:
            return _pool(node)
        case Linear(out=out, std=std):
            return _with_std(nn.Linear(placed.input[0], out), std)
        case AdaptivePool(size=size):
            return nn.AdaptiveAvgPool2d(size)
        case Flatten():
            return nn.Flatten()
        case Relu():
            return nn.ReLU()
        case Dropout(p=p):
            return nn.Dropout(p)
        case FitChannels(out=out):
            return nn.ZeroPad3d((0, 0, 0, 0, 0, out - placed.input[0]))  # less than 0 leaves the last channels out
        case Pad(amount=(rows, columns)):
            return nn.ZeroPad2d((columns, columns, rows, rows))
    raise TypeError(f"{type(placed.node).__name__} is not a node of the language")


def _conv(node: Conv, placed: Placed, style: Style) -> nn.Sequential:
    c, out = placed.input[0], placed.output[0]
    conv = nn.Conv2d(
        c, out, node.kernel, node.stride, cast(Pair, node.padding), groups=node.groups, bias=bool(node.bias)
    )
    layers: dict[str, nn.Module] = {"conv": _with_std(conv, node.std)}
    if node.norm:
        layers["norm"] = nn.BatchNorm2d(out, style.eps, style.momentum)
        if not node.norm_scale:
            layers["norm"].register_parameter("weight", None)  # a shift alone
    if node.activation:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(OrderedDict(layers))


def _with_std(layer: nn.Module, std: float | None) -> nn.Module:
    """Keep on a layer the deviation of its initial weights, where it is not the style's, for `initialise`."""
    layer.initial_std = std  # type: ignore[assignment]
    return layer


def _pool(node: Pool) -> nn.Module:
    padding = cast(Pair, node.padding)
    if node.kind == "max":
        return nn.MaxPool2d(node.kernel, node.stride, padding, ceil_mode=node.ceil)
    return nn.AvgPool2d(node.kernel, node.stride, padding, ceil_mode=node.ceil, count_include_pad=node.count_pad)


def initialise(network: nn.Module, init: str, std: float = 0.1) -> None:
    """Draw new weights, in place.

    `torch`: the layers' own defaults. `kaiming`: normal, fan-out, for convolutions, and normal with
    deviation 0.01 for linear layers (tutorials 000 and 002). `glorot`: uniform (TensorFlow's
    default). `truncated`: normal cut at two deviations, `std` or a layer's own (TF-Slim's Inception v3).
    Biases are zero in the last three.
    """
    for module in network.modules():
        if init == "torch" or not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        if init == "glorot":
            nn.init.xavier_uniform_(module.weight)
        elif init == "truncated":
            own = getattr(module, "initial_std", None) or std
            nn.init.trunc_normal_(module.weight, std=own, a=-2 * own, b=2 * own)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.normal_(module.weight, 0.0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
