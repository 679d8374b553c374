"""Max and average pools of the fused execution, which write into their place of a concatenated map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from arch.modules.fused import native
from arch.modules.fused.products import as_map, rows
from arch.nodes import Pair


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
    if native.supports(x) and taps < 256:  # the backward pass keeps the number of each maximum's tap in a byte
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
    """Max pooling in compiled code; the tap of each maximum is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: PoolShape, place: Tensor | None) -> Tensor:
        ctx.window, flat, out = _pool_rows(x, shape, place)
        ctx.save_for_backward(native.max_pool(flat, out, ctx.window))
        return as_map(out, x.shape[0], shape.grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (taps,), window = ctx.saved_tensors, ctx.window
        return as_map(native.max_pool_grad(rows(grads[0]), taps, window), window.n, (window.h, window.w)), None, None


class _AvgPool(Function):
    """Average pooling in compiled code."""

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
