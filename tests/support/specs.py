"""Random specs for property tests: every family, plain rows, reductions, nested blocks, odd sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

import arch
from arch.nodes import Node, avg_pool, chain, concat, conv, depthwise, linear_1x1, max_pool, pad, relu, residual
from arch.registry import BLOCKS, Width
from tests.support.isolation import registered

FAMILIES = ("inception_v1", "inception_v2", "inception_v3", "inception_residual")


def nested_for_tests(width: Width) -> Node:
    """A concat inside a branch, a grouped and a depthwise convolution, a residual sum, padding."""
    inner = concat(left=conv(width, (1, 3)), right=conv(2 * width, (3, 1), groups=width))
    return chain(
        conv(width, 1),
        concat(
            expanded=conv(width, 1) >> inner,
            separable=depthwise(2, 3) >> linear_1x1(width),
            pooled=avg_pool(3, count_pad=False) >> conv(width, 1, norm=False, activation=False),
            padded=max_pool(2, 1, "valid") >> pad(1) >> conv(width, 2, padding="valid") >> relu(),
        ),
        residual(conv(width, 3) >> linear_1x1(5 * width), scale=0.3, project=True),
    )


@pytest.fixture(scope="module")
def nested_block() -> Iterator[None]:
    """Let `nested_for_tests` be a block; random specs may have it."""
    with registered(BLOCKS, nested_for_tests):
        yield


_width = st.integers(1, 12)
_reduced = st.tuples(_width, _width).map(list)


@st.composite
def rows(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from([*FAMILIES, "conv", "conv_reduced", "nested_for_tests", "max_pool", "avg_pool"]))
    row: dict[str, Any] = {"name": name, "block": kind}
    if kind in FAMILIES:
        row |= {"b1x1": draw(_width), "b3x3": draw(_reduced), "b5x5": draw(_reduced), "pool": draw(_width)}
        row["pool_kind"] = draw(st.sampled_from(["max", "avg"]))
        if kind != "inception_residual":  # which has a shortcut of its own
            row["shortcut"] = draw(st.booleans())
        if kind == "inception_v3":
            row["n"] = draw(st.sampled_from([3, 7]))
    elif kind == "conv":
        row |= {
            "out": draw(_width),
            "kernel": draw(st.sampled_from([1, 3, [1, 7], [5, 3]])),
            "stride": draw(st.integers(1, 2)),
        }
    elif kind == "conv_reduced":
        row |= {"b3x3": draw(_reduced)}
    elif kind == "nested_for_tests":
        row |= {"width": draw(st.integers(1, 4))}
    else:
        row |= {"kernel": 3, "stride": draw(st.integers(1, 2)), "padding": "same", "ceil": draw(st.booleans())}
    if draw(st.booleans()):
        row["style"] = {"norm": draw(st.sampled_from(["batch", "none"]))}
    return row


@st.composite
def specs(draw: st.DrawFn) -> arch.Spec:
    names = [f"r{index}" for index in range(draw(st.integers(1, 5)))]
    heads: dict[str, Any] = {"final": {"head": "classifier", "dropout": draw(st.sampled_from([0.0, 0.4]))}}
    if draw(st.booleans()):
        heads[draw(st.sampled_from(names))] = {"head": "aux_small", "width": draw(_width), "pool": 1}
    return arch.from_mapping(
        {
            "name": "random",
            "input": [draw(st.integers(1, 4)), draw(st.integers(7, 24)), draw(st.integers(7, 24))],
            "classes": draw(st.integers(1, 12)),
            "style": {
                "norm": draw(st.sampled_from(["batch", "none"])),
                "bias": draw(st.sampled_from([None, True, False])),
            },
            "rows": [draw(rows(name)) for name in names],
            "heads": heads,
        }
    )
