"""Convolutions as matrix products, and concatenation without copies.

Maps are (N, C, H, W) in channels_last memory, so that reading them as rows of channels, (N * H * W, C), moves nothing.
A pass may get a `place`: columns of a larger map's rows. It writes there, so that concatenating copies nothing.
The norms and pools of the fused execution (`norms`, `pools`) work on the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from arch.nodes import Pair


def rows(x: Tensor) -> Tensor:
    """Return a map (N, C, H, W) as rows (N * H * W, C); copied only where it is not channels_last."""
    flat = x.permute(0, 2, 3, 1)
    if flat.shape[3] > 1 and flat.stride(3) != 1:
        flat = flat.contiguous()
    return flat.reshape(-1, flat.shape[3])


def as_map(flat: Tensor, n: int, grid: Pair) -> Tensor:
    """Return rows (N * H * W, C) as a map (N, C, H, W), without a copy."""
    return flat.view(n, *grid, flat.shape[1]).permute(0, 3, 1, 2)


def matmul(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `a @ b.T`, (M, K) and (N, K) to (M, N), with the bias (N,) added.

    In float32 it runs through oneDNN, as convolutions do, since torch's own product runs through MKL. That is 2.1 to 2.8
    times as fast on an AMD EPYC with AVX-512 (2048x192 by 176: 0.60 against 1.46 ms on one thread).
    """
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(_dense(a), _dense(b), bias, "none", [], ""))
    return F.linear(a, b, bias)


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix without gaps between its rows or columns; on others oneDNN is a hundred times slower."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


@dataclass(frozen=True)
class ProductKernel:
    """How a convolution's weight (F, C, kH, kW) becomes the matrix of a product.

    Without `taps`, every output position reads one input position through one `tap`, as in a 1x1 convolution: the
    matrix is (F, C), applied to each position. With `taps` (outputs, inputs), one matrix (outputs * F, inputs * C) maps
    all input positions of an image to all its output positions. `taps` then holds the number of the tap between each
    pair of positions, or kH * kW where the kernel does not reach.
    """

    tap: Pair = (0, 0)
    taps: Tensor | None = None

    @property
    def outputs(self) -> int:
        """How many output positions the matrix computes at once."""
        return 1 if self.taps is None else len(self.taps)

    def matrix(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the matrix of a weight, in `dtype`."""
        if self.taps is None:
            return weight[:, :, self.tap[0], self.tap[1]].to(dtype)
        f, c, *sides = weight.shape
        by_tap = weight.to(dtype).permute(0, 2, 3, 1).reshape(f, -1, c)
        # A further tap of zeros stands between positions that the kernel does not join.
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
            of_weight = torch.zeros_like(weight)
            of_weight[:, :, self.tap[0], self.tap[1]] = of_matrix
            return of_weight
        # A tap occurs once for each pair of positions that it joins: its gradient is their sum. The last, zero tap's is
        # dropped.
        outputs, inputs = self.taps.shape
        by_tap = weight.new_zeros(f, sides[0] * sides[1] + 1, c)
        for taps, of_output in zip(self.taps, of_matrix.view(outputs, f, inputs, c), strict=True):
            by_tap.index_add_(1, taps.to(weight.device), of_output.to(weight.dtype))
        return by_tap[:, :-1].reshape(f, *sides, c).permute(0, 3, 1, 2)


class Product(Function):
    """Convolutions on one input as one matrix product, their outputs' channels concatenated.

    The rows that the matrix multiplies are the channels of each position, or with `taps` each image's complete map.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, grid: Pair, kernels: Sequence[ProductKernel], bias: Tensor | None, *weights: Tensor
    ) -> Tensor:
        """Return the concatenated map on `grid`; `bias` is that of all its channels."""
        # The kernels' matrices below each other compute all their channels in one product.
        matrices = [kernel.matrix(weight, x.dtype) for kernel, weight in zip(kernels, weights, strict=True)]
        matrix = torch.cat(matrices) if len(matrices) > 1 else matrices[0].contiguous()
        flat = rows(x).reshape(-1, matrix.shape[1])
        ctx.save_for_backward(flat, matrix, *weights)
        ctx.shape, ctx.kernels, ctx.splits = x.shape, kernels, [len(part) for part in matrices]
        repeated = None if bias is None else bias.to(x.dtype).repeat(kernels[0].outputs)
        y = matmul(flat, matrix, repeated)
        return as_map(y.view(x.shape[0] * grid[0] * grid[1], -1), x.shape[0], grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Return the gradients of the map, the bias and the weights."""
        flat, matrix, *weights = ctx.saved_tensors
        n, c, h, w = ctx.shape
        # y = x @ M.T, so dx = dy @ M and dM = dy.T @ x; `matmul` transposes its second argument.
        by_channel = rows(grads[0])
        grad = by_channel.reshape(-1, len(matrix))
        of_x = as_map(matmul(grad, matrix.t()).view(-1, c), n, (h, w)) if ctx.needs_input_grad[0] else None
        of_bias = by_channel.sum(0, dtype=weights[0].dtype) if ctx.needs_input_grad[3] else None
        parts = matmul(grad.t(), flat.t()).split(ctx.splits)
        of_weights = [
            kernel.gradient(part, weight) for kernel, part, weight in zip(ctx.kernels, parts, weights, strict=True)
        ]
        return of_x, None, None, of_bias, *of_weights


def join(into: Tensor | None, places: Sequence[Tensor | None], parts: Sequence[Tensor]) -> Tensor:
    """Return the parts with their channels concatenated; copies nothing where each was written in its place of `into`."""
    if into is not None and all(_is_in_place(part, place) for part, place in zip(parts, places, strict=True)):
        return cast(Tensor, _Join.apply(into, *parts))
    return torch.cat(list(parts), 1)


def _is_in_place(part: Tensor, place: Tensor | None) -> bool:
    return place is not None and part.dtype == place.dtype and part.data_ptr() == place.data_ptr()


class _Join(Function):
    """Concatenation of maps that are parts of one memory already: forward is a view, backward splits the gradient."""

    @staticmethod
    def forward(ctx: Any, into: Tensor, *parts: Tensor) -> Tensor:
        ctx.widths = [part.shape[1] for part in parts]
        return as_map(into, parts[0].shape[0], (parts[0].shape[2], parts[0].shape[3]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        return None, *grad.split(ctx.widths, 1)
