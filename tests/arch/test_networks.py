"""The shipped networks against the exact figures of the literature."""

from __future__ import annotations

import pytest

import arch
from arch.edit import searchable
from arch.judge import check

# params and MACs without heads, params with heads (googlenet: Szegedy et al. 2014; tutorial 000's listing)
EXACT = {
    "googlenet": (6_998_552, 1_582_671_872, 13_378_280),
    "googlenet_bn_cifar32": (5_998_362, 32_288_768, 6_150_062),
}
SISTERS = {
    "googlenet_cifar_small": "inception_v1",
    "inception_v2_cifar_small": "inception_v2",
    "inception_v3_cifar_small": "inception_v3",
    "inception_residual_cifar_small": "inception_residual",
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_totals(name: str) -> None:
    total = arch.cost(arch.load(name))
    assert (total.params, total.macs, total.params + total.aux_params) == EXACT[name]


@pytest.mark.parametrize("name", SISTERS)
def test_sisters_have_two_heads_and_the_tutorial_networks_budget(name: str) -> None:
    spec = arch.load(name)
    assert 20_000_000 <= arch.cost(spec).macs <= 32_288_768
    assert len(spec.aux_rows) == 2
    assert {row.block for row in searchable(spec)} == {SISTERS[name]}


@pytest.mark.parametrize("name", arch.list_networks())
def test_the_judge_agrees(name: str) -> None:
    assert [verdict for verdict in check(arch.load(name)) if not verdict.agrees] == []


def test_googlenet_rows_as_table_1() -> None:
    """Output sizes and MACs of arXiv 1409.4842's Table 1 where its figures are right (ops in M, rounded)."""
    rows = {row.name: row for row in arch.cost(arch.load("googlenet")).rows}
    printed = {"conv2": 360, "3a": 128, "3b": 304, "4b": 88, "4c": 100, "4d": 119, "4e": 170, "5b": 71, "final": 1}
    assert {name: round(rows[name].macs / 1e6) for name in printed} == printed
    outputs = {
        "conv1": (64, 112, 112),
        "conv2": (192, 56, 56),
        "3b": (480, 28, 28),
        "4e": (832, 14, 14),
        "5b": (1024, 7, 7),
    }
    assert {name: rows[name].output for name in outputs} == outputs


def test_tutorial_000_stage_outputs() -> None:
    rows = {row.name: row.output for row in arch.cost(arch.load("googlenet_bn_cifar32")).rows}
    stages = {"pool1": (64, 8, 8), "pool2": (192, 4, 4), "pool3": (480, 2, 2), "pool4": (832, 1, 1), "5b": (1024, 1, 1)}
    assert {name: rows[name] for name in stages} == stages
