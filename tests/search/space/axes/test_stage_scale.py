"""The scales of the stages: drawn, brought to equal MACs, and found again."""

from __future__ import annotations

import optuna
import pytest

import arch
import search
from arch.specs.edit import split_of
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space

BASE = arch.load("googlenet_cifar_small")
MACS = arch.cost(BASE).macs
RECIPE = search.load_recipe("default")
SCALES = Space.model_validate({"stage_scale": {}})
STAGES = {"3": ("3a", "3b"), "4": ("4a", "4b"), "5": ("5a", "5b")}


def fixed(space: Space, values: dict) -> search.Candidate:
    return search.decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]


def scales(*factors: float) -> dict[str, float]:
    return {f"stage_scale.{stage}": factor for stage, factor in zip(STAGES, factors, strict=True)}


def outs(spec: arch.Spec) -> dict[str, int]:
    return {row: split_of(spec.row(row)).out for rows in STAGES.values() for row in rows}


def test_each_stage_has_its_factor() -> None:
    before, after = outs(BASE), outs(fixed(SCALES, scales(2.0, 1.0, 0.5)).spec)
    assert (after["3a"], after["3b"]) == (2 * before["3a"], 2 * before["3b"])
    assert (after["4a"], after["4b"]) == (before["4a"], before["4b"])
    assert (after["5a"], after["5b"]) == (192, 200)  # half of 376 is 188, and half of 400 is 200
    wide = split_of(fixed(SCALES, scales(2.0, 1.0, 1.0)).spec.row("3b"))
    own = split_of(BASE.row("3b"))
    assert (wide.b1x1, wide.b3x3.out, wide.b3x3.reduce) == (2 * own.b1x1, 2 * own.b3x3.out, 2 * own.b3x3.reduce)


def test_the_default_is_half_to_double_by_logarithm() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    search.decode(SCALES, BASE, RECIPE, Sampled(trial))
    wanted = optuna.distributions.FloatDistribution(0.5, 2.0, log=True)
    assert trial.distributions == dict.fromkeys(scales(1, 1, 1), wanted)


def test_only_ratios_count_at_equal_macs() -> None:
    space = Space.model_validate({"stage_scale": {}, "equal_macs": {}})
    for factors in ((2.0, 1.0, 0.5), (0.5, 0.5, 2.0), (1.0, 1.9, 1.0)):
        found = fixed(space, scales(*factors))
        assert not found.infeasible
        assert abs(found.macs / MACS - 1) <= 0.01
        ratios = [outs(found.spec)[rows[1]] / outs(BASE)[rows[1]] for rows in STAGES.values()]
        for ratio, factor in zip(ratios, factors, strict=True):
            assert ratio / ratios[0] == pytest.approx(factor / factors[0], rel=0.12)


@pytest.mark.parametrize("kept", [{}, {"equal_macs": {}}, {"splits": {"mode": "iso_macs"}}, {"splits": {}}])
def test_what_is_drawn_is_found_again(kept: dict) -> None:
    """Nearly all: now and then another network is found as near to the MACs, and `encode` says so."""
    space = Space.model_validate({"stage_scale": {"low": 0.1, "high": 8.0, "log": True}, **kept})
    narrow = Space.model_validate({"stage_scale": {}, **kept})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    same, missed = 0, []
    for _ in range(50):
        drawn = search.decode(narrow, BASE, RECIPE, Sampled(study.ask()))
        try:
            same += fixed(space, encode(space, BASE, RECIPE, drawn.spec)).key == drawn.key
        except arch.InputError as error:
            missed.append(str(error))
    assert same >= 47
    assert all("is not reached by the space" in text for text in missed)


def test_choices_are_the_nearest_factors() -> None:
    space = Space.model_validate({"stage_scale": {"choices": [0.5, 1, 1.5]}})
    found = fixed(space, {"stage_scale.3": "1.5", "stage_scale.4": "1", "stage_scale.5": "0.5"})
    values = {"stage_scale.3": "1.5", "stage_scale.4": "1", "stage_scale.5": "0.5"}
    assert encode(space, BASE, RECIPE, found.spec) == values


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"stage_scale": {"low": 0, "high": 2}}, ["space.stage_scale", "is no factor"]),
        ({"stage_scale": {"choices": [1, 1]}}, ["space.stage_scale", "two choices are called '1'"]),
        ({"stage_scale": {}, "splits": {"round": 7}}, ["space.stage_scale, row 3a", "no multiple of round: 7"]),
    ],
)
def test_what_does_not_fit_is_refused(space: dict, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(Space.model_validate(space), BASE, RECIPE, "study s")
    for fragment in fragments:
        assert fragment in str(caught.value)
