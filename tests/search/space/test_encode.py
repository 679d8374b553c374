from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

import arch
import search
from arch.specs.edit import with_args, with_depth, with_family, with_head_moved
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.encode import encode, middle
from search.space.space import Space

BASE = arch.load("googlenet_cifar_small")
RECIPE = search.load_recipe("default")
FAMILIES = {"choices": ["inception_v1", "inception_v2", "inception_v3"]}
SPACES = {
    "rows": {"splits": {}, "family": {"per": "row", **FAMILIES}, "aux_weight": {"low": 0.0, "high": 0.6}},
    "stages": {"splits": {"per": "stage"}, "family": {"per": "stage", **FAMILIES}},
    "around": {"splits": {"around": {"spread": 0.35}}},
    "around another": {"splits": {"around": {"network": "googlenet_cifar", "spread": 0.2}}},
    "around by stage": {"splits": {"per": "stage", "around": {"network": "base", "spread": 0.1}}},
    "some rows": {"splits": {"rows": ["3b", "4b"], "round": 4, "minimum": 12, "reduce": [0.1, 0.5]}},
    "recipe": {"recipe": {"lr": {"low": 0.01, "high": 1.0, "log": True}, "batch": {"choices": [64, 128]}}},
    "weights by choice": {"aux_weight": {"choices": [0, 0.3]}},
    "arguments": {
        "family": {"per": "stage", "choices": ["inception_v3", "inception_residual"]},
        "kernel": {"per": "stage", "choices": [3, 7]},
        "residual_scale": {"low": 0.1, "high": 1.0},
    },
    "depths": {
        "splits": {"mode": "keep_width"},
        "depth": {"3": [1, 2, 4], "4": [1, 2, 3]},
        "aux": {"none": [], "late": ["4b"], "both": ["4b", "3b"]},
        "family": {"per": "row", **FAMILIES},
        "stem": {"choices": [32, 64]},
    },
    "macro": {
        "splits": {"mode": "iso_macs"},
        "depth": {"3": [1, 2, 4], "5": [1, 2, 3]},
        "family": {"per": "row", **FAMILIES},
        "kernel": {"per": "row", "choices": [3, 5]},
        "stem": {"low": 0.5, "high": 2.0, "log": True},
        "stage_scale": {"low": 0.1, "high": 8.0, "log": True},
    },
    "heads": {"aux": {"none": [], "late": ["4b"], "both": ["3b", "4b"]}, "aux_weight": {"low": 0.0, "high": 1.0}},
}


def drawn(space: Space, seed: int) -> Candidate:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    return decode(space, BASE, RECIPE, Sampled(trial))


@pytest.mark.parametrize("name", SPACES)
def test_decode_undoes_encode(name: str) -> None:
    space = Space.model_validate(SPACES[name])
    for seed in range(12):
        asked = drawn(space, seed)
        values = encode(space, BASE, RECIPE, asked.spec, asked.recipe)
        found = decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]
        assert found.spec == asked.spec
        assert found.key == asked.key


def test_the_middle_of_an_interval() -> None:
    assert [middle([1, 3, 4], index) for index in range(3)] == [1 / 16, 5 / 16, 3 / 4]


@pytest.mark.parametrize(
    ("spec", "space", "fragments"),
    [
        (arch.load("inception_v2_cifar_small"), {"aux_weight": {"low": 0, "high": 1}}, ["row 3a", "not reached"]),
        (arch.load("googlenet"), {"splits": {}}, ["has a row 'conv1'"]),
        (with_args(BASE, "3b", {"b1x1": 5}), {"splits": {}}, ["row 3b, b1x1"]),
        (with_head_moved(BASE, "3b", "3a"), {"splits": {}}, ["auxiliary heads are on 3a", "study's on 3b"]),
        (
            with_family(BASE, "inception_v3", ["4b"]),
            {"family": {"per": "stage", **FAMILIES}},
            ["4b", "no common family"],
        ),
        (with_family(BASE, "inception_residual"), {"family": FAMILIES}, ["family.3 is 'inception_residual'"]),
        (with_depth(BASE, "4", 3), {"depth": {"3": [1, 2]}}, ["has a row '4c'"]),
        (with_depth(BASE, "4", 3), {"depth": {"4": [1, 2]}}, ["has a row '4c'"]),
        (with_depth(BASE, "4", 1), {"depth": {"4": [2, 3]}}, ["depth.4 is 1", "none of the choices (2, 3)"]),
        (
            replace(BASE, rows=(*BASE.rows[:3], BASE.rows[4], BASE.rows[3], *BASE.rows[5:])),
            {"family": FAMILIES},
            ["come in another order"],
        ),
    ],
)
def test_what_the_space_does_not_reach_is_named(spec: arch.Spec, space: dict, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        encode(Space.model_validate(space), BASE, RECIPE, spec, where="start x")
    for fragment in ["start x", *fragments]:
        assert fragment in str(caught.value)


def test_a_recipe_out_of_the_range_is_named() -> None:
    space = Space.model_validate({"aux_weight": {"low": 0.0, "high": 0.1}})
    with pytest.raises(arch.InputError, match=r"aux_weight\.3b is 0\.3, outside of 0\.0 to 0\.1"):
        encode(space, BASE, RECIPE, BASE)
    with pytest.raises(arch.InputError, match=r"recipe: lr is 0\.2, and the study's is 0\.1"):
        encode(space, BASE, RECIPE, BASE, search.load_recipe("default", {"lr": 0.2, "aux_weight": 0.05}))
