"""The fused interpretation: the same mathematics as the plain modules, in fewer and larger steps.

- A 1x1 convolution is a matrix product; those that read the same input are one product.
- On small maps any convolution is one product with a matrix of the kernel's taps that meet the map.
- Norm and ReLU are one pass over the joined channels; a bias before a batch norm is not added, and
  counted in the running mean all the same.
- Branches write straight into the concatenated map.
- Without gradients, norms are folded into the weights.

Parameters, buffers and their names are those of the plain network, so weights and optimiser states move
freely. The passes run in compiled code where there is a C++ compiler (native.py), else in torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arch.analysis.shapes import Placed, place_network
from arch.modules.fused import native
from arch.modules.fused.norms import Layer, activate
from arch.modules.fused.pools import PoolShape, pool
from arch.modules.fused.products import Kernel, Product, join
from arch.modules.plain import ConcatModule, Named, Network, ResidualModule
from arch.nodes import Conv, Pair, Pool

# A convolution on at most _ALWAYS positions is one dense product, and on at most _MOST where its kernel has twice as
# many taps. Time of the convolution / of the product, forward and backward, batch 128, 96 to 192 channels, one
# thread of an AMD EPYC, bf16 and fp32:
#   1x1 map, 3x3 kernel: 2.8, 2.5    2x2, 3x3: 2.2, 1.8    2x2, 5x5: 2.9, 2.3    2x2, 1x3: 1.3, 1.0    3x3, 5x5: 2.2, 1.8
#   but 3x3, 3x3: 1.2, 1.0 (from 192 to 320 channels 0.7, 1.0)    4x4, 5x5: 1.2, 1.0 (0.7, 0.6)    4x4, 3x3: 0.6, 0.5
_ALWAYS = 4
_MOST = 9


def fuse(network: Network) -> Network:
    """Let a plain network compute its maps in the fused way from now on; parameters and buffers stay the same."""
    placed = place_network(network.spec)
    rows = {row.name: part for row, part in zip(network.spec.rows, placed.rows, strict=True)}
    network.rows = Named({name: _fused(module, rows[name]) for name, module in network.rows.items()})
    network.heads = Named({name: _fused(module, placed.heads[name]) for name, module in network.heads.items()})
    network.execution = "fused"
    return network


def runs_as(execution: str, device: str = "cpu") -> str:
    """Say what an execution comes to on a device here: `fused` is `fused+native` where the compiled passes serve."""
    return "fused+native" if execution == "fused" and device == "cpu" and native.library() is not None else execution


def _fused(module: nn.Module, placed: Placed) -> nn.Module:
    match placed.node:
        case Conv():
            return FusedConv(module, placed)
        case Pool() as node:
            return FusedPool(node, placed)
    match module:
        case ConcatModule():
            parts = zip(module.items(), placed.parts, strict=True)
            return FusedConcat({name: _fused(branch, part) for (name, branch), part in parts}, placed)
        case ResidualModule():
            body, *shortcut = placed.parts
            projection = _fused(module.shortcut, shortcut[0]) if shortcut else module.shortcut
            return ResidualModule(_fused(module.body, body), projection, module.scale, module.activation)
        case nn.Sequential():
            pairs = zip(module.named_children(), placed.parts, strict=True)
            return FusedChain(OrderedDict((name, _fused(child, part)) for (name, child), part in pairs))
    return module


class FusedConv(nn.Module):
    """A convolution with its norm and activation: a product where that pays, then one pass."""

    def __init__(self, plain: nn.Module, placed: Placed) -> None:
        super().__init__()
        layers = dict(plain.named_children())
        self.conv, self.norm = cast(nn.Conv2d, layers["conv"]), cast("nn.BatchNorm2d | None", layers.get("norm"))
        self.relu = "relu" in layers
        self.kernel = _kernel(placed)
        self.grid = cast(Pair, placed.output[1:])

    def layer(self) -> Layer:
        """Return what follows the convolution."""
        return Layer(self.conv.out_channels, self.conv.bias, self.norm, self.relu)

    def alike(self) -> tuple[object, ...]:
        """Return what convolutions on one input must have in common to be one product."""
        norm = self.norm
        return (
            self.conv.stride,
            self.conv.bias is None,
            self.relu,
            norm and (norm.training, norm.eps, norm.momentum, norm.weight is None),
        )

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the map (N, F, H', W'), written into the rows `place` where that is given and can be done."""
        return compute([self], x, [place])[0]


