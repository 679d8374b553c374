"""Optuna's samplers and pruners by name, with their options, and which sampler can draw which space."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna import pruners, samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study

from arch.errors import InputError, near
from arch.registry import Definition, Definitions
from search.sampling.mixture import Mixture
from search.sampling.rungs import Rungs
from search.sampling.surrogate import Surrogate

_MOST = 1_000_000  # of any option that is a whole number: Optuna takes memory for as many
_PLAIN = {"bool", "int", "float", "str", "None"}
# Options that Optuna 5.0 deprecates, or that only switch warnings: no part of how a study draws.
_LEFT_OUT: tuple[str, ...] = ("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "sigma0")
_LEFT_OUT += ("restart_strategy", "inc_popsize", "warn_independent_sampling", "warn_asynchronous_seeding", "seed")


@dataclass(frozen=True)
class _OptunaDefinition(Definition):
    """A sampler or pruner with Optuna's interface: its options are the arguments of plain types."""

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The options that a file may give, by name, in order."""
        found = inspect.signature(self.function).parameters
        return {key: p for key, p in found.items() if key not in _LEFT_OUT and _types(p) <= _PLAIN}


@dataclass(frozen=True)
class Requirements:
    """What a study requires of its sampler.

    Attributes
    ----------
    distributions : every parameter of the space, by name.
    sometimes : the parameters that only some candidates have.
    objectives : their names.
    limited : whether there is a limit on MACs or another cost.
    """

    distributions: Mapping[str, BaseDistribution]
    sometimes: Sequence[str]
    objectives: Sequence[str]
    limited: bool


@dataclass(frozen=True)
class SamplerDefinition(_OptunaDefinition):
    """A registered sampler: a function of `seed` and its options, with what it can do.

    Attributes
    ----------
    objectives, limited : with how many objectives it works, without a limit on MACs and with one. Candidates over the
        limit reach it as pruned, and only TPE learns from these; others have to draw again.
    choices : draws choices, and not only numbers.
    sometimes : draws parameters that only some candidates have.
    one_sequence : its points form one sequence, so that one seed serves all trials.
    redrawn : a trial that was partly drawn when a study stopped is drawn again as it would have been.
    grid : walks through the points of the space, each once.
    """

    objectives: float = math.inf
    limited: float = math.inf
    choices: bool = True
    sometimes: bool = True
    one_sequence: bool = False
    redrawn: bool = True
    grid: bool = False

    def refuses(self, required: Requirements) -> str:
        """Return why it cannot draw what a study requires, or an empty string."""
        amount = len(required.objectives)
        if amount > self.objectives:
            most = "one objective" if self.objectives == 1 else f"{self.objectives:g} objectives"
            return f"takes {most}, and the study has {amount} ({', '.join(required.objectives)})"
        if required.limited and amount > self.limited:
            several = " where there are several objectives" if self.limited else ""
            return f"learns nothing from what is over a limit, and would propose it again and again{several}"
        choice = next((k for k, d in required.distributions.items() if isinstance(d, CategoricalDistribution)), None)
        if choice and not self.choices:
            amount = len(required.distributions[choice].choices)  # type: ignore[attr-defined]
            return f"cannot draw {choice}, a choice among {amount}"
        if required.sometimes and not self.sometimes:
            return f"cannot draw {required.sometimes[0]}, which only some candidates have"
        return ""


@dataclass(frozen=True)
class PrunerDefinition(_OptunaDefinition):
    """A registered pruner; Optuna's own take one objective, as they need Trial.report, which refuses several."""

    objectives: float = 1


SAMPLERS = Definitions("sampler", SamplerDefinition)
PRUNERS = Definitions("pruner", PrunerDefinition)


class NumberedQMC(samplers.QMCSampler):
    """Optuna's QMC sampler with the point that belongs to a trial's number.

    Optuna counts points in the storage, so that a trial that is drawn again after a kill would skip one.
    """

    def __init__(self, *, qmc_type: str = "sobol", scramble: bool = False, seed: int | None = None) -> None:
        super().__init__(qmc_type=qmc_type, scramble=scramble, seed=seed, warn_independent_sampling=False)
        self.number = 0

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        super()._find_sample_id(study, search_space)  # keeps Optuna's own count, for other drivers of this study
        return self.number


class Grid(samplers.PartialFixedSampler):
    """Draws one given point of the space; the order of points is shuffled unless `shuffle` is false."""

    def __init__(self, *, shuffle: bool = True, seed: int | None = None) -> None:
        self.shuffle = shuffle
        self.point: dict[str, Any] = {}
        super().__init__(self.point, samplers.RandomSampler(seed=seed))


