"""The fused execution: the same mathematics as the plain modules, in fewer and larger steps.

- A 1x1 convolution is a matrix product (products.py). Those of a concat's branches read one input and are one product.
- On small maps any convolution is one product, with a matrix between all positions.
- Bias, norm and ReLU are one pass over the channels (norms.py).
- Branches write directly into the concatenated map, so that concatenating copies nothing.
- Without gradients, norms are folded into the weights.

Parameters, buffers and their names are those of the plain network, so weights and optimizer states fit both. The passes
run in compiled code if there is a C++ compiler (native.py), else in torch.
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
from arch.modules.fused.norms import AfterConv, activate
from arch.modules.fused.pools import PoolShape, pool
from arch.modules.fused.products import Product, ProductKernel, join
from arch.modules.plain import ConcatModule, Named, Network, ResidualModule
from arch.nodes import Conv, Pair, Pool

# A convolution on a map of at most _DENSE_POSITIONS is one dense product; if its kernel has twice as many taps as the map
# has positions, on at most _DENSE_POSITIONS_LARGE_KERNEL. Time of the convolution / of the product, forward and backward,
# batch 128, 96 to 192 channels, one thread of an AMD EPYC, bf16 and fp32:
#   1x1 map, 3x3 kernel: 2.8, 2.5    2x2, 3x3: 2.2, 1.8    2x2, 5x5: 2.9, 2.3    2x2, 1x3: 1.3, 1.0    3x3, 5x5: 2.2, 1.8
#   but 3x3, 3x3: 1.2, 1.0 (from 192 to 320 channels 0.7, 1.0)    4x4, 5x5: 1.2, 1.0 (0.7, 0.6)    4x4, 3x3: 0.6, 0.5
_DENSE_POSITIONS = 4
_DENSE_POSITIONS_LARGE_KERNEL = 9


def fuse(network: Network) -> Network:
    """Replace a plain network's modules by fused ones, in place; they hold the same parameters and buffers."""
    placed = place_network(network.spec)
    rows = {row.name: part for row, part in zip(network.spec.rows, placed.rows, strict=True)}
    network.rows = Named({name: _fused(module, rows[name]) for name, module in network.rows.items()})
    network.heads = Named({name: _fused(module, placed.heads[name]) for name, module in network.heads.items()})
    network.execution = "fused"
    return network


def runs_as(execution: str, device: str = "cpu") -> str:
    """Return what an execution runs as on a device: `fused` is `fused+native` if there are compiled passes."""
    return "fused+native" if execution == "fused" and device == "cpu" and native.library() is not None else execution


def _fused(module: nn.Module, placed: Placed) -> nn.Module:
    """Return the fused module of a plain one; what has none (linear layers, dropout and the like) stays."""
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
    """A convolution, as a product where that is faster, then bias, norm and ReLU in one pass."""

    def __init__(self, plain: nn.Module, placed: Placed) -> None:
        super().__init__()
        layers = dict(plain.named_children())
        self.conv, self.norm = cast(nn.Conv2d, layers["conv"]), cast("nn.BatchNorm2d | None", layers.get("norm"))
        self.relu = "relu" in layers
        self.kernel = _product_kernel(placed)
        self.grid = cast(Pair, placed.output[1:])

    def after(self) -> AfterConv:
        """Return what follows the convolution (its training mode may change)."""
        return AfterConv(self.conv.out_channels, self.conv.bias, self.norm, self.relu)

    def merge_key(self) -> tuple[object, ...]:
        """Return what must be equal for convolutions on one input to be one product and one pass."""
        norm = self.norm
        return (
            self.conv.stride,
            self.conv.bias is None,
            self.relu,
            norm and (norm.training, norm.eps, norm.momentum, norm.weight is None),
        )

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the map (N, F, H', W'), written into the rows `place` if that is given and the pass can."""
        return run_convs([self], x, [place])[0]


class FusedChain(nn.Sequential):
    """Layers one after another; the last one writes into `place`."""

    def forward(self, x: Tensor, place: Tensor | None = None, start: int = 0) -> Tensor:
        """Return the map after the layers from `start` on."""
        *before, last = list(self)[start:]
        for layer in before:
            x = layer(x)
        return _run_module(last, x, place)


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
    """Branches that write into one map; those that start with a product share it."""

    def __init__(self, branches: dict[str, nn.Module], placed: Placed) -> None:
        super().__init__(branches)
        self.widths = [part.output[0] for part in placed.parts]
        self.grid = cast(Pair, placed.output[1:])
        firsts = {
            name: next(branch.children()) if isinstance(branch, FusedChain) else branch
            for name, branch in branches.items()
        }
        self.mergeable = [
            name
            for name, first in firsts.items()
            if isinstance(first, FusedConv) and first.kernel is not None and first.kernel.taps is None
        ]

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the branches' maps with their channels concatenated."""
        # Each branch gets its own columns of the concatenated map's rows to write into.
        into = self._empty_map(x) if place is None else place
        places = [None] * len(self.widths) if into is None else list(into.split(self.widths, 1))
        place_of = dict(zip(self._modules, places, strict=True))
        # First the products that several branches start with, together; then the rest of each branch.
        first_maps = self._first_products(x, place_of)
        parts = []
        for name, branch in self.items():
            if name not in first_maps:
                parts.append(_run_module(branch, x, place_of[name]))
            else:
                continues = isinstance(branch, FusedChain) and len(list(branch)) > 1
                parts.append(branch(first_maps[name], place_of[name], 1) if continues else first_maps[name])
        return join(into, places, parts)

    def _empty_map(self, x: Tensor) -> Tensor | None:
        """Return memory for the rows of the concatenated map; None if the parts cannot be written into it."""
        if not native.supports(x) or not (torch.is_grad_enabled() or self.training):
            return None
        shape = (x.shape[0] * self.grid[0] * self.grid[1], sum(self.widths))
        return torch.empty(shape, dtype=_as_autocast(x.new_empty(0)).dtype)

    def _first_products(self, x: Tensor, place_of: dict[str, Tensor | None]) -> dict[str, Tensor]:
        """Return the maps of the products that branches start with, by branch, computed together where possible."""
        groups: dict[tuple[object, ...], list[tuple[str, FusedConv, Tensor | None]]] = {}
        for name in self.mergeable:
            branch = self[name]
            first = cast(FusedConv, next(branch.children()) if isinstance(branch, FusedChain) else branch)
            is_last = not isinstance(branch, FusedChain) or len(branch) == 1  # only a branch's last layer has its place
            groups.setdefault(first.merge_key(), []).append((name, first, place_of[name] if is_last else None))
        first_maps: dict[str, Tensor] = {}
        for group in groups.values():
            names, convs, places = zip(*group, strict=True)
            first_maps.update(zip(names, run_convs(convs, x, places), strict=True))
        return first_maps


