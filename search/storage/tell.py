"""What Optuna's storage gets of a trial's result; the run directory holds the complete result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from search.record.objectives import Objectives

# Few, as each attribute is a commit of the storage.
_ATTRIBUTES = ("macs", "spec_id", "duplicate_of", "reason")
_CENSORED = ("epochs", "val_accuracy", "val_loss")  # a pruned trial's last epoch is a value that it at least reached

SURROGATE = "surrogate"  # how well the sampler of that name ranked when it proposed or drew a trial

# What a trial was proposed with: the name of a start, what of which trial it repeats or continues, or the surrogate's.
ENQUEUED = ("start", "replicate_of", "continues", SURROGATE)

# Key of a result whose trial ran again because its record was missing. Such a trial has ended in Optuna, which keeps
# its first result.
REMADE = "remade"


def outcome(result: Mapping[str, Any], objectives: Objectives) -> tuple[TrialState, list[float] | None]:
    """Return the state and the values that a result has in Optuna; what is over the limit counts as pruned there."""
    values = objectives.values(result)
    if values is not None:
        return TrialState.COMPLETE, values
    return (TrialState.FAIL if result["state"] in ("failed", "complete") else TrialState.PRUNED), None


def known(trial: FrozenTrial) -> tuple[TrialState, list[float] | None]:
    """Return the state and values in Optuna; the value that it gives a pruned trial, of its last epoch, is left out."""
    return trial.state, trial.values if trial.state is TrialState.COMPLETE else None


def enqueued(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user attributes with which a recorded trial was enqueued."""
    found = {name: result[name] for name in ENQUEUED if name in result}
    return found | ({"seed": result["seed"]} if {"replicate_of", "continues"} & set(found) else {})


def attributes(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user attributes that a result has in Optuna."""
    names = _ATTRIBUTES + (_CENSORED if result["state"] == "pruned" else ())
    infeasible = {"outcome": "infeasible"} if result["state"] == "infeasible" else {}
    return {name: result[name] for name in names if result.get(name) is not None} | infeasible


def tell(study: Study, trial: Trial, result: Mapping[str, Any], objectives: Objectives) -> None:
    """Tell Optuna how a trial ended."""
    for name, value in attributes(result).items():
        trial.set_user_attr(name, value)
    state, values = outcome(result, objectives)
    study.tell(trial.number, values, state)
