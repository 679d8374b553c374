from __future__ import annotations

import pytest
import torch
from torch import nn

import arch
from arch.analysis.cost import count
from arch.analysis.shapes import place
from arch.errors import ShapeError
from arch.nodes import concat, conv, flatten, linear, max_pool, residual
from arch.specs.style import Style


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 13])
def test_pooling_sizes_are_torchs(size: int, padding: int, stride: int, ceil: bool) -> None:
    node = max_pool(3, stride, padding, ceil)
    pool = nn.MaxPool2d(3, stride, padding, ceil_mode=ceil)
    try:
        theirs = tuple(pool(torch.zeros(1, 2, size, size)).shape[1:])
    except RuntimeError:
        with pytest.raises(ShapeError, match="leaves nothing"):
            place(node, (2, size, size), Style())
    else:
        assert place(node, (2, size, size), Style()).output == theirs


def test_an_error_names_file_row_branch_shapes_and_a_remedy() -> None:
    spec = arch.from_mapping({
        "name": "n", "input": [3, 4, 4], "classes": 2,
        "rows": [
            {"name": "stem", "block": "conv", "out": 4, "kernel": 3, "stride": 2},
            {"name": "4c", "block": "conv", "out": 4, "kernel": 3, "padding": "valid"},
        ],
        "heads": {"final": {"head": "classifier"}},
    }, "mine.yaml")  # fmt: skip
    with pytest.raises(arch.SpecError) as caught:
        arch.cost(spec)
    assert str(caught.value).startswith(
        "mine.yaml, row 4c, conv3x3: 3x3 valid convolution on a 2x2 map leaves nothing; use "
    )


def test_errors_name_the_branch() -> None:
    block = concat(b1x1=conv(4, 1), b5x5=conv(4, 1) >> conv(4, 5, padding="valid"))
    with pytest.raises(ShapeError, match="branch b5x5, conv5x5: 5x5 valid convolution on a 4x4 map"):
        place(block, (3, 4, 4), Style())
    with pytest.raises(ShapeError, match=r"different maps \(a 4x4x4; b 4x2x2\)"):
        place(concat(a=conv(4, 1), b=conv(4, 3, 2)), (3, 4, 4), Style())


def test_residual_shapes() -> None:
    assert place(residual(conv(3, 1)), (3, 4, 4), Style()).output == (3, 4, 4)
    projected = place(residual(conv(5, 1), project=True), (3, 4, 4), Style())
    assert projected.output == (5, 4, 4)
    assert [part.name for part in projected.parts] == ["body", "shortcut"]
    for out in (2, 5):
        fitted = place(residual(conv(out, 1), fit=True), (3, 4, 4), Style())
        assert fitted.output == fitted.parts[1].output == (out, 4, 4)
        assert count(fitted) == count(fitted.parts[0])
    assert len(place(residual(conv(3, 1), fit=True), (3, 4, 4), Style()).parts) == 1
    with pytest.raises(ShapeError, match="5 channels and the identity shortcut 3"):
        place(residual(conv(5, 1)), (3, 4, 4), Style())
    with pytest.raises(ShapeError, match="equal maps"):
        place(residual(conv(3, 3, 2)), (3, 4, 4), Style())


def test_vectors_and_maps_are_told_apart() -> None:
    with pytest.raises(ShapeError, match="put flatten before it"):
        place(linear(3), (3, 4, 4), Style())
    with pytest.raises(ShapeError, match="put it before flatten"):
        place(flatten() >> conv(3, 1), (3, 4, 4), Style())


def test_even_kernels_need_a_number_for_padding() -> None:
    with pytest.raises(ShapeError, match="odd kernel"):
        place(conv(3, 2), (3, 4, 4), Style())
