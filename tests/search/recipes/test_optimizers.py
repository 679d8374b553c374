"""Muon, and flips in turn."""

from __future__ import annotations

import arch
import search
from search.data.batches import training_batches
from search.recipes.optimizers import make_optimizer
from tests.support import MICRO


def test_matrices_are_the_convolutions_before_a_norm_in_every_execution() -> None:
    recipe = search.load_recipe("muon")
    for execution in ("plain", "fused"):
        network = arch.build(arch.load(MICRO), execution)
        matrices, others = make_optimizer(recipe, network).param_groups
        named = {id(p): name for name, p in network.named_parameters()}
        chosen = {named[id(p)] for p in matrices["params"]}
        assert chosen == {name for name in named.values() if name.endswith("conv.weight")}
        assert {named[id(p)] for p in others["params"]} == set(named.values()) - chosen
    bare = arch.from_mapping({"name": "bare", "base": "googlenet_cifar_tiny", "edits": {"style": {"norm": "none"}}})
    assert make_optimizer(recipe, arch.build(bare)).param_groups[0]["params"] == []


def test_flips_alternate() -> None:
    """Over two epochs every image is seen both ways; a first epoch shows about half of them mirrored."""
    seen = {}
    for epoch in (0, 1):
        for batch in training_batches(100, 10, 7, epoch, alternate=True):
            assert batch.flip is not None
            seen |= {(int(i), epoch): bool(f) for i, f in zip(batch.index, batch.flip, strict=True)}
    assert all(seen[i, 0] != seen[i, 1] for i in range(100))
    assert 30 < sum(seen[i, 0] for i in range(100)) < 70
    assert training_batches(100, 10, 7, 0)[0].flip is None


def test_training_with_the_recipe_learns_and_resumes(tmp_path) -> None:
    data = search.load_data("digits")
    recipe = search.load_recipe("muon", {"epochs": 2, "batch": 32})
    spec = arch.load(MICRO)
    whole = [epoch.train_loss for epoch in search.fit(spec, data, recipe, seed=0)]
    first = search.fit(spec, data, recipe, seed=0, checkpoint=tmp_path / "c.pt")
    next(first)
    first.close()
    again = list(search.fit(spec, data, recipe, seed=0, checkpoint=tmp_path / "c.pt"))
    assert [epoch.train_loss for epoch in again] == whole
    assert again[-1].val_accuracy is not None
    assert again[-1].val_accuracy > 0.6  # a tenth by chance
