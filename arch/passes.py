"""The passes of the fused execution as autograd functions: products, norms with their activation, pools, joins.

Maps are (N, C, H, W) with their channels side by side in memory (channels_last), so that they are read as
rows of channels, (N * H * W, C), without being moved. A pass may be given a `place`: rows of a larger
map into which it writes, which makes concatenating free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from arch import native
from arch.nodes import Pair


def rows(x: Tensor) -> Tensor:
    """Return a map (N, C, H, W) as rows (N * H * W, C); copied only where its channels do not lie side by side."""
    flat = x.permute(0, 2, 3, 1)
    if flat.shape[3] > 1 and flat.stride(3) != 1:
        flat = flat.contiguous()
    return flat.reshape(-1, flat.shape[3])


def as_map(flat: Tensor, n: int, grid: Pair) -> Tensor:
    """Return rows as the map (N, C, H, W) that they are."""
    return flat.view(n, *grid, flat.shape[1]).permute(0, 3, 1, 2)


def matmul(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `a @ b.T`, (M, K) and (N, K) to (M, N), with the bias (N,) added.

    In float32 through oneDNN, as convolutions are, where torch's own product goes to MKL: 2.1 to 2.8 times
    as fast on an AMD EPYC with AVX-512 (2048x192 by 176: 0.60 against 1.46 ms on one thread).
    """
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(_dense(a), _dense(b), bias, "none", [], ""))
    return F.linear(a, b, bias)


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix without gaps between its rows or columns; on others oneDNN is a hundred times slower."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


@dataclass(frozen=True)
class Kernel:
    """How a convolution's weight (F, C, kH, kW) is read as the matrix of a product.

    With `taps` (outputs, inputs), the matrix (outputs * F, inputs * C) is that between all positions, and `taps`
    holds the number of the tap between each pair, one past the last where there is none. Without, it is
    that of the one tap that meets each position, (F, C).
    """

    tap: Pair = (0, 0)
    taps: Tensor | None = None

    @property
    def outputs(self) -> int:
        """How many positions a row block of the matrix stands for."""
        return 1 if self.taps is None else len(self.taps)

    def matrix(self, weight: Tensor, kind: torch.dtype) -> Tensor:
        """Return the matrix of a weight, in that type."""
        if self.taps is None:
            return weight[:, :, self.tap[0], self.tap[1]].to(kind)
        f, c, *sides = weight.shape
        by_tap = weight.to(kind).permute(0, 2, 3, 1).reshape(f, -1, c)
        if int(self.taps.max()) == sides[0] * sides[1]:
            by_tap = torch.cat([by_tap, by_tap.new_zeros(f, 1, c)], 1)
        outputs, inputs = self.taps.shape
        matrix = by_tap.new_empty(outputs, f, inputs, c)
        for output, taps in enumerate(self.taps.to(weight.device)):
            torch.index_select(by_tap, 1, taps, out=matrix[output])
        return matrix.view(outputs * f, inputs * c)

    def gradient(self, of_matrix: Tensor, weight: Tensor) -> Tensor:
        """Return the weight's gradient, given that of its matrix."""
        f, c, *sides = weight.shape
        if self.taps is None and sides == [1, 1]:
            return of_matrix.view_as(weight).to(weight.dtype)
        if self.taps is None:
            whole = torch.zeros_like(weight)
            whole[:, :, self.tap[0], self.tap[1]] = of_matrix
            return whole
        outputs, inputs = self.taps.shape
        by_tap = weight.new_zeros(f, sides[0] * sides[1] + 1, c)
        for taps, of_output in zip(self.taps, of_matrix.view(outputs, f, inputs, c), strict=True):
            by_tap.index_add_(1, taps.to(weight.device), of_output.to(weight.dtype))
        return by_tap[:, :-1].reshape(f, *sides, c).permute(0, 3, 1, 2)


