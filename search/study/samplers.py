"""Optuna's samplers and pruners by name, every option by its own name; who can draw what."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna import pruners, samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study

from arch.errors import InputError, near
from search.study.rungs import Rungs


class NumberedQMC(samplers.QMCSampler):
    """Optuna's QMC sampler with the point that belongs to a trial's number.

    Optuna counts points in the storage, so that a trial that is taken up again after a kill would skip one.
    """

    def __init__(self, *, qmc_type: str = "sobol", scramble: bool = False, seed: int | None = None) -> None:
        super().__init__(qmc_type=qmc_type, scramble=scramble, seed=seed, warn_independent_sampling=False)
        self.number = 0

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        super()._find_sample_id(study, search_space)  # others who go on with this study find its count
        return self.number


class Grid(samplers.PartialFixedSampler):
    """Draws one given point of the space; the order of points is shuffled unless told otherwise."""

    def __init__(self, *, shuffle: bool = True, seed: int | None = None) -> None:
        self.shuffle = shuffle
        self.point: dict[str, Any] = {}
        super().__init__(self.point, samplers.RandomSampler(seed=seed))


SAMPLERS: dict[str, Callable[..., samplers.BaseSampler]] = {
    "random": samplers.RandomSampler,
    "tpe": samplers.TPESampler,
    "nsga2": samplers.NSGAIISampler,
    "nsga3": samplers.NSGAIIISampler,
    "gp": samplers.GPSampler,
    "cmaes": samplers.CmaEsSampler,
    "qmc": NumberedQMC,
    "grid": Grid,
}
PRUNERS: dict[str, Callable[..., pruners.BasePruner | Rungs]] = {
    "none": pruners.NopPruner,
    "median": pruners.MedianPruner,
    "percentile": pruners.PercentilePruner,
    "successive_halving": pruners.SuccessiveHalvingPruner,
    "hyperband": pruners.HyperbandPruner,
    "threshold": pruners.ThresholdPruner,
    "rungs": Rungs,
}
_ONE_SEQUENCE = ("qmc",)  # its points belong together: one seed for the whole study
_ANY_OBJECTIVES = ("none", "rungs")  # Optuna's own pruners need Trial.report, which refuses several objectives
_MOST = 1_000_000  # of any option that is a whole number: Optuna takes memory for as many
_PLAIN = {"bool", "int", "float", "str", "None"}
# What Optuna 5.0 deprecates, and what only says more or less: no part of how a study draws.
_LEFT_OUT: tuple[str, ...] = ("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "sigma0")
_LEFT_OUT += ("restart_strategy", "inc_popsize", "warn_independent_sampling", "warn_asynchronous_seeding", "seed")


def make_sampler(options: Mapping[str, Any], seed: int, trial_seed: int) -> samplers.BaseSampler:
    """Return a sampler from its `name` and options.

    A fresh seed for each trial, made from the study's seed and the trial's number, makes a study
    that was stopped propose what it would have proposed anyway.

    Raises
    ------
    InputError
        The name or an option is unknown or out of range.
    """
    name = options.get("name", "")
    sampler: samplers.BaseSampler = _make(
        SAMPLERS, "sampler", options, seed=(seed if name in _ONE_SEQUENCE else trial_seed) % 2**32
    )
    return sampler


def make_pruner(options: Mapping[str, Any], objectives: int = 1) -> pruners.BasePruner | Rungs:
    """Return a pruner from its `name` and options.

    Raises
    ------
    InputError
        The name or an option is unknown or out of range, or it cannot prune with so many objectives.
    """
    pruner: pruners.BasePruner | Rungs = _make(PRUNERS, "pruner", options)
    if objectives > 1 and options["name"] not in _ANY_OBJECTIVES:
        raise InputError(
            f"pruner {options['name']}: takes one objective, and the study has {objectives}; use rungs or none."
        )
    return pruner


def check_sampler(
    options: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    sometimes: Sequence[str],
    objectives: Sequence[str],
    limited: bool,
) -> None:
    """Refuse a sampler that cannot draw a space, before anything is trained.

    What each can do is taken from the source of Optuna 5.0.0. Random, TPE, NSGA-II and NSGA-III take
    everything; QMC takes choices too (as parts of an interval). Candidates over the limit are told as pruned,
    and only TPE learns from these; the others draw again. (GP, with two objectives and a limit of three quarters of
    the base's MACs: 546 of 560 proposals were over it.)

    Parameters
    ----------
    distributions : every parameter of the space, by name.
    sometimes : the parameters that only some candidates have.
    objectives : their names.
    limited : whether there is a limit on MACs.

    Raises
    ------
    InputError
        The sampler cannot draw a parameter, or not for these objectives; names it and those that can.
    """
    name = options["name"]
    if name == "cmaes":
        if len(objectives) > 1:
            raise InputError(
                f"sampler cmaes: takes one objective, and the study has {len(objectives)} ({', '.join(objectives)}); "
                "use tpe, nsga2, nsga3 or gp."
            )
        for key, distribution in distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                raise InputError(
                    f"sampler cmaes: cannot draw {key}, a choice among {len(distribution.choices)}; "
                    "use tpe, nsga2, gp or qmc, or take it out of the space."
                )
        if limited:
            raise InputError(
                "sampler cmaes: takes no notice of max_macs, and would learn nothing from what is over it; "
                "use tpe, nsga2 or gp, or max_macs: 0."
            )
    if name == "gp" and limited and len(objectives) > 1:
        raise InputError(
            "sampler gp: hears only of trained candidates, and with several objectives would propose what is over max_macs "
            "again and again; use tpe, nsga2 or nsga3, or max_macs: 0."
        )
    if name in ("cmaes", "gp", "qmc") and sometimes:
        raise InputError(
            f"sampler {name}: cannot draw {sometimes[0]}, which only some candidates have; use tpe, nsga2 or random."
        )


def options_of(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with every default of that sampler or pruner written out; null: it decides itself."""
    known: Mapping[str, Callable[..., Any]] = SAMPLERS if kind == "sampler" else PRUNERS
    name = str(options.get("name"))
    if name not in known:
        return dict(options)
    defaults = {key: p.default for key, p in _options(known[name]).items() if p.default is not p.empty}
    return {"name": name} | defaults | dict(options)


def _options(made: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the options that a file can hold: those of plain types."""
    found = inspect.signature(made).parameters
    return {key: p for key, p in found.items() if key not in _LEFT_OUT and _types(p) <= _PLAIN}


def _types(parameter: inspect.Parameter) -> set[str]:
    annotation = parameter.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return {part.strip() for part in text.split("|")}


def _make(known: Mapping[str, Callable[..., Any]], kind: str, options: Mapping[str, Any], **more: Any) -> Any:
    values = dict(options)
    name = str(values.pop("name", None))
    if name not in known:
        raise InputError(f"there is no {kind} '{name}'.{near(name, known)} Known: {', '.join(known)}.")
    allowed = _options(known[name])
    for key, value in values.items():
        if key not in allowed:
            listed = ", ".join(allowed) or "none"
            raise InputError(f"{kind} {name}: unknown option '{key}'.{near(key, allowed)} Options: {listed}.")
        types = _types(allowed[key])
        given = "None" if value is None else type(value).__name__
        if given not in types and not (given == "int" and "float" in types):
            wanted = " or ".join(sorted(types - {"None"}))
            raise InputError(f"{kind} {name}: option '{key}' is {value!r}, but it must be of type {wanted}.")
        if value != value or (isinstance(value, int) and abs(value) > _MOST):
            raise InputError(f"{kind} {name}: option '{key}' is {value!r}, but it must be a number up to {_MOST:,}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return known[name](**values, **more)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} {name}: {error}.") from None
