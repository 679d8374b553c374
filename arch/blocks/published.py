"""Blocks of the published networks, as papers, released code and tutorials print them.

Branches stand in the order of the released code, so that published weights fit without a permutation;
the papers' figures draw some of them in another order, which changes no count.
"""

from __future__ import annotations

from typing import Literal

from arch.blocks.families import PaddingArg, Scale
from arch.nodes import (
    Concat,
    Node,
    avg_pool,
    chain,
    concat,
    conv,
    depthwise,
    linear_1x1,
    max_pool,
    pad,
    project,
    reduce,
    relu,
    residual,
)
from arch.registry import BLOCKS, Extent, KernelSize, Reduced, Width

Three = tuple[Width, Width, Width]
Four = tuple[Width, Width, Width, Width]
Five = tuple[Width, Width, Width, Width, Width]


@BLOCKS.register
def separable(out: Width, kernel: KernelSize = 7, stride: KernelSize = 2, multiplier: Extent = 8) -> Node:
    """A depthwise convolution, then a 1x1, nothing between them: BN-Inception's first layer (1502.03167, appendix)."""
    return depthwise(multiplier, kernel, stride) >> conv(out, 1)


@BLOCKS.register
def inception_v1_3x3(b1x1: Width, b3x3: Reduced, b5x5: Reduced, pool: Width) -> Node:
    """Torchvision's GoogLeNet module: the branch called 5x5 is a 3x3 (pytorch/vision issue 906)."""
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3),
        b5x5=reduce(b5x5.reduce) >> conv(b5x5.out, 3),
        pool=max_pool(3) >> project(pool),
    )


@BLOCKS.register
def inception_v1_relu(b1x1: Width, b3x3: Reduced, b5x5: Reduced, pool: Width) -> Node:
    """Tutorial 001's module: v1 with a rectifier between the pool and its projection."""
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3),
        b5x5=reduce(b5x5.reduce) >> conv(b5x5.out, 5),
        pool=max_pool(3) >> relu() >> project(pool),
    )


@BLOCKS.register
def inception_mini(b1x1: Width, b3x3: Width, b5x5: Width, padding: Extent) -> Node:
    """Tutorial 004's small module: no reductions; the 2x2/2 pool's map is framed by `padding` zeros to its old size."""
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=conv(b3x3, 3),
        b5x5=conv(b5x5, 5),
        pool=max_pool(2, 2, "valid") >> pad(padding),
    )


@BLOCKS.register
def inception_bn(
    b1x1: Width, b3x3: Reduced, double3x3: Reduced, pool: Width, pooling: Literal["avg", "max"] = "avg"
) -> Node:
    """BN-Inception's module: two 3x3 for the 5x5, mostly average pools (1502.03167, figure 5)."""
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3),
        double3x3=reduce(double3x3.reduce) >> conv(double3x3.out, 3) >> conv(double3x3.out, 3),
        pool=(avg_pool(3, count_pad=False) if pooling == "avg" else max_pool(3)) >> project(pool),
    )


@BLOCKS.register
def reduction_bn(b3x3: Reduced, double3x3: Reduced) -> Node:
    """BN-Inception's rows 3c and 4e: stride 2 on each branch's last layer, the pool passes through (figure 5)."""
    return concat(
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3, 2),
        double3x3=reduce(double3x3.reduce) >> conv(double3x3.out, 3) >> conv(double3x3.out, 3, 2),
        pool=chain(max_pool(3, 2, "valid", ceil=True)),
    )


@BLOCKS.register
def inception_v3_a(b1x1: Width, b5x5: Reduced, double3x3: Reduced, pool: Width, count_pad: bool = True) -> Node:
    """Inception v3's 35x35 module (1512.00567, figure 5; the released code has this 5x5).

    `count_pad` is torchvision's average pool; TF-Slim leaves the padding out of the mean.
    """
    return concat(
        b1x1=conv(b1x1, 1),
        b5x5=reduce(b5x5.reduce) >> conv(b5x5.out, 5),
        double3x3=reduce(double3x3.reduce) >> conv(double3x3.out, 3) >> conv(double3x3.out, 3),
        pool=avg_pool(3, count_pad=count_pad) >> project(pool),
    )