class Product(Function):
    """Convolutions on one input as one matrix product, their outputs' channels joined.

    A row of the matrix meets each position's channels, or each image's whole map where it is one between
    all positions.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, grid: Pair, kernels: Sequence[Kernel], bias: Tensor | None, *weights: Tensor
    ) -> Tensor:
        """Return the joined map on `grid`; `bias` is that of the joined channels."""
        matrices = [kernel.matrix(weight, x.dtype) for kernel, weight in zip(kernels, weights, strict=True)]
        matrix = torch.cat(matrices) if len(matrices) > 1 else matrices[0].contiguous()
        flat = rows(x).reshape(-1, matrix.shape[1])
        ctx.save_for_backward(flat, matrix, *weights)
        ctx.shape, ctx.kernels, ctx.splits = x.shape, kernels, [len(part) for part in matrices]
        added = None if bias is None else bias.to(x.dtype).repeat(kernels[0].outputs)
        y = matmul(flat, matrix, added)
        return as_map(y.view(x.shape[0] * grid[0] * grid[1], -1), x.shape[0], grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Return the gradients of the map, the bias and the weights."""
        flat, matrix, *weights = ctx.saved_tensors
        n, c, h, w = ctx.shape
        by_channel = rows(grads[0])
        grad = by_channel.reshape(-1, len(matrix))
        of_x = as_map(matmul(grad, matrix.t()).view(-1, c), n, (h, w)) if ctx.needs_input_grad[0] else None
        of_bias = by_channel.sum(0, dtype=weights[0].dtype) if ctx.needs_input_grad[3] else None
        parts = matmul(grad.t(), flat.t()).split(ctx.splits)
        of_weights = [k.gradient(part, weight) for k, part, weight in zip(ctx.kernels, parts, weights, strict=True)]
        return of_x, None, None, of_bias, *of_weights


@dataclass(frozen=True)
class Layer:
    """What follows a convolution: its bias (which it has not added), its norm, and whether a ReLU."""

    width: int
    bias: Tensor | None
    norm: nn.BatchNorm2d | None
    relu: bool


class _Vectors(NamedTuple):
    """`(y - mean) * scale + shift` for each channel; `rstd` is the scale before the norm's weight."""

    mean: Tensor
    rstd: Tensor
    scale: Tensor
    shift: Tensor


