"""What searches vary in the families beyond their splits: the pool's kind, and a shortcut; by default neither shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import arch
from arch.analysis.cost import cost
from arch.exchange.export import TOLERANCE, export
from arch.modules.fvcore_check import check
from arch.registry import BLOCKS
from arch.specs.edit import families, searchable, with_args, with_family

BASE = arch.load("googlenet_cifar_small")
PLAIN = ["inception_v1", "inception_v2", "inception_v3"]


def changed(spec: arch.Spec, args: dict) -> arch.Spec:
    for row in searchable(spec):
        spec = with_args(spec, row.name, args)
    return spec


@pytest.mark.parametrize("family", PLAIN)
def test_defaults_change_neither_id_nor_fingerprint(family: str) -> None:
    spec = with_family(BASE, family)
    given = changed(spec, {"pool_kind": "max", "shortcut": False})
    assert (given.id, given.fingerprint) == (spec.id, spec.fingerprint)
    others = {changed(spec, args).fingerprint for args in ({"pool_kind": "avg"}, {"shortcut": True})}
    assert len(others | {spec.fingerprint}) == 3


@pytest.mark.parametrize("family", PLAIN)
def test_neither_costs_anything(family: str) -> None:
    spec = with_family(BASE, family)
    assert cost(changed(spec, {"pool_kind": "avg", "shortcut": True})).rows == cost(spec).rows
    assert all(one.agrees for one in check(changed(spec, {"shortcut": True})).counts)


def test_every_family_takes_another_pool_and_all_but_the_residual_one_a_shortcut() -> None:
    ours = [name for name in families() if name in (*PLAIN, "inception_residual")]
    assert [name for name in ours if "pool_kind" in BLOCKS.get(name).parameters] == ours
    assert [name for name in ours if "shortcut" in BLOCKS.get(name).parameters] == PLAIN


@pytest.mark.parametrize(("widths", "kept"), [((16, 32, 8, 8), 32), ((8, 8, 8, 8), 32), ((8, 8, 4, 4), 24)])
def test_a_shortcut_adds_the_input_with_zeros_or_without_surplus_channels(widths: tuple, kept: int) -> None:
    """By hand on row 3a, which reads 32 channels: the sum is the module's output plus them, as far as both go."""
    a, b, c, d = widths
    plain = with_args(BASE, "3a", {"b1x1": a, "b3x3": [8, b], "b5x5": [8, c], "pool": d})
    found = []
    for spec in (plain, with_args(plain, "3a", {"shortcut": True})):
        torch.manual_seed(0)
        network = arch.build(spec).eval()
        x = torch.randn(2, 32, 16, 16)
        with torch.no_grad():
            found.append((x, network.rows["3a"](x)))
    (x, without), (same, with_it) = found
    assert torch.equal(x, same)
    wanted = without.clone()
    wanted[:, :kept] += x[:, :kept]
    assert torch.allclose(with_it, wanted, atol=1e-6)


def test_a_network_with_shortcuts_is_exported(tmp_path: Path) -> None:
    spec = changed(BASE, {"shortcut": True, "pool_kind": "avg"})
    spec = with_args(spec, "5b", {"b1x1": 8, "b3x3": [8, 16], "b5x5": [8, 8], "pool": 8})
    for kind, ending in (("onnx", "onnx"), ("torch-export", "pt2")):
        assert export(arch.build(spec), tmp_path / f"a.{ending}", kind, {"spec": "it"}).difference <= TOLERANCE