class FusedChain(nn.Sequential):
    """Layers one after another, the last into a place where one is given."""

    def forward(self, x: Tensor, place: Tensor | None = None, start: int = 0) -> Tensor:
        """Return what the layers from `start` on make of a map."""
        *before, last = list(self)[start:]
        for layer in before:
            x = layer(x)
        return _run(last, x, place)


class FusedPool(nn.Module):
    """Max or average pooling."""

    def __init__(self, node: Pool, placed: Placed) -> None:
        super().__init__()
        grid = cast(Pair, placed.output[1:])
        padding = cast(Pair, node.padding)
        self.shape = PoolShape(node.kind, node.kernel, node.stride, padding, node.ceil, node.count_pad, grid)

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the pooled map."""
        return pool(x, self.shape, place)


class FusedConcat(ConcatModule):
    """Branches that write into one map; those that begin with a product on the same input begin together."""

    def __init__(self, branches: dict[str, nn.Module], placed: Placed) -> None:
        super().__init__(branches)
        self.widths = [part.output[0] for part in placed.parts]
        self.grid = cast(Pair, placed.output[1:])
        firsts = {
            name: next(branch.children()) if isinstance(branch, FusedChain) else branch
            for name, branch in branches.items()
        }
        self.siblings = [
            name
            for name, first in firsts.items()
            if isinstance(first, FusedConv) and first.kernel is not None and first.kernel.taps is None
        ]

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the branches' maps with their channels concatenated."""
        into = self._room(x) if place is None else place
        places = [None] * len(self.widths) if into is None else list(into.split(self.widths, 1))
        own = dict(zip(self._modules, places, strict=True))
        begun = self._begun(x, own)
        parts = []
        for name, branch in self.items():
            if name not in begun:
                parts.append(_run(branch, x, own[name]))
            else:
                chained = isinstance(branch, FusedChain) and len(list(branch)) > 1
                parts.append(branch(begun[name], own[name], 1) if chained else begun[name])
        return join(into, places, parts)

    def _room(self, x: Tensor) -> Tensor | None:
        """Return the rows of the whole map, where its parts can be written into them."""
        if not native.serves(x) or not (torch.is_grad_enabled() or self.training):
            return None
        shape = (x.shape[0] * self.grid[0] * self.grid[1], sum(self.widths))
        return torch.empty(shape, dtype=_autocast(x.new_empty(0)).dtype)

    def _begun(self, x: Tensor, own: dict[str, Tensor | None]) -> dict[str, Tensor]:
        """Return the results of the products that branches begin with, where they can be computed together."""
        groups: dict[tuple[object, ...], list[tuple[str, FusedConv, Tensor | None]]] = {}
        for name in self.siblings:
            branch = self[name]
            chained = isinstance(branch, FusedChain)
            first = cast(FusedConv, next(branch.children()) if chained else branch)
            ends = not isinstance(branch, FusedChain) or len(branch) == 1
            groups.setdefault(first.alike(), []).append((name, first, own[name] if ends else None))
        begun: dict[str, Tensor] = {}
        for group in groups.values():
            names, convs, places = zip(*group, strict=True)
            begun.update(zip(names, compute(convs, x, places), strict=True))
        return begun


def _run(module: nn.Module, x: Tensor, place: Tensor | None) -> Tensor:
    takes_place = isinstance(module, FusedConv | FusedChain | FusedPool | FusedConcat)
    return cast(Tensor, module(x, place) if takes_place else module(x))


