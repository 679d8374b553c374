"""Limits on parameters and activations: what is over one is refused before it is trained."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

import arch
import search
from search.record.layout import results
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space
from search.study.run import run_study
from tests.support import study
from tests.support.fake import instant

__all__ = ["instant"]

BASE = arch.load("googlenet_cifar_small")
COSTS = arch.cost(BASE)
RECIPE = search.load_recipe("default")
SCALES = {"stage_scale": {}, "equal_macs": {}}


def fixed(space: dict, *factors: float) -> search.Candidate:
    values = {f"stage_scale.{stage}": factor for stage, factor in zip("345", factors, strict=True)}
    return search.decode(Space.model_validate(space), BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]


def test_a_candidate_over_a_limit_says_by_how_much() -> None:
    free = fixed(SCALES, 2.0, 1.0, 0.5)
    more = arch.cost(free.spec)
    assert not free.infeasible
    assert more.activations > COSTS.activations
    assert more.params < COSTS.params
    limited = fixed(SCALES | {"limits": {"activations": COSTS.activations, "params": COSTS.params}}, 2.0, 1.0, 0.5)
    assert limited.spec == free.spec
    assert limited.infeasible == f"{more.activations:,} activations are over {COSTS.activations:,}"
    assert limited.violation == pytest.approx(more.activations / COSTS.activations - 1)
    assert not fixed(SCALES | {"limits": {"activations": more.activations}}, 2.0, 1.0, 0.5).infeasible


def test_missed_macs_and_a_limit_are_both_said() -> None:
    space = {"stage_scale": {}, "equal_macs": {"tolerance": 1e-6}, "limits": {"params": COSTS.params}}
    found = fixed(space, 0.5, 1.0, 2.0)
    assert "no widths within" in found.infeasible
    assert "params are over" in found.infeasible
    assert found.violation == pytest.approx(arch.cost(found.spec).params / COSTS.params - 1)


def test_the_base_is_a_point_within_the_limits() -> None:
    space = Space.model_validate(SCALES | {"limits": {"activations": COSTS.activations}})
    check_space(space, BASE, RECIPE, "study s")
    values = encode(space, BASE, RECIPE, BASE)
    assert not search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values))).infeasible  # type: ignore[arg-type]


@pytest.mark.usefixtures("instant")
def test_a_study_trains_nothing_over_a_limit(tmp_path: Path, micro: arch.Spec) -> None:
    most = arch.cost(micro).params
    space = {"stage_scale": {}, "splits": {"round": 4, "minimum": 4}, "limits": {"params": most}}
    assert run_study(study(space=space, trials=3), tmp_path).finished == 3
    found = results(tmp_path)
    refused = [result for result in found if result["state"] == "infeasible"]
    assert refused
    assert all("params are over" in result["reason"] for result in refused)
    assert all((result["params"] <= most) == (result["state"] != "infeasible") for result in found)


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"limits": {"params": 1_000}}, ["space: nothing varies"]),
        (
            {"limits": {"params": 1_000}, "stage_scale": {}},
            ["space.limits", "base network's", "are over 1,000", "raise"],
        ),
        ({"limits": {"parameters": 5}, "stage_scale": {}}, ["limits.parameters"]),
    ],
)
def test_what_does_not_fit_is_refused(space: dict, fragments: list[str]) -> None:
    with pytest.raises((arch.InputError, ValueError)) as caught:
        check_space(Space.model_validate(space), BASE, RECIPE, "study s")
    for fragment in fragments:
        assert fragment in str(caught.value)
