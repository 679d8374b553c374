"""Heads: the final classifier and the auxiliary classifiers, written in the same nodes as blocks."""

from __future__ import annotations

from typing import Literal

from arch.nodes import Node, adaptive_pool, avg_pool, chain, conv, flatten, global_pool, linear, relu
from arch.nodes import dropout as dropout_node
from arch.registry import HEADS, Extent, Fraction, Width


@HEADS.register
def classifier(classes: Width, dropout: Fraction = 0.0) -> Node:
    """Global average pool, dropout, linear: the end of every network of the family."""
    parts = [global_pool(), flatten(), *([dropout_node(dropout)] if dropout else []), linear(classes)]
    return chain(*parts)


@HEADS.register
def aux_googlenet(classes: Width, dropout: Fraction = 0.7) -> Node:
    """GoogLeNet's auxiliary head (Szegedy et al. 2014, section 5): 5x5/3 pool, 1x1 128, 1024, classes."""
    return chain(
        avg_pool(5, 3, "valid"), conv(128, 1), flatten(), linear(1024), relu(), dropout_node(dropout), linear(classes)
    )


@HEADS.register
def flattened(classes: Width) -> Node:
    """A linear layer on the flattened last map, without a mean over it (tutorial 004)."""
    return flatten() >> linear(classes)


@HEADS.register
def aux_torchvision(classes: Width, dropout: Fraction = 0.7) -> Node:
    """Torchvision's variant of GoogLeNet's auxiliary head: the pool is adaptive, 4x4 whatever the map."""
    return chain(
        adaptive_pool(4), conv(128, 1), flatten(), linear(1024), relu(), dropout_node(dropout), linear(classes)
    )


@HEADS.register
def aux_cifar32(classes: Width) -> Node:
    """Tutorial 000's auxiliary head: 2x2 pool, 1x1 128, dropout 0.5, 64, dropout 0.5, classes."""
    return _dropout_twice(avg_pool(2, 2, "valid"), 64, classes)


@HEADS.register
def aux_flowers(classes: Width) -> Node:
    """Tutorial 002's auxiliary head: GoogLeNet's, with dropout 0.5 twice in place of 0.7 once."""
    return _dropout_twice(avg_pool(5, 3, "valid"), 1024, classes)


def _dropout_twice(pool: Node, hidden: int, classes: int) -> Node:
    return chain(
        pool, conv(128, 1), flatten(), dropout_node(0.5), linear(hidden), relu(), dropout_node(0.5), linear(classes)
    )


@HEADS.register
def aux_v3(classes: Width, padding: Literal["valid", "same"] = "valid") -> Node:
    """Inception v3's auxiliary head (released code): 5x5/3 pool, 1x1 128, 5x5 768, mean, classes.

    At its own 17x17 map the 5x5 is valid and leaves 1x1; smaller maps need `padding: same`.
    """
    return chain(
        avg_pool(5, 3, "valid"),
        conv(128, 1),
        conv(768, 5, padding=padding, std=0.01),
        global_pool(),
        flatten(),
        linear(classes, std=0.001),
    )


@HEADS.register
def aux_small(classes: Width, width: Width = 64, pool: Extent = 2) -> Node:
    """A light auxiliary head: pool, 1x1 convolution, mean over the map, linear."""
    return chain(avg_pool(pool, pool, "valid"), conv(width, 1), global_pool(), flatten(), linear(classes))
