"""Equal MACs without searched splits: every row keeps the base's proportions, every candidate its MACs."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest

import arch
import search
from arch.specs.edit import searchable, split_of
from search.space.candidates import Candidate
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space

BASE = arch.load("googlenet_cifar_small")
MACS = arch.cost(BASE).macs
RECIPE = search.load_recipe("default")
FAMILIES = ["inception_v1", "inception_v2", "inception_v3", "inception_residual"]
MACRO = {
    "stem": {"low": 0.5, "high": 2.0, "log": True},
    "stage_scale": {},
    "depth": {"3": [1, 2, 3], "4": [1, 2, 3]},
    "family": {"per": "row", "choices": FAMILIES},
}


def draws(space: Space, count: int) -> Iterator[Candidate]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(count):
        yield search.decode(space, BASE, RECIPE, Sampled(study.ask()))


@pytest.mark.parametrize("kept", [{"equal_macs": {}}, {"splits": {"mode": "iso_macs"}}])
def test_every_candidate_has_the_base_networks_macs(kept: dict) -> None:
    space = Space.model_validate(MACRO | kept)
    check_space(space, BASE, RECIPE, "study s")
    found = list(draws(space, 60))
    assert all(not candidate.infeasible and abs(candidate.macs / MACS - 1) <= 0.01 for candidate in found)
    assert len({candidate.spec.row("stem").args["out"] for candidate in found}) > 4
    assert {len(candidate.spec.rows) for candidate in found} == {len(BASE.rows) + more for more in (-2, -1, 0, 1, 2)}
    assert {row.block for candidate in found for row in searchable(candidate.spec)} == set(FAMILIES)


def test_the_proportions_are_the_base_networks() -> None:
    for candidate in draws(Space.model_validate({"stage_scale": {}, "equal_macs": {}}), 20):
        for row in searchable(candidate.spec):
            split, own = split_of(row), split_of(BASE.row(row.name))
            if min(split.b1x1, split.b3x3.out, split.b5x5.out, split.pool) > 8:
                assert abs(split.b3x3.out - own.b3x3.out * split.out / own.out) < 8


@pytest.mark.parametrize("kept", [{"equal_macs": {}}, {"splits": {"mode": "iso_macs"}}])
def test_the_base_is_a_point_and_stays_itself(kept: dict) -> None:
    space = Space.model_validate({key: MACRO[key] for key in ("stem", "stage_scale", "family")} | kept)
    values = encode(space, BASE, RECIPE, BASE)
    assert {values[f"stage_scale.{stage}"] for stage in "345"} == {1.0}
    assert search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values))).spec == BASE  # type: ignore[arg-type]


def test_what_cannot_reach_the_macs_says_so() -> None:
    space = Space.model_validate({"stage_scale": {}, "equal_macs": {"tolerance": 1e-6}})
    found = list(draws(space, 5))
    assert all(candidate.violation > 0 for candidate in found)
    assert all("no widths within 0.0001 %" in candidate.infeasible for candidate in found)


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"equal_macs": {}}, ["space: nothing varies", "stem"]),
        ({"equal_macs": {}, "splits": {}}, ["space.equal_macs", "use splits.mode: iso_macs"]),
        ({"equal_macs": {}, "width": {"low": 0.5, "high": 1}}, ["space.width", "remove width"]),
        ({"equal_macs": {"round": 7}, "stage_scale": {}}, ["row 3a", "no multiple of round: 7"]),
        ({"equal_macs": {"minimum": 20}, "stage_scale": {}}, ["row 3a", "at least 20"]),
    ],
)
def test_what_does_not_fit_is_refused(space: dict, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(Space.model_validate(space), BASE, RECIPE, "study s")
    for fragment in fragments:
        assert fragment in str(caught.value)