@BLOCKS.register
def inception_v3_b(b1x1: Width, b7x7: Reduced, double7x7: Reduced, pool: Width, count_pad: bool = True) -> Node:
    """Inception v3's 17x17 module, n = 7 (1512.00567, figure 6)."""
    r, d = b7x7.reduce, double7x7.reduce
    return concat(
        b1x1=conv(b1x1, 1),
        b7x7=reduce(r) >> conv(r, (1, 7)) >> conv(b7x7.out, (7, 1)),
        double7x7=chain(reduce(d), conv(d, (7, 1)), conv(d, (1, 7)), conv(d, (7, 1)), conv(double7x7.out, (1, 7))),
        pool=avg_pool(3, count_pad=count_pad) >> project(pool),
    )


@BLOCKS.register
def inception_v3_c(b1x1: Width, b3x3: Reduced, double3x3: Three, pool: Width, count_pad: bool = True) -> Node:
    """Inception v3's 8x8 module with expanded outputs (1512.00567, figure 7)."""
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> _expanded(b3x3.out),
        double3x3=reduce(double3x3[0]) >> conv(double3x3[1], 3) >> _expanded(double3x3[2]),
        pool=avg_pool(3, count_pad=count_pad) >> project(pool),
    )


def _expanded(out: int) -> Concat:
    """A 1x3 and a 3x1 convolution side by side, `out` channels each."""
    return concat(b1x3=conv(out, (1, 3)), b3x1=conv(out, (3, 1)))


@BLOCKS.register
def reduction_a(k: Width, l: Width, m: Width, n: Width, padding: PaddingArg = "valid") -> Node:  # noqa: E741
    """Reduction-A, k, l, m, n as in Table 1 of 1602.07261 (figure 7); Inception v3's first reduction is one too."""
    return concat(
        b3x3=conv(n, 3, 2, padding),
        double3x3=reduce(k) >> conv(l, 3) >> conv(m, 3, 2, padding),
        pool=chain(max_pool(3, 2, padding)),
    )


@BLOCKS.register
def reduction_b(b3x3: Reduced, b7x7: Four, padding: PaddingArg = "valid") -> Node:
    """Reduction-B of Inception v4 (1602.07261, figure 8); Inception v3's second reduction is one too."""
    a, b, c, d = b7x7
    return concat(
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3, 2, padding),
        b7x7=reduce(a) >> conv(b, (1, 7)) >> conv(c, (7, 1)) >> conv(d, 3, 2, padding),
        pool=chain(max_pool(3, 2, padding)),
    )


@BLOCKS.register
def stem_v4(
    conv1: Three,
    conv2: Width,
    b3x3: Reduced,
    b7x7: Four,
    conv3: Width,
    stride: KernelSize = 2,
    padding: PaddingArg = "valid",
    first: Literal["1x7", "7x1"] = "1x7",
) -> Node:
    """The stem of Inception v4 and of the printed Inception-ResNet-v2 (1602.07261, figure 3), 299 to 35 pixels.

    `stride` stands for all its strides of 2, `padding` for all its layers marked V. `first` of the two
    asymmetric layers is 1x7 in released code and 7x1 in the figure.
    """
    a, b, c, d = b7x7
    one, two = ((1, 7), (7, 1)) if first == "1x7" else ((7, 1), (1, 7))
    return chain(
        conv(conv1[0], 3, stride, padding),
        conv(conv1[1], 3, 1, padding),
        conv(conv1[2], 3),
        concat(pool=chain(max_pool(3, stride, padding)), b3x3=conv(conv2, 3, stride, padding)),
        concat(
            b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3, 1, padding),
            b7x7=reduce(a) >> conv(b, one) >> conv(c, two) >> conv(d, 3, 1, padding),
        ),
        concat(b3x3=conv(conv3, 3, stride, padding), pool=chain(max_pool(3, stride, padding))),
    )


