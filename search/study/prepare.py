"""Check a study before it runs: base network, recipe, space, sampler, pruner and starts."""

from __future__ import annotations

import dataclasses

from arch.errors import InputError, within
from arch.specs.read import load
from arch.specs.spec import Spec
from search.evaluation.measurements.registry import MEASUREMENTS
from search.evaluation.proxies.registry import PROXIES
from search.recipes.load import load_recipe
from search.recipes.recipe import Recipe
from search.record.objectives import Objectives
from search.sampling.rungs import Rungs
from search.sampling.samplers import (
    PRUNERS,
    SAMPLERS,
    Requirements,
    check_sampler,
    make_pruner,
    make_sampler,
    options_of,
)
from search.space.space import check_space
from search.study.config import StudyConfig
from search.study.proposer import parameters, points
from search.study.warm_start import Start, starts
from search.training.fit import Epoch

_HARDER = ("augment", "crop", "flip", "cutout", "random_resized_crop", "resize")


def prepared(config: StudyConfig) -> tuple[Spec, Recipe, tuple[Start, ...]]:
    """Return a study's base network, recipe and starts, after every check that needs no images.

    Raises
    ------
    InputError
        The space does not fit the network, the sampler cannot draw it, or a start is no point of it.
    """
    with within(config.where):
        base, recipe = load(config.network), load_recipe(config.recipe)
        check_space(config.space, base, recipe, config.where)
        _check_search(config, base, recipe)
        return base, recipe, starts(config.start, config.space, base, recipe)


def _check_search(config: StudyConfig, base: Spec, recipe: Recipe) -> None:
    """Refuse a sampler or pruner that is unknown, or cannot do what this study needs."""
    objectives = Objectives(config.objective)
    _check_objectives(objectives)
    for name in config.proxies:
        PROXIES.get(name)
    make_sampler(config.sampler, 0, 0)
    found, sometimes = parameters(config.space, base, recipe)
    limited = config.max_macs > 0 or config.space.get("limits") is not None
    check_sampler(config.sampler, Requirements(found, sometimes, objectives.names, limited))
    pruner = make_pruner(config.pruner, len(objectives))
    values = config.space.get("recipe")
    harder = [key for key in _HARDER if values and key in values.root]
    if isinstance(pruner, Rungs) and pruner.by == "train_accuracy" and harder:
        raise InputError(
            f"pruner rungs: recipe.{harder[0]} is searched, and makes training images harder or easier; use by: objective."
        )
    if SAMPLERS.get(config.sampler["name"]).grid:
        points(config.space, base, recipe)


def _check_objectives(objectives: Objectives) -> None:
    """Refuse an objective that nothing computes: every trial would fail."""
    of_epochs = {field.name for field in dataclasses.fields(Epoch)}
    for objective in objectives.each:
        computed = {
            "epoch": objective.name in of_epochs,
            "network": objective.of_network is not None,
            "trained network": objective.name in MEASUREMENTS,
        }
        if not computed[objective.source]:
            raise InputError(
                f"objective {objective.name}: nothing computes it from each {objective.source}; name a figure of the "
                f"epochs ({', '.join(sorted(of_epochs))}), give it of_network, or register a measurement of that name."
            )


def resolved(config: StudyConfig, recipe: Recipe) -> StudyConfig:
    """Return the study with every default written out, and engine, workers and threads chosen for this machine."""
    return config.model_copy(
        update={
            "recipe": recipe.model_dump(),
            "sampler": options_of(SAMPLERS, config.sampler),
            "pruner": options_of(PRUNERS, config.pruner),
            "engine": config.engine.settled(),
        }
    )
