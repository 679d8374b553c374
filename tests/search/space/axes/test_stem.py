"""The stem as an axis: a wider one, and the other widths solved for the same MACs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from optuna.trial import FixedTrial

import arch
import search
from arch.specs.edit import split_of, with_args
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space

BASE = arch.load("googlenet_cifar_small")
RECIPE = search.load_recipe("default")
WIDTHS = Space.model_validate({"stem": {"choices": [32, 48, 64]}, "equal_macs": {}})
FACTORS = Space.model_validate({"stem": {"low": 0.5, "high": 2.0, "log": True}})


def fixed(space: Space, values: dict, base: arch.Spec = BASE) -> search.Candidate:
    return search.decode(space, base, RECIPE, Sampled(FixedTrial(values)))  # type: ignore[arg-type]


def test_a_stem_of_64_at_the_base_networks_macs() -> None:
    found = fixed(WIDTHS, {"stem": "64"})
    assert found.spec.row("stem").args["out"] == 64
    assert found.macs == 32_271_184
    assert arch.cost(with_args(BASE, "stem", {"out": 64})).macs > 1.04 * arch.cost(BASE).macs
    assert split_of(found.spec.row("5b")).out < split_of(BASE.row("5b")).out
    assert encode(WIDTHS, BASE, RECIPE, found.spec) == {"stem": "64"}


def test_the_base_stays_itself() -> None:
    for space, values in ((WIDTHS, {"stem": "32"}), (FACTORS, {"stem": 1.0})):
        assert encode(space, BASE, RECIPE, BASE) == values
        assert fixed(space, values).spec == BASE


@pytest.mark.parametrize(("factor", "width"), [(0.5, 16), (0.7, 24), (1.1, 32), (1.2, 40), (2.0, 64)])
def test_a_factor_is_rounded_and_found_again(factor: float, width: int) -> None:
    found = fixed(FACTORS, {"stem": factor})
    assert found.spec == with_args(BASE, "stem", {"out": width})
    assert fixed(FACTORS, encode(FACTORS, BASE, RECIPE, found.spec)).spec == found.spec


def test_every_layer_before_the_first_split_is_the_stem() -> None:
    googlenet = arch.load("googlenet")
    half = fixed(FACTORS, {"stem": 0.5}, googlenet)
    assert half.spec.row("conv1").args["out"] == 32
    assert half.spec.row("conv2").args["b3x3"] == (32, 96)
    assert half.spec.rows[4:] == googlenet.rows[4:]
    by_width = fixed(Space.model_validate({"stem": {"choices": [96, 192]}}), {"stem": "96"}, googlenet)
    assert by_width.spec == half.spec


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"stem": {"choices": [32, 36]}}, ["space.stem", "36 is no width", "multiples of round: 8"]),
        ({"stem": {"choices": ["wide"]}}, ["space.stem", "'wide' is no width"]),
        ({"stem": {"choices": [64, 64]}}, ["space.stem", "two choices are called '64'"]),
        ({"stem": {"low": 0.0, "high": 2.0}}, ["space.stem", "0.0 is no factor"]),
        ({"stem": {"low": 0.5, "high": 2}, "splits": {"round": 64}}, ["space.stem", "no multiples of round: 64"]),
    ],
)
def test_what_does_not_fit_is_refused(space: dict, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(Space.model_validate(space), BASE, RECIPE, "study s")
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_network_that_begins_with_a_split_has_no_stem() -> None:
    bare = replace(BASE, rows=BASE.rows[2:])
    with pytest.raises(arch.InputError, match=r"space.stem: .* no layer with channels before"):
        check_space(FACTORS, bare, RECIPE, "study s")