def _run_module(module: nn.Module, x: Tensor, place: Tensor | None) -> Tensor:
    takes_place = isinstance(module, FusedConv | FusedChain | FusedPool | FusedConcat)
    return cast(Tensor, module(x, place) if takes_place else module(x))


def run_convs(convs: Sequence[FusedConv], x: Tensor, places: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Return the maps of convolutions that read one input; several of them are products with equal `merge_key`."""
    norm, relu = convs[0].norm, convs[0].relu  # the same for all, by `merge_key`
    layers, weights = [conv.after() for conv in convs], [conv.conv.weight for conv in convs]
    # Evaluation without gradients: with the norm folded into the weights, only a ReLU is left.
    if not torch.is_grad_enabled() and not (norm and norm.training):
        pairs = [_with_norm_folded(weight, layer) for weight, layer in zip(weights, layers, strict=True)]
        y = _convolve(convs, x, [weight for weight, _ in pairs], [bias for _, bias in pairs])
        return _split_channels(y.relu_() if relu else y, layers)
    if norm is None and not relu:
        return _split_channels(_convolve(convs, x, weights, [layer.bias for layer in layers]), layers)
    return activate(_convolve(convs, x, weights, [None] * len(convs)), layers, places)


def _split_channels(y: Tensor, layers: Sequence[AfterConv]) -> tuple[Tensor, ...]:
    return y.split([layer.width for layer in layers], 1) if len(layers) > 1 else (y,)


def _with_norm_folded(weight: Tensor, layer: AfterConv) -> tuple[Tensor, Tensor | None]:
    """Return a convolution's weight and bias that include its norm in evaluation mode."""
    norm = layer.norm
    if norm is None:
        return weight, layer.bias
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -mean if layer.bias is None else layer.bias - mean
    return weight * scale.view(-1, 1, 1, 1), norm.bias + shift * scale


def _convolve(
    convs: Sequence[FusedConv], x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]
) -> Tensor:
    """Return the concatenated outputs of convolutions with these weights (F, C, kH, kW)."""
    first = convs[0]
    layer = first.conv
    if first.kernel is None:
        return F.conv2d(x, weights[0], biases[0], layer.stride, cast(Pair, layer.padding), 1, layer.groups)
    if first.kernel.taps is None and layer.stride != (1, 1):  # a strided 1x1 skips positions
        x = x[:, :, :: layer.stride[0], :: layer.stride[1]]
    present = [bias for bias in biases if bias is not None]
    bias = (torch.cat(present) if len(present) > 1 else present[0]) if present else None
    kernels = [conv.kernel for conv in convs]
    return cast(Tensor, Product.apply(_as_autocast(x), first.grid, kernels, bias, *weights))


def _as_autocast(tensor: Tensor) -> Tensor:
    """Return a float32 tensor in autocast's type where that is on: our own functions do not cast by themselves."""
    kind = tensor.device.type
    casts = tensor.dtype == torch.float32 and torch.is_autocast_enabled(kind)
    return tensor.to(torch.get_autocast_dtype(kind)) if casts else tensor


def _product_kernel(placed: Placed) -> ProductKernel | None:
    """Return how a convolution becomes a product; None if a convolution is faster."""
    node, (_, h, w), (_, rows, columns) = cast(Conv, placed.node), placed.input, placed.output
    (kh, kw), (ph, pw) = node.kernel, cast(Pair, node.padding)
    if node.groups != 1:
        return None
    single = h * w == rows * columns == 1 and ph < kh and pw < kw
    if single or (node.kernel == (1, 1) and (ph, pw) == (0, 0)):
        return ProductKernel((ph, pw))
    if h * w > _DENSE_POSITIONS and not (h * w <= _DENSE_POSITIONS_LARGE_KERNEL and 2 * h * w <= kh * kw):
        return None
    down = _taps(h, rows, node.stride[0], ph, kh)
    across = _taps(w, columns, node.stride[1], pw, kw)
    taps = down.view(rows, 1, h, 1) * kw + across.view(1, columns, 1, w)
    # A pair of positions is joined if both its row and its column are; else it gets the number after the last tap.
    joined = (down.view(rows, 1, h, 1) >= 0) & (across.view(1, columns, 1, w) >= 0)
    return ProductKernel(taps=torch.where(joined, taps, kh * kw).view(rows * columns, h * w))


def _taps(size: int, outputs: int, stride: int, padding: int, kernel: int) -> Tensor:
    """Return the tap between each output and input along one side, (outputs, size); -1 where there is none."""
    tap = torch.arange(size).view(1, -1) + padding - stride * torch.arange(outputs).view(-1, 1)
    return torch.where((tap >= 0) & (tap < kernel), tap, -1)
