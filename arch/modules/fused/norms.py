"""The fused execution's norms with what is around them: the bias before, the activation behind (see `arch.modules.fused.products`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from arch.modules.fused import native
from arch.modules.fused.products import as_map, rows


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
