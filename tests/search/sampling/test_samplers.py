"""Samplers and pruners by name: their options, what they can draw, and the grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import arch
import search
from search.record.layout import results
from search.sampling.samplers import SAMPLERS, options_of
from search.space.candidates import enumerate_space
from search.space.space import Space
from search.study.proposer import parameters, points
from search.study.run import run_study
from tests.support import MICRO, study

pytestmark = pytest.mark.usefixtures("instant")
FAMILY = {"family": {"per": "row", "choices": ["inception_v1", "inception_v2"]}}
WEIGHT = {"aux_weight": {"low": 0.0, "high": 0.6}}
SOMETIMES = {
    "family": {"per": "row", "choices": ["inception_v1", "inception_v3"]},
    "kernel": {"per": "row", "choices": [3, 5]},
}
SPLITS = {"splits": {"round": 4, "minimum": 4}}


def test_every_option_is_written_out(tmp_path: Path) -> None:
    assert options_of(SAMPLERS, {"name": "nsga2"}) == {
        "name": "nsga2",
        "population_size": 50,
        "mutation_prob": None,
        "crossover_prob": 0.9,
        "swapping_prob": 0.5,
    }
    assert options_of(SAMPLERS, {"name": "tpe", "group": True})["group"] is True
    assert options_of(SAMPLERS, {"name": "tpe"})["multivariate"] is None
    assert "popsize" in options_of(SAMPLERS, {"name": "cmaes"})
    run_study(study(sampler={"name": "qmc"}, pruner={"name": "median"}, trials=1), tmp_path)
    written = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert written["sampler"] == {"name": "qmc", "qmc_type": "sobol", "scramble": False}
    assert written["pruner"]["n_startup_trials"] == 5
    assert run_study(yaml.safe_load((tmp_path / "study.yaml").read_text()), tmp_path).finished == 1


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_what_is_written_out_is_read_again(sampler: str) -> None:
    from search.sampling.samplers import make_sampler

    make_sampler(options_of(SAMPLERS, {"name": sampler}), 0, 1)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        (
            {"sampler": {"name": "cmaes"}, "space": FAMILY},
            ["cmaes", "family.3a", "a choice among 2", "use tpe or random"],
        ),
        ({"sampler": {"name": "cmaes"}, "objective": ["val_accuracy", "macs"]}, ["cmaes", "one objective", "nsga2"]),
        ({"sampler": {"name": "cmaes"}, "max_macs": 10**6}, ["cmaes", "max_macs", "tpe"]),
        (
            {"sampler": {"name": "gp"}, "objective": ["val_loss", "macs"], "max_macs": 10**6},
            ["gp", "max_macs", "nsga3"],
        ),
        ({"sampler": {"name": "qmc"}, "space": SOMETIMES}, ["qmc", "kernel.", "only some candidates have"]),
        ({"sampler": {"name": "grid"}, "space": WEIGHT}, ["grid", "aux_weight.3a", "choices"]),
        ({"sampler": {"name": "grid"}, "space": {"splits": {"round": 1, "minimum": 1}}}, ["more than 5,000"]),
        ({"sampler": {"name": "tpe", "multivariate": 3}}, ["'multivariate' is 3", "bool"]),
        ({"sampler": {"name": "gp", "independent_sampler": "x"}}, ["unknown option 'independent_sampler'"]),
        ({"sampler": {"name": "mixture", "wide": 0.5}}, ["sampler mixture", "sum 1", "0.3, 0.6 and 0.5"]),
        ({"sampler": {"name": "surrogate", "worth": 2}}, ["sampler surrogate", "worth is a rank correlation", "is 2"]),
        (
            {"sampler": {"name": "surrogate"}, "objective": ["val_accuracy", "macs"]},
            ["surrogate", "one objective", "mixture"],
        ),
        ({"pruner": {"name": "median"}, "objective": ["val_accuracy", "macs"]}, ["median", "use rungs"]),
        ({"pruner": {"name": "rungs", "keep": 2.0}}, ["rungs", "keep must be at least 0 and below 1"]),
        ({"pruner": {"name": "rungs", "frist": 2}}, ["unknown option 'frist'", "Did you mean first"]),
    ],
)
def test_who_cannot_is_refused_by_name(changes: dict[str, Any], fragments: list[str], tmp_path: Path) -> None:
    with pytest.raises(arch.InputError) as caught:
        run_study(study(**changes), tmp_path / "run")
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "sampler",
    [
        "tpe",
        "nsga2",
        "qmc",
        "gp",
        "mixture",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("random", "nsga3")),
    ],
)
@pytest.mark.parametrize("objective", ["val_loss", ["val_accuracy", "macs"]])
def test_who_can_does(sampler: str, objective: Any, tmp_path: Path) -> None:
    """Choices, ranges, a limit on MACs, one objective and several, beyond the sampler's start at random."""
    begin = {"tpe": {"n_startup_trials": 2}, "gp": {"n_startup_trials": 2}, "mixture": {"startup": 2}}.get(sampler, {})
    begin = {"population_size": 2} if sampler.startswith("nsga") else begin
    limit = arch.cost(arch.load(MICRO)).macs if sampler != "gp" or objective == "val_loss" else 0
    config = study(objective=objective, space=FAMILY | WEIGHT | SPLITS, sampler={"name": sampler, **begin}, trials=5)
    assert run_study({**config, "max_macs": limit}, tmp_path).finished == 5
    assert not limit or all(r["macs"] <= limit for r in results(tmp_path) if r["state"] == "complete")


