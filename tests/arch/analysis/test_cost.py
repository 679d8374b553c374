from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import arch
from arch.analysis.cost import cost
from arch.analysis.shapes import place_network
from arch.modules.fvcore_check import check
from tests.support.specs import specs

pytestmark = pytest.mark.usefixtures("nested_block")
slow_enough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@slow_enough
@given(specs())
def test_cost_equals_fvcores_count(spec: arch.Spec) -> None:
    assert [count for count in check(spec).counts if not count.agrees] == []


@slow_enough
@given(specs())
def test_inferred_shapes_are_the_real_ones(spec: arch.Spec) -> None:
    network = arch.build(spec).eval()
    x = torch.zeros(1, *spec.input)
    for (_, module), placed in zip(network.rows.items(), place_network(spec).rows, strict=True):
        x = module(x)
        assert tuple(x.shape[1:]) == placed.output


def test_a_block_counted_by_hand() -> None:
    """inception_v1 of split (2; 3, 4; 1, 2; 1) on 5 channels of 4x4, batch norm, no bias."""
    spec = arch.from_mapping(
        {
            "name": "hand",
            "input": [5, 4, 4],
            "classes": 3,
            "rows": [{"name": "a", "block": "inception_v1", "b1x1": 2, "b3x3": [3, 4], "b5x5": [1, 2], "pool": 1}],
            "heads": {"final": {"head": "classifier"}},
        }
    )
    weights = 5 * 2 + (5 * 3 + 3 * 4 * 9) + (5 * 1 + 1 * 2 * 25) + 5 * 1
    norms = 2 * (2 + 3 + 4 + 1 + 2 + 1)
    row, head = cost(spec).rows
    assert (row.params, row.macs, row.activations) == (weights + norms, weights * 16, 16 * (2 + 3 + 4 + 1 + 2 + 1))
    assert (head.params, head.macs, head.activations) == (9 * 3 + 3, 27, 3)


def test_the_naive_module_passes_its_input_on() -> None:
    """Figure 2a on 5 channels of 4x4: 2 + 4 + 1 convolved and the 5 pooled ones come out."""
    spec = arch.from_mapping(
        {
            "name": "hand",
            "input": [5, 4, 4],
            "classes": 3,
            "rows": [{"name": "a", "block": "inception_naive", "b1x1": 2, "b3x3": 4, "b5x5": 1}],
            "heads": {"final": {"head": "classifier"}},
        }
    )
    row, head = cost(spec).rows
    assert row.output == (2 + 4 + 1 + 5, 4, 4)
    assert row.macs == 16 * 5 * (2 + 4 * 9 + 1 * 25)
    assert head.macs == 12 * 3


def test_auxiliary_heads_are_counted_apart() -> None:
    spec = arch.load("googlenet_cifar_small")
    total = cost(spec)
    assert total.aux_params > 0
    assert total.params + total.aux_params == sum(p.numel() for p in arch.build(spec).parameters())