def activate(y: Tensor, layers: Sequence[Layer], places: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Return what follows the convolutions that `y` (N, C, H, W) is the joined output of, a map a layer.

    The layers differ in width, bias and weights alone. Running statistics are updated in training, each
    norm's own.
    """
    norm = layers[0].norm
    if norm and norm.training and y.numel() == y.shape[1]:
        raise ValueError(f"a batch norm in training needs more than one value a channel, not {tuple(y.shape)}")
    if not native.serves(y):
        return _activate_in_torch(y, layers)
    parameters = [tensor for layer in layers for tensor in _parameters(layer)]
    return cast(tuple[Tensor, ...], _Norm.apply(y, layers, places, *parameters))


def _parameters(layer: Layer) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return (layer.norm.weight, layer.norm.bias, layer.bias) if layer.norm else (None, None, layer.bias)


class _Norm(Function):
    """Norm and ReLU in one pass, forward and backward, in compiled code."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, layers: Sequence[Layer], places: Sequence[Tensor | None], *parameters: Tensor | None
    ) -> tuple[Tensor, ...]:
        flat, n, grid = rows(y), y.shape[0], (y.shape[2], y.shape[3])
        vectors = _vectors(flat, layers)
        ctx.save_for_backward(flat)
        ctx.layers, ctx.vectors, ctx.n, ctx.grid = layers, vectors, n, grid
        outs, at = [], 0
        for layer, place in zip(layers, places, strict=True):
            own = slice(at, at + layer.width)
            out = flat.new_empty((len(flat), layer.width)) if place is None or place.dtype != y.dtype else place
            native.norm_apply(flat[:, own], out, vectors.mean[own], vectors.scale[own], vectors.shift[own], layer.relu)
            outs.append(as_map(out, n, grid))
            at += layer.width
        return tuple(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (flat,), of_parameters = ctx.saved_tensors, []
        of_y, at, vectors = torch.empty_like(flat, memory_format=torch.contiguous_format), 0, ctx.vectors
        for layer, grad in zip(ctx.layers, grads, strict=True):
            own = slice(at, at + layer.width)
            training = layer.norm is not None and layer.norm.training
            mean, rstd, factor, offset = (vector[own] for vector in vectors)
            scale, shift = native.norm_grad(
                flat[:, own], rows(grad), of_y[:, own], mean, rstd, factor, offset, layer.relu, training
            )
            of_parameters += _of_parameters(layer, training, scale, shift, factor)
            at += layer.width
        return as_map(of_y, ctx.n, ctx.grid), None, None, *of_parameters


def _of_parameters(layer: Layer, training: bool, scale: Tensor, shift: Tensor, factor: Tensor) -> list[Tensor | None]:
    """Return the gradients of norm weight, norm bias and convolution bias; a norm in training takes the last away."""
    if layer.norm is None:
        return [None, None, _like(shift, layer.bias)]
    of_bias = torch.zeros_like(shift) if training else shift * factor
    return [_like(scale, layer.norm.weight), _like(shift, layer.norm.bias), _like(of_bias, layer.bias)]


def _like(grad: Tensor, parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else grad.to(parameter.dtype)


def _vectors(flat: Tensor, layers: Sequence[Layer]) -> _Vectors:
    norm, kind = layers[0].norm, native.wide(flat.dtype)
    if norm is None:
        bias = _joined([layer.bias for layer in layers], layers, 0.0, flat, kind)
        ones = torch.ones_like(bias)
        return _Vectors(torch.zeros_like(bias), ones, ones, bias)
    norms = [cast(nn.BatchNorm2d, layer.norm) for layer in layers]
    if norm.training:
        mean, variance = native.norm_stats(flat)
        track(layers, mean, variance, len(flat))
    else:
        bias = _joined([layer.bias for layer in layers], layers, 0.0, flat, kind)
        mean = _joined([one.running_mean for one in norms], layers, 0.0, flat, kind) - bias
        variance = _joined([one.running_var for one in norms], layers, 1.0, flat, kind)
    rstd = torch.rsqrt(variance + norm.eps)
    weight = _joined([one.weight for one in norms], layers, 1.0, flat, kind)
    return _Vectors(mean, rstd, weight * rstd, _joined([one.bias for one in norms], layers, 0.0, flat, kind))


def _joined(
    tensors: Sequence[Tensor | None], layers: Sequence[Layer], absent: float, like: Tensor, kind: torch.dtype
) -> Tensor:
    """Return the layers' vectors end to end, `absent` where one has none."""
    found = [
        like.new_full((layer.width,), absent, dtype=kind) if tensor is None else tensor.to(kind)
        for tensor, layer in zip(tensors, layers, strict=True)
    ]
    return torch.cat(found) if len(found) > 1 else found[0]


@torch.no_grad()
def track(layers: Sequence[Layer], mean: Tensor, variance: Tensor, count: int) -> None:
    """Update each norm's running statistics as torch does; `mean` is that of maps without the bias, `variance` biased."""
    widths = [layer.width for layer in layers]
    unbiased = variance * (count / (count - 1))
    for layer, own_mean, own_variance in zip(layers, mean.split(widths), unbiased.split(widths), strict=True):
        norm = cast(nn.BatchNorm2d, layer.norm)
        seen = own_mean if layer.bias is None else own_mean + layer.bias
        cast(Tensor, norm.running_mean).lerp_(seen.to(norm.running_mean), cast(float, norm.momentum))  # type: ignore[arg-type]
        cast(Tensor, norm.running_var).lerp_(own_variance.to(norm.running_var), cast(float, norm.momentum))  # type: ignore[arg-type]
        cast(Tensor, norm.num_batches_tracked).add_(1)


def _activate_in_torch(y: Tensor, layers: Sequence[Layer]) -> tuple[Tensor, ...]:
    """The same by torch's own kernels, the joined channels at once."""
    norm, biases = layers[0].norm, [layer.bias for layer in layers if layer.bias is not None]
    if norm and norm.training:
        y = _Unfelt.apply(y, *biases)
        y = _batch_norm(y, layers)
    else:
        if biases:
            y = y + torch.cat(biases).to(y.dtype).view(1, -1, 1, 1)
        if norm:
            y = _batch_norm(y, layers)
    out = F.relu(y) if layers[0].relu else y
    return out.split([layer.width for layer in layers], 1) if len(layers) > 1 else (out,)


def _batch_norm(y: Tensor, layers: Sequence[Layer]) -> Tensor:
    norms = [cast(nn.BatchNorm2d, layer.norm) for layer in layers]
    first = norms[0]
    mean, variance = (
        torch.cat([cast(Tensor, getattr(norm, name)) for norm in norms]) for name in ("running_mean", "running_var")
    )
    weight = None if first.weight is None else torch.cat([norm.weight for norm in norms])
    bias = torch.cat([norm.bias for norm in norms])
    y = F.batch_norm(y, mean, variance, weight, bias, first.training, cast(float, first.momentum), first.eps)
    if first.training:
        _write_back(layers, mean, variance)
    return y


@torch.no_grad()
def _write_back(layers: Sequence[Layer], mean: Tensor, variance: Tensor) -> None:
    """Give each norm its part of joined running statistics, and the bias that its convolution has not added."""
    widths = [layer.width for layer in layers]
    for layer, own_mean, own_variance in zip(layers, mean.split(widths), variance.split(widths), strict=True):
        norm = cast(nn.BatchNorm2d, layer.norm)
        seen = own_mean if layer.bias is None else own_mean.add(layer.bias, alpha=cast(float, norm.momentum))
        cast(Tensor, norm.running_mean).copy_(seen)
        cast(Tensor, norm.running_var).copy_(own_variance)
        cast(Tensor, norm.num_batches_tracked).add_(1)


class _Unfelt(Function):
    """Pass a map on as if biases had been added: a norm in training takes them away, their gradients are zeros."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, *biases: Tensor) -> Tensor:
        ctx.save_for_backward(*biases)
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return grads[0], *(torch.zeros_like(bias) for bias in ctx.saved_tensors)


@dataclass(frozen=True)
class PoolShape:
    """A pool's geometry, and the (H, W) of its output."""

    kind: str
    kernel: Pair
    stride: Pair
    padding: Pair
    ceil: bool
    count_pad: bool
    grid: Pair


def pool(x: Tensor, shape: PoolShape, place: Tensor | None) -> Tensor:
    """Return the pooled map (N, C, H', W')."""
    taps = shape.kernel[0] * shape.kernel[1]
    if native.serves(x) and taps < 256:  # a tap's number is kept in a byte
        kind = _MaxPool if shape.kind == "max" else _AvgPool
        return cast(Tensor, kind.apply(x, shape, place))
    if shape.kind == "max":
        return F.max_pool2d(x, shape.kernel, shape.stride, shape.padding, ceil_mode=shape.ceil)
    return F.avg_pool2d(x, shape.kernel, shape.stride, shape.padding, shape.ceil, shape.count_pad)


def _pool_rows(x: Tensor, shape: PoolShape, place: Tensor | None) -> tuple[native.Window, Tensor, Tensor]:
    """Return the geometry, the input's rows, and those to write into."""
    window = native.Window.of(x, shape.kernel, shape.stride, shape.padding, shape.grid)
    if place is None or place.dtype != x.dtype:
        place = x.new_empty((x.shape[0] * shape.grid[0] * shape.grid[1], x.shape[1]))
    return window, rows(x), place


class _MaxPool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: PoolShape, place: Tensor | None) -> Tensor:
        ctx.window, flat, out = _pool_rows(x, shape, place)
        ctx.save_for_backward(native.max_pool(flat, out, ctx.window))
        return as_map(out, x.shape[0], shape.grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (taken,), window = ctx.saved_tensors, ctx.window
        return as_map(native.max_pool_grad(rows(grads[0]), taken, window), window.n, (window.h, window.w)), None, None


class _AvgPool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: PoolShape, place: Tensor | None) -> Tensor:
        ctx.window, flat, out = _pool_rows(x, shape, place)
        ctx.count_pad = shape.count_pad
        native.avg_pool(flat, out, ctx.window, shape.count_pad)
        return as_map(out, x.shape[0], shape.grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        window = ctx.window
        of_x = native.avg_pool_grad(rows(grads[0]), window, ctx.count_pad)
        return as_map(of_x, window.n, (window.h, window.w)), None, None


def join(into: Tensor | None, places: Sequence[Tensor | None], parts: Sequence[Tensor]) -> Tensor:
    """Return the parts with their channels concatenated; nothing is copied where each was written in its place."""
    if into is not None and all(_lies_in(part, place) for part, place in zip(parts, places, strict=True)):
        return cast(Tensor, _Join.apply(into, *parts))
    return torch.cat(list(parts), 1)


def _lies_in(part: Tensor, place: Tensor | None) -> bool:
    return place is not None and part.dtype == place.dtype and part.data_ptr() == place.data_ptr()


class _Join(Function):
    @staticmethod
    def forward(ctx: Any, into: Tensor, *parts: Tensor) -> Tensor:
        ctx.widths = [part.shape[1] for part in parts]
        return as_map(into, parts[0].shape[0], (parts[0].shape[2], parts[0].shape[3]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        whole = grads[0].contiguous(memory_format=torch.channels_last)
        return None, *whole.split(ctx.widths, 1)