# What each can do is taken from the source of Optuna 5.0.0. GP, with two objectives and a limit of three quarters of
# the base's MACs: 546 of 560 proposals were over it.
SAMPLERS.register(samplers.TPESampler, "tpe")
SAMPLERS.register(samplers.RandomSampler, "random")
SAMPLERS.register(samplers.NSGAIISampler, "nsga2")
SAMPLERS.register(samplers.NSGAIIISampler, "nsga3", redrawn=False)
SAMPLERS.register(samplers.GPSampler, "gp", limited=1, sometimes=False, redrawn=False)
SAMPLERS.register(samplers.CmaEsSampler, "cmaes", objectives=1, limited=0, choices=False, sometimes=False)
SAMPLERS.register(NumberedQMC, "qmc", sometimes=False, one_sequence=True)  # takes choices as parts of an interval
SAMPLERS.register(Grid, "grid", grid=True)
SAMPLERS.register(Mixture, "mixture")
SAMPLERS.register(Surrogate, "surrogate", objectives=1)

PRUNERS.register(Rungs, "rungs", objectives=math.inf)
PRUNERS.register(pruners.NopPruner, "none", objectives=math.inf)
PRUNERS.register(pruners.MedianPruner, "median")
PRUNERS.register(pruners.PercentilePruner, "percentile")
PRUNERS.register(pruners.SuccessiveHalvingPruner, "successive_halving")
PRUNERS.register(pruners.HyperbandPruner, "hyperband")
PRUNERS.register(pruners.ThresholdPruner, "threshold")


def make_sampler(options: Mapping[str, Any], seed: int, trial_seed: int) -> samplers.BaseSampler:
    """Return a sampler from its `name` and options.

    A fresh seed for each trial, made from the study's seed and the trial's number, makes a study
    that was stopped propose what it would have proposed anyway.

    Raises
    ------
    InputError
        The name or an option is unknown or out of range.
    """
    definition = SAMPLERS.get(str(options.get("name")))
    own = seed if definition.one_sequence else trial_seed
    sampler: samplers.BaseSampler = _make(SAMPLERS, options, seed=own % 2**32)
    return sampler


def make_pruner(options: Mapping[str, Any], objectives: int = 1) -> pruners.BasePruner | Rungs:
    """Return a pruner from its `name` and options.

    Raises
    ------
    InputError
        The name or an option is unknown or out of range, or it cannot prune with so many objectives.
    """
    pruner: pruners.BasePruner | Rungs = _make(PRUNERS, options)
    definition = PRUNERS.get(options["name"])
    if objectives > definition.objectives:
        able = " or ".join(d.name for d in PRUNERS if objectives <= d.objectives)
        raise InputError(f"pruner {definition.name}: takes one objective, and the study has {objectives}; use {able}.")
    return pruner


def check_sampler(options: Mapping[str, Any], required: Requirements) -> None:
    """Refuse a sampler that cannot draw a space, before anything is trained.

    Raises
    ------
    InputError
        The sampler cannot draw a parameter, or not for these objectives; names it and those that can.
    """
    name = str(options["name"])
    if reason := SAMPLERS.get(name).refuses(required):
        able = [d.name for d in SAMPLERS if not d.grid and not d.refuses(required)]
        remedy = ", or neither max_macs nor space.limits" if "a limit" in reason else ""
        raise InputError(f"sampler {name}: {reason}; use {' or '.join(able)}{remedy}.")


def options_of(known: Definitions[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with every default of that sampler or pruner written out; null: Optuna decides."""
    name = str(options.get("name"))
    if name not in known:
        return dict(options)
    defaults = {key: p.default for key, p in known.get(name).parameters.items() if p.default is not p.empty}
    return {"name": name} | defaults | dict(options)


def _types(parameter: inspect.Parameter) -> set[str]:
    annotation = parameter.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return {part.strip() for part in text.split("|")}


def _make(known: Definitions[Any], options: Mapping[str, Any], **more: Any) -> Any:
    values = dict(options)
    definition = known.get(str(values.pop("name", None)))
    where, allowed = f"{known.kind} {definition.name}", definition.parameters
    for key, value in values.items():
        if key not in allowed:
            listed = ", ".join(allowed) or "none"
            raise InputError(f"{where}: unknown option '{key}'.{near(key, allowed)} Options: {listed}.")
        types = _types(allowed[key])
        given = "None" if value is None else type(value).__name__
        if given not in types and not (given == "int" and "float" in types):
            required = " or ".join(sorted(types - {"None"}))
            raise InputError(f"{where}: option '{key}' is {value!r}, but it must be of type {required}.")
        if value != value or (isinstance(value, int) and abs(value) > _MOST):
            raise InputError(f"{where}: option '{key}' is {value!r}, but it must be a number up to {_MOST:,}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return definition.function(**values, **more)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}.") from None
