"""Blocks that searches use: plain layers, and four Inception families that take the same split.

Each definition reads like the figure in its paper. The split is named as in GoogLeNet's Table 1: `b1x1`, `b3x3`
(reduce, out), `b5x5` (reduce, out) and `pool` (projection). Their output channels are the sum of
the four branches. What no paper prints are `pool_kind`, and a `shortcut` that adds the input to the output: it costs
nothing, missing channels are zeros, and surplus ones are left out.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from arch.nodes import (
    Concat,
    Node,
    avg_pool,
    chain,
    concat,
    conv,
    linear_1x1,
    max_pool,
    project,
    reduce,
    residual,
)
from arch.registry import BLOCKS, KernelSize, Reduced, Width

PaddingArg = Literal["same", "valid"] | Annotated[int, Field(strict=True, ge=0, le=512)]
PoolKind = Literal["max", "avg"]
Scale = Annotated[float, Field(gt=0, le=10)]


@BLOCKS.register
def conv_(out: Width, kernel: KernelSize, stride: KernelSize = 1, padding: PaddingArg = "same") -> Node:
    """One convolution with the style's norm and activation."""
    return chain(conv(out, kernel, stride, padding))


@BLOCKS.register
def conv_reduced(b3x3: Reduced) -> Node:
    """A 1x1 reduction, then a 3x3 convolution: the second stage of GoogLeNet's Table 1."""
    return reduce(b3x3.reduce) >> conv(b3x3.out, 3)


@BLOCKS.register
def max_pool_(kernel: KernelSize, stride: KernelSize = 2, padding: PaddingArg = "valid", ceil: bool = False) -> Node:
    """Max pooling between stages."""
    return chain(max_pool(kernel, stride, padding, ceil))


@BLOCKS.register
def avg_pool_(kernel: KernelSize, stride: KernelSize = 2, padding: PaddingArg = "valid", ceil: bool = False) -> Node:
    """Average pooling between stages."""
    return chain(avg_pool(kernel, stride, padding, ceil))


@BLOCKS.register
def inception_v1(
    b1x1: Width, b3x3: Reduced, b5x5: Reduced, pool: Width, pool_kind: PoolKind = "max", shortcut: bool = False
) -> Node:
    """Inception module with dimension reductions (Szegedy et al. 2014, figure 2b)."""
    module = concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3),
        b5x5=reduce(b5x5.reduce) >> conv(b5x5.out, 5),
        pool=_pool(pool_kind) >> project(pool),
    )
    return _with_shortcut(module) if shortcut else module


@BLOCKS.register
def inception_naive(b1x1: Width, b3x3: Width, b5x5: Width) -> Node:
    """Inception module without reductions or a projection: all input channels come out of the pool (figure 2a)."""
    return concat(b1x1=conv(b1x1, 1), b3x3=conv(b3x3, 3), b5x5=conv(b5x5, 5), pool=max_pool(3))


@BLOCKS.register
def inception_v2(
    b1x1: Width, b3x3: Reduced, b5x5: Reduced, pool: Width, pool_kind: PoolKind = "max", shortcut: bool = False
) -> Node:
    """Inception module, the 5x5 as two 3x3 (Szegedy et al. 2015, figure 5)."""
    module = _double_3x3(b1x1, b3x3, b5x5, pool, pool_kind)
    return _with_shortcut(module) if shortcut else module


@BLOCKS.register
def inception_v3(
    b1x1: Width,
    b3x3: Reduced,
    b5x5: Reduced,
    pool: Width,
    n: Literal[3, 5, 7] = 3,
    pool_kind: PoolKind = "max",
    shortcut: bool = False,
) -> Node:
    """Inception module with asymmetric 1xn and nx1 convolutions (Szegedy et al. 2015, figure 6)."""
    r3, r5 = b3x3.reduce, b5x5.reduce
    module = concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(r3) >> conv(r3, (1, n)) >> conv(b3x3.out, (n, 1)),
        b5x5=chain(reduce(r5), conv(r5, (n, 1)), conv(r5, (1, n)), conv(r5, (n, 1)), conv(b5x5.out, (1, n))),
        pool=_pool(pool_kind) >> project(pool),
    )
    return _with_shortcut(module) if shortcut else module


@BLOCKS.register
def inception_residual(
    b1x1: Width, b3x3: Reduced, b5x5: Reduced, pool: Width, scale: Scale = 0.2, pool_kind: PoolKind = "max"
) -> Node:
    """Inception module added to its input, scaled (Szegedy et al. 2016, figures 10 and 20)."""
    out = b1x1 + b3x3.out + b5x5.out + pool
    return residual(_double_3x3(b1x1, b3x3, b5x5, pool, pool_kind) >> linear_1x1(out), scale=scale, project=True)


def _double_3x3(b1x1: int, b3x3: Reduced, b5x5: Reduced, pool: int, pool_kind: PoolKind) -> Concat:
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3),
        b5x5=reduce(b5x5.reduce) >> conv(b5x5.out, 3) >> conv(b5x5.out, 3),
        pool=_pool(pool_kind) >> project(pool),
    )


def _pool(kind: PoolKind) -> Node:
    """The pooling branch's 3x3 pool; padding does not count in a mean."""
    return max_pool(3) if kind == "max" else avg_pool(3, count_pad=False)


def _with_shortcut(module: Concat) -> Node:
    """Add a module's input to its output; both are rectified already, so nothing follows the sum."""
    return residual(module, activation=False, fit=True)
