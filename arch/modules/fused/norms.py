"""What follows a convolution in the fused execution, in one pass: bias, norm and ReLU.

A batch norm in training subtracts the mean of its input, so a convolution's bias before it has no effect on the map.
It is not added; only the running mean includes it, as torch's does.
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

from arch.modules.fused import native
from arch.modules.fused.products import as_map, rows


@dataclass(frozen=True)
class AfterConv:
    """What follows a convolution of `width` channels: its bias (not yet added), its norm, and whether a ReLU."""

    width: int
    bias: Tensor | None
    norm: nn.BatchNorm2d | None
    relu: bool


class _ScaleShift(NamedTuple):
    """`(y - mean) * scale + shift` for each channel; `scale` is `rstd` (1 / deviation) times the norm's weight."""

    mean: Tensor
    rstd: Tensor
    scale: Tensor
    shift: Tensor


def activate(y: Tensor, layers: Sequence[AfterConv], places: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Apply bias, norm and ReLU to `y` (N, C, H, W), the concatenated output of convolutions; return a map for each.

    The `layers` differ only in width, bias and weights. Training updates each norm's own running statistics.
    """
    norm = layers[0].norm
    if norm and norm.training and y.numel() == y.shape[1]:
        raise ValueError(f"a batch norm in training needs more than one value a channel, not {tuple(y.shape)}")
    if not native.supports(y):
        return _activate_in_torch(y, layers)
    parameters = [tensor for layer in layers for tensor in _parameters(layer)]
    return cast(tuple[Tensor, ...], _Norm.apply(y, layers, places, *parameters))


def _parameters(layer: AfterConv) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return (layer.norm.weight, layer.norm.bias, layer.bias) if layer.norm else (None, None, layer.bias)


class _Norm(Function):
    """Norm and ReLU in one pass, forward and backward, in compiled code."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, layers: Sequence[AfterConv], places: Sequence[Tensor | None], *parameters: Tensor | None
    ) -> tuple[Tensor, ...]:
        flat, n, grid = rows(y), y.shape[0], (y.shape[2], y.shape[3])
        vectors = _scale_and_shift(flat, layers)
        ctx.save_for_backward(flat)
        ctx.layers, ctx.vectors, ctx.n, ctx.grid = layers, vectors, n, grid
        # Each layer's channels go to its own place, so the concatenated `y` is never split by a copy.
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
            of_parameters += _parameter_grads(layer, training, scale, shift, factor)
            at += layer.width
        return as_map(of_y, ctx.n, ctx.grid), None, None, *of_parameters


def _parameter_grads(
    layer: AfterConv, training: bool, scale: Tensor, shift: Tensor, factor: Tensor
) -> list[Tensor | None]:
    """Return the gradients of norm weight, norm bias and convolution bias; the last is 0 before a norm in training."""
    if layer.norm is None:
        return [None, None, _cast_like(shift, layer.bias)]
    of_bias = torch.zeros_like(shift) if training else shift * factor
    return [_cast_like(scale, layer.norm.weight), _cast_like(shift, layer.norm.bias), _cast_like(of_bias, layer.bias)]


