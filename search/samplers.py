"""Optuna's samplers and pruners by name, every option by its own name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning

from arch.errors import InputError, near

SAMPLERS: dict[str, Callable[..., samplers.BaseSampler]] = {
    "random": samplers.RandomSampler,
    "tpe": samplers.TPESampler,
    "nsga2": samplers.NSGAIISampler,
    "nsga3": samplers.NSGAIIISampler,
    "gp": samplers.GPSampler,
    "cmaes": samplers.CmaEsSampler,
    "qmc": samplers.QMCSampler,
}
PRUNERS: dict[str, Callable[..., pruners.BasePruner]] = {
    "none": pruners.NopPruner,
    "median": pruners.MedianPruner,
    "percentile": pruners.PercentilePruner,
    "successive_halving": pruners.SuccessiveHalvingPruner,
    "hyperband": pruners.HyperbandPruner,
    "threshold": pruners.ThresholdPruner,
}
_ONE_SEQUENCE = ("qmc",)  # its points belong together: one seed for the whole study


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


def make_pruner(options: Mapping[str, Any]) -> pruners.BasePruner:
    """Return a pruner from its `name` and options; InputError where these are wrong."""
    pruner: pruners.BasePruner = _make(PRUNERS, "pruner", options)
    return pruner


def options_of(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with every plain default of that sampler or pruner written out."""
    known: Mapping[str, Callable[..., Any]] = SAMPLERS if kind == "sampler" else PRUNERS
    name = str(options.get("name"))
    if name not in known:
        return dict(options)
    defaults = {
        key: p.default
        for key, p in inspect.signature(known[name]).parameters.items()
        if isinstance(p.default, bool | int | float | str) and key != "seed"
    }
    return {"name": name} | defaults | dict(options)


def _make(known: Mapping[str, Callable[..., Any]], kind: str, options: Mapping[str, Any], **more: Any) -> Any:
    values = dict(options)
    name = str(values.pop("name", None))
    if name not in known:
        raise InputError(f"there is no {kind} '{name}'.{near(name, known)} Known: {', '.join(known)}.")
    allowed = inspect.signature(known[name]).parameters
    for key in values:
        default = allowed[key].default if key in allowed else None
        if isinstance(default, int | str) and type(values[key]) is not type(default):
            kind_of = type(default).__name__
            raise InputError(f"{kind} {name}: option '{key}' is {values[key]!r}, but it must be of type {kind_of}.")
        if key not in allowed or key == "seed":
            raise InputError(
                f"{kind} {name}: unknown option '{key}'.{near(key, allowed)} Options: {', '.join(k for k in allowed if k != 'seed')}."
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return known[name](**values, **more)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} {name}: {error}.") from None
