"""The heads: the final classifier and the auxiliary ones, written in the same nodes as blocks."""

from __future__ import annotations

from arch.nodes import Node, avg_pool, chain, conv, flatten, global_pool, linear, relu
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
def aux_cifar32(classes: Width) -> Node:
    """Tutorial 000's auxiliary head: 2x2 pool, 1x1 128, dropout 0.5, 64, dropout 0.5, classes."""
    return chain(
        avg_pool(2, 2, "valid"),
        conv(128, 1),
        flatten(),
        dropout_node(0.5),
        linear(64),
        relu(),
        dropout_node(0.5),
        linear(classes),
    )


@HEADS.register
def aux_small(classes: Width, width: Width = 64, pool: Extent = 2) -> Node:
    """A light auxiliary head: pool, 1x1 convolution, mean over the map, linear."""
    return chain(avg_pool(pool, pool, "valid"), conv(width, 1), global_pool(), flatten(), linear(classes))
