"""Where the map is halved: pools that move by rows, at equal MACs or not."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

import arch
import search
from arch.specs.edit import searchable
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space

BASE = arch.load("googlenet_cifar_small")
RECIPE = search.load_recipe("default")
MOVES = Space.model_validate({"halving": {"pool1": [-1, 0, 1], "pool2": [-1, 0, 1], "pool3": [-1, 0, 1, 5]}})


def moved(*moves: int, space: Space = MOVES) -> arch.Spec:
    values = {f"halving.pool{index}": str(move) for index, move in enumerate(moves, 1)}
    found = search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]
    assert search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(  # type: ignore[arg-type]
        encode(space, BASE, RECIPE, found.spec)))).key == found.key  # fmt: skip
    return found.spec


def order(spec: arch.Spec) -> str:
    return " ".join(row.name.replace("pool", "/") for row in spec.rows)


@pytest.mark.parametrize(
    ("moves", "wanted"),
    [
        ((0, 0, 0), "stem /1 3a 3b /2 4a 4b /3 5a 5b"),
        ((1, -1, 1), "stem 3a /1 /2 3b 4a 4b 5a /3 5b"),
        ((0, 1, -1), "stem /1 3a 3b 4a /2 /3 4b 5a 5b"),
        ((-1, 0, 0), "stem /1 3a 3b /2 4a 4b /3 5a 5b"),  # the first row stays in front
        ((0, 0, 5), "stem /1 3a 3b /2 4a 4b 5a 5b /3"),  # and no pool leaves the network
    ],
)
def test_pools_move_and_keep_their_order(moves: tuple[int, ...], wanted: str) -> None:
    spec = moved(*moves)
    assert order(spec) == wanted
    assert {row.name: row for row in spec.rows} == {row.name: row for row in BASE.rows}
    assert spec.heads == BASE.heads
    assert arch.cost(spec).rows[-2].output[1:] == (4, 4)  # the total stride stays


def test_a_pool_moves_those_along_that_it_would_pass() -> None:
    space = Space.model_validate({"halving": {"pool1": [0, 3], "pool2": [0, -3]}})
    values = {"halving.pool1": "3", "halving.pool2": "-3"}
    found = search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]
    assert order(found.spec) == "stem 3a 3b 4a /1 /2 4b /3 5a 5b"


@pytest.mark.parametrize("kept", [{"equal_macs": {}}, {"splits": {"mode": "iso_macs"}}])
def test_later_pools_are_paid_for_by_width(kept: dict) -> None:
    space = Space.model_validate({"halving": {"pool2": [0, 1]}, "depth": {"4": [1, 2, 3]}, **kept})
    check_space(space, BASE, RECIPE, "study s")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        found = search.decode(space, BASE, RECIPE, Sampled(study.ask()))
        assert not found.infeasible
        assert abs(found.macs / arch.cost(BASE).macs - 1) <= 0.01
    assert encode(space, BASE, RECIPE, BASE)["halving.pool2"] == "0"


def test_any_order_of_moves_with_any_depth_fits_the_heads() -> None:
    space = Space.model_validate({**MOVES.model_dump(), "depth": {"3": [1, 2], "4": [1, 2]}, "pooling": {}})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(40):
        found = search.decode(space, BASE, RECIPE, Sampled(study.ask()))
        assert arch.cost(found.spec).rows[-2].output[1:] == (4, 4)
        values = encode(space, BASE, RECIPE, found.spec)
        again = search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]
        assert again.key == found.key


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"halving": {"pool4": [0, 1]}}, ["space.halving", "'pool4' is no pool", "Did you mean pool", "pool1, pool2"]),
        ({"halving": {"3a": [0, 1]}}, ["space.halving", "'3a' is no pool"]),
        ({"halving": {"pool1": [1, 1]}}, ["space.halving.pool1", "two choices are called '1'"]),
    ],
)
def test_what_does_not_fit_is_refused(space: dict, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(Space.model_validate(space), BASE, RECIPE, "study s")
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_head_that_needs_a_larger_map_is_named() -> None:
    heads = {**BASE.heads, "4b": replace(BASE.heads["4b"], head="aux_googlenet", args={})}
    base = replace(BASE, heads=heads)
    with pytest.raises(arch.InputError, match=r"space\.halving\.pool3: .*head 4b"):
        check_space(MOVES, base, RECIPE, "study s")
    assert len(searchable(base)) == 6