def test_points_of_a_grid_are_the_space_once_each() -> None:
    space = Space.model_validate(FAMILY | {"splits": {"round": 4, "minimum": 4, "rows": ["4a"]}})
    base, recipe = arch.load(MICRO), search.load_recipe("default")
    every = enumerate_space(space, base, recipe, 5_000)
    assert every is not None
    found = points(space, base, recipe)
    assert {candidate.key for candidate, _ in found} == {candidate.key for candidate in every}
    assert len(found) == len({candidate.key for candidate in every})


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_grid_is_walked_to_its_end_without_repeating(shuffle: bool, tmp_path: Path) -> None:
    space = FAMILY | {"aux_weight": {"choices": [0.1, 0.2, 0.3]}}
    config = study(space=space, sampler={"name": "grid", "shuffle": shuffle}, trials=50)
    assert run_study(config, tmp_path).ended == "space exhausted"
    found = list(results(tmp_path))
    assert len(found) == len({result["key"] for result in found}) == 12
    every = [candidate.key for candidate, _ in points(Space.model_validate(space), *_base())]
    assert ([result["key"] for result in found] == every) is not shuffle


def _base() -> tuple[arch.Spec, search.Recipe]:
    return arch.load(MICRO), search.load_recipe(study()["recipe"])  # type: ignore[arg-type]


def test_the_points_of_qmc_are_one_sequence(tmp_path: Path) -> None:
    space = {"aux_weight": {"low": 0.0, "high": 1.0}}
    run_study(study(space=space, sampler={"name": "qmc"}, trials=9), tmp_path)
    weights = [r["searched"]["aux_weight.3a"] for r in results(tmp_path) if r["trial"]]
    assert weights == [0.5, 0.75, 0.25, 0.375, 0.875, 0.625, 0.125, 0.1875]


def test_parameters_of_a_space() -> None:
    found, sometimes = parameters(Space.model_validate(FAMILY | WEIGHT), *_base())
    assert (set(found), sometimes) == ({"family.3a", "family.4a", "aux_weight.3a"}, [])
    found, sometimes = parameters(Space.model_validate(SOMETIMES), *_base())
    assert set(found) - set(sometimes) == {"family.3a", "family.4a"}
    assert set(sometimes) == {"kernel.3a", "kernel.4a"}


def test_tpe_in_groups_draws_what_is_only_sometimes_there(tmp_path: Path) -> None:
    """Beyond its random start, with parameters that exist for one choice of another one."""
    sampler = {"name": "tpe", "multivariate": True, "group": True, "n_startup_trials": 4}
    run_study(study(sampler=sampler, space=SOMETIMES, trials=12), tmp_path)
    found = [result["searched"] for result in results(tmp_path)]
    assert len(found) >= 12
    for searched in found:
        for name, family in searched.items():
            if name.startswith("family."):
                assert (name.replace("family", "kernel") in searched) == (family == "inception_v3")
