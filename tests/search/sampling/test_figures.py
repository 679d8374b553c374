"""The figures of a network: each against another way to it, and what each edit changes."""

from __future__ import annotations

import math

import pytest

import arch
from arch.registry import Reduced
from arch.specs.edit import Split, with_args, with_family, with_split, with_width
from search.sampling.figures import figures

BASE = arch.load("googlenet_cifar_small")


def changed(spec: arch.Spec) -> set[str]:
    before, after = figures(BASE), figures(spec)
    return {name for name in before | after if before.get(name, 0) != pytest.approx(after.get(name, 0), abs=1e-12)}


def test_figures_of_the_hand_made_network() -> None:
    found, cost = figures(BASE), arch.cost(BASE)
    sizes = ("activations", "params", "macs")
    assert [math.exp(found[name]) for name in sizes] == pytest.approx([getattr(cost, name) for name in sizes])
    assert sum(value for name, value in found.items() if name.startswith("macs at")) < 1  # the rest is the classifier's
    assert found["macs at 16"] == pytest.approx(sum(r.macs for r in cost.rows if r.name in ("3a", "3b")) / cost.macs)
    assert sum(found[branch] for branch in ("1x1", "3x3", "5x5", "pool")) == pytest.approx(1)
    assert math.exp(found["stem"]) == pytest.approx(32)
    assert (found["rows"], found["shortcut"], found["mean pooling"], found["family inception_v1"]) == (6, 0, 0, 1)


def test_each_edit_changes_its_figures() -> None:
    assert {"stem", "macs at 32"} <= changed(with_width(BASE, 2.0, 8, ["stem"]))
    assert changed(with_args(BASE, "4a", {"shortcut": True})) == {"shortcut"}
    assert changed(with_args(BASE, "4a", {"pool_kind": "avg"})) == {"mean pooling"}
    assert {"family inception_v1", "family inception_v3"} <= changed(with_family(BASE, "inception_v3", ["4a"]))
    split = Split(16, Reduced(16, 32), Reduced(8, 8), 8)
    assert "reduce 3x3" in changed(with_split(BASE, "3a", split))
    assert not {"reduce 5x5", "1x1", "3x3", "5x5", "pool"} & changed(with_split(BASE, "3a", split))


def test_a_network_without_splits_has_figures_too() -> None:
    found = figures(arch.load("inception_v4"))
    assert {"activations", "params", "macs"} < set(found)
    assert not {"rows", "stem", "1x1"} & set(found)