@BLOCKS.register
def inception_v4_a(b1x1: Width, b3x3: Reduced, double3x3: Reduced, pool: Width) -> Node:
    """Inception v4's 35x35 module (1602.07261, figure 4)."""
    return inception_bn(b1x1, b3x3, double3x3, pool)


@BLOCKS.register
def inception_v4_b(b1x1: Width, b7x7: Three, double7x7: Five, pool: Width) -> Node:
    """Inception v4's 17x17 module (1602.07261, figure 5)."""
    a, b, c, d, e = double7x7
    return concat(
        b1x1=conv(b1x1, 1),
        b7x7=reduce(b7x7[0]) >> conv(b7x7[1], (1, 7)) >> conv(b7x7[2], (7, 1)),
        double7x7=chain(reduce(a), conv(b, (7, 1)), conv(c, (1, 7)), conv(d, (7, 1)), conv(e, (1, 7))),
        pool=avg_pool(3, count_pad=False) >> project(pool),
    )


@BLOCKS.register
def inception_v4_c(b1x1: Width, b3x3: Reduced, double3x3: Four, pool: Width) -> Node:
    """Inception v4's 8x8 module (1602.07261, figure 6)."""
    a, b, c, d = double3x3
    return concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> _expanded(b3x3.out),
        double3x3=reduce(a) >> conv(b, (3, 1)) >> conv(c, (1, 3)) >> _expanded(d),
        pool=avg_pool(3, count_pad=False) >> project(pool),
    )


@BLOCKS.register
def inception_resnet_a(b1x1: Width, b3x3: Reduced, double3x3: Three, linear: Width, scale: Scale = 0.17) -> Node:
    """Inception-ResNet-A, 35x35 (1602.07261, figures 10 and 16); `linear` is the 1x1 before the sum."""
    a, b, c = double3x3
    body = concat(
        b1x1=conv(b1x1, 1),
        b3x3=reduce(b3x3.reduce) >> conv(b3x3.out, 3),
        double3x3=reduce(a) >> conv(b, 3) >> conv(c, 3),
    )
    return residual(body >> linear_1x1(linear), scale)


@BLOCKS.register
def inception_resnet_b(b1x1: Width, b7x7: Three, linear: Width, scale: Scale = 0.1) -> Node:
    """Inception-ResNet-B, 17x17 (1602.07261, figures 11 and 17)."""
    a, b, c = b7x7
    body = concat(b1x1=conv(b1x1, 1), b7x7=reduce(a) >> conv(b, (1, 7)) >> conv(c, (7, 1)))
    return residual(body >> linear_1x1(linear), scale)


@BLOCKS.register
def inception_resnet_c(b1x1: Width, b3x3: Three, linear: Width, scale: Scale = 0.2, activation: bool = True) -> Node:
    """Inception-ResNet-C, 8x8 (1602.07261, figures 13 and 19); the released network's last one has no activation."""
    a, b, c = b3x3
    body = concat(b1x1=conv(b1x1, 1), b3x3=reduce(a) >> conv(b, (1, 3)) >> conv(c, (3, 1)))
    return residual(body >> linear_1x1(linear), scale, activation)


@BLOCKS.register
def reduction_resnet_b(first: Reduced, second: Reduced, double3x3: Three, padding: PaddingArg = "valid") -> Node:
    """Reduction-B of both Inception-ResNets (1602.07261, figures 12 and 18)."""
    a, b, c = double3x3
    return concat(
        first=reduce(first.reduce) >> conv(first.out, 3, 2, padding),
        second=reduce(second.reduce) >> conv(second.out, 3, 2, padding),
        double3x3=reduce(a) >> conv(b, 3) >> conv(c, 3, 2, padding),
        pool=chain(max_pool(3, 2, padding)),
    )