def _cast_like(grad: Tensor, parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else grad.to(parameter.dtype)


def _scale_and_shift(flat: Tensor, layers: Sequence[AfterConv]) -> _ScaleShift:
    """Return what the pass does to each channel of rows (M, C): from the batch in training, else from running stats."""
    norm, dtype = layers[0].norm, native.stats_dtype(flat.dtype)

    def concat(tensors: Sequence[Tensor | None], absent: float) -> Tensor:
        return _concat_vectors(tensors, layers, absent, flat, dtype)

    biases = [layer.bias for layer in layers]
    if norm is None:
        bias = concat(biases, 0.0)
        ones = torch.ones_like(bias)
        return _ScaleShift(torch.zeros_like(bias), ones, ones, bias)
    norms = [cast(nn.BatchNorm2d, layer.norm) for layer in layers]
    if norm.training:
        mean, variance = native.norm_stats(flat)
        update_running_stats(layers, mean, variance, len(flat))
    else:
        # The running mean includes the bias, which `flat` does not.
        mean = concat([one.running_mean for one in norms], 0.0) - concat(biases, 0.0)
        variance = concat([one.running_var for one in norms], 1.0)
    rstd = torch.rsqrt(variance + norm.eps)
    weight = concat([one.weight for one in norms], 1.0)
    return _ScaleShift(mean, rstd, weight * rstd, concat([one.bias for one in norms], 0.0))


def _concat_vectors(
    tensors: Sequence[Tensor | None], layers: Sequence[AfterConv], absent: float, like: Tensor, dtype: torch.dtype
) -> Tensor:
    """Return the layers' vectors as one, filled with `absent` for a layer that has none."""
    found = [
        like.new_full((layer.width,), absent, dtype=dtype) if tensor is None else tensor.to(dtype)
        for tensor, layer in zip(tensors, layers, strict=True)
    ]
    return torch.cat(found) if len(found) > 1 else found[0]


@torch.no_grad()
def update_running_stats(layers: Sequence[AfterConv], mean: Tensor, variance: Tensor, count: int) -> None:
    """Update each norm's running statistics as torch does; `mean` is that of maps without the bias, `variance` biased."""
    widths = [layer.width for layer in layers]
    unbiased = variance * (count / (count - 1))
    for layer, own_mean, own_variance in zip(layers, mean.split(widths), unbiased.split(widths), strict=True):
        norm = cast(nn.BatchNorm2d, layer.norm)
        batch_mean = own_mean if layer.bias is None else own_mean + layer.bias
        cast(Tensor, norm.running_mean).lerp_(batch_mean.to(norm.running_mean), cast(float, norm.momentum))  # type: ignore[arg-type]
        cast(Tensor, norm.running_var).lerp_(own_variance.to(norm.running_var), cast(float, norm.momentum))  # type: ignore[arg-type]
        cast(Tensor, norm.num_batches_tracked).add_(1)


def _activate_in_torch(y: Tensor, layers: Sequence[AfterConv]) -> tuple[Tensor, ...]:
    """Do what `_Norm` does, with torch's own kernels on all channels at once."""
    norm, biases = layers[0].norm, [layer.bias for layer in layers if layer.bias is not None]
    if norm and norm.training:
        y = _BiasWithoutEffect.apply(y, *biases)
        y = _batch_norm(y, layers)
    else:
        if biases:
            y = y + torch.cat(biases).to(y.dtype).view(1, -1, 1, 1)
        if norm:
            y = _batch_norm(y, layers)
    out = F.relu(y) if layers[0].relu else y
    return out.split([layer.width for layer in layers], 1) if len(layers) > 1 else (out,)


def _batch_norm(y: Tensor, layers: Sequence[AfterConv]) -> Tensor:
    norms = [cast(nn.BatchNorm2d, layer.norm) for layer in layers]
    first = norms[0]
    mean, variance = (
        torch.cat([cast(Tensor, getattr(norm, name)) for norm in norms]) for name in ("running_mean", "running_var")
    )
    weight = None if first.weight is None else torch.cat([norm.weight for norm in norms])
    bias = torch.cat([norm.bias for norm in norms])
    y = F.batch_norm(y, mean, variance, weight, bias, first.training, cast(float, first.momentum), first.eps)
    if first.training:
        _split_running_stats(layers, mean, variance)
    return y


@torch.no_grad()
def _split_running_stats(layers: Sequence[AfterConv], mean: Tensor, variance: Tensor) -> None:
    """Give each norm its part of the running statistics; the mean includes the bias that was not added."""
    widths = [layer.width for layer in layers]
    for layer, own_mean, own_variance in zip(layers, mean.split(widths), variance.split(widths), strict=True):
        norm = cast(nn.BatchNorm2d, layer.norm)
        batch_mean = own_mean if layer.bias is None else own_mean.add(layer.bias, alpha=cast(float, norm.momentum))
        cast(Tensor, norm.running_mean).copy_(batch_mean)
        cast(Tensor, norm.running_var).copy_(own_variance)
        cast(Tensor, norm.num_batches_tracked).add_(1)


class _BiasWithoutEffect(Function):
    """The identity on a map, with gradients of 0 for biases: before a norm in training they have no effect."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, *biases: Tensor) -> Tensor:
        ctx.save_for_backward(*biases)
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return grads[0], *(torch.zeros_like(bias) for bias in ctx.saved_tensors)