def compute(convs: Sequence[FusedConv], x: Tensor, places: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Return the maps of convolutions that read one input; several of them are products that are `alike`."""
    norm, relu = convs[0].norm, convs[0].relu
    layers, weights = [conv.layer() for conv in convs], [conv.conv.weight for conv in convs]
    if not torch.is_grad_enabled() and not (norm and norm.training):
        pairs = [_folded(weight, layer) for weight, layer in zip(weights, layers, strict=True)]
        y = _convolved(convs, x, [weight for weight, _ in pairs], [bias for _, bias in pairs])
        return _parts(y.relu_() if relu else y, layers)
    if norm is None and not relu:
        return _parts(_convolved(convs, x, weights, [layer.bias for layer in layers]), layers)
    return activate(_convolved(convs, x, weights, [None] * len(convs)), layers, places)


def _parts(y: Tensor, layers: Sequence[Layer]) -> tuple[Tensor, ...]:
    return y.split([layer.width for layer in layers], 1) if len(layers) > 1 else (y,)


def _folded(weight: Tensor, layer: Layer) -> tuple[Tensor, Tensor | None]:
    """Return a convolution's weight and bias with the norm of an evaluation folded into them."""
    norm = layer.norm
    if norm is None:
        return weight, layer.bias
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean if layer.bias is None else layer.bias - mean
    return weight * scale.view(-1, 1, 1, 1), norm.bias + shift * scale


def _convolved(
    convs: Sequence[FusedConv], x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]
) -> Tensor:
    """Return the joined outputs of convolutions with these weights (F, C, kH, kW)."""
    first = convs[0]
    layer = first.conv
    if first.kernel is None:
        return F.conv2d(x, weights[0], biases[0], layer.stride, cast(Pair, layer.padding), 1, layer.groups)
    if first.kernel.taps is None and layer.stride != (1, 1):
        x = x[:, :, :: layer.stride[0], :: layer.stride[1]]
    given = [bias for bias in biases if bias is not None]
    bias = (torch.cat(given) if len(given) > 1 else given[0]) if given else None
    kernels = [conv.kernel for conv in convs]
    return cast(Tensor, Product.apply(_autocast(x), first.grid, kernels, bias, *weights))


def _autocast(tensor: Tensor) -> Tensor:
    """Return a float32 tensor in the type that autocast computes in, where that is on."""
    kind = tensor.device.type
    wanted = tensor.dtype == torch.float32 and torch.is_autocast_enabled(kind)
    return tensor.to(torch.get_autocast_dtype(kind)) if wanted else tensor


def _kernel(placed: Placed) -> Kernel | None:
    """Return how a convolution is read as a product; None where a convolution is better."""
    node, (_, h, w), (_, rows, columns) = cast(Conv, placed.node), placed.input, placed.output
    (kh, kw), (ph, pw) = node.kernel, cast(Pair, node.padding)
    if node.groups != 1:
        return None
    on_one = h * w == rows * columns == 1 and ph < kh and pw < kw
    if on_one or (node.kernel == (1, 1) and (ph, pw) == (0, 0)):
        return Kernel((ph, pw))
    if h * w > _ALWAYS and not (h * w <= _MOST and 2 * h * w <= kh * kw):
        return None
    down = _taps(h, rows, node.stride[0], ph, kh)
    across = _taps(w, columns, node.stride[1], pw, kw)
    taps = down.view(rows, 1, h, 1) * kw + across.view(1, columns, 1, w)
    live = (down.view(rows, 1, h, 1) >= 0) & (across.view(1, columns, 1, w) >= 0)
    return Kernel(taps=torch.where(live, taps, kh * kw).view(rows * columns, h * w))


def _taps(size: int, outputs: int, stride: int, padding: int, kernel: int) -> Tensor:
    """Return which tap joins each output to each input along one side (outputs, size); -1 where none does."""
    tap = torch.arange(size).view(1, -1) + padding - stride * torch.arange(outputs).view(-1, 1)
    return torch.where((tap >= 0) & (tap < kernel), tap, -1)
