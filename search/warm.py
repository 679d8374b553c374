"""Warm starts: known networks and the best of earlier runs, expressed in a space's parameters and enqueued by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError
from arch.spec import Spec, load
from arch.strict import load_yaml
from search.encode import encode
from search.objectives import Objectives, best_first
from search.recipe import Recipe, load_recipe
from search.record import results, trial_folder
from search.space import Space


class Earlier(BaseModel):
    """The best `top` networks of an earlier run directory, by that run's own objectives."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run: str
    top: int = Field(1, ge=1)


@dataclass(frozen=True)
class Start:
    """A point of the space that a study tries first, by name."""

    name: str
    values: dict[str, Any]


def starts(given: Sequence[str | Earlier], space: Space, base: Spec, recipe: Recipe) -> tuple[Start, ...]:
    """Return every start in the space's parameters.

    A name is a network's, a file with a spec, or a run directory (its best one).

    Raises
    ------
    InputError
        A start is not there, or is no point of the space; names the row or key.
    """
    found: dict[str, Start] = {}
    for entry in given:
        for name, spec, target in _networks(entry, recipe):
            found.setdefault(name, Start(name, encode(space, base, recipe, spec, target, f"start {name}")))
    return tuple(found.values())


def enqueue(study: optuna.Study, given: Sequence[Start]) -> None:
    """Let a study try each start that it has not tried yet, before anything else."""
    known = {trial.user_attrs.get("start") for trial in study.get_trials(deepcopy=False)}
    for start in given:
        if start.name not in known:
            study.enqueue_trial(start.values, user_attrs={"start": start.name})


def _networks(entry: str | Earlier, recipe: Recipe) -> list[tuple[str, Spec, Recipe]]:
    """Return (name, network, recipe) of an entry; a network alone is trained by the study's recipe."""
    if isinstance(entry, Earlier):
        return _best(Path(entry.run), entry.top)
    folder = Path(entry)
    if folder.is_dir():
        return [_trained(entry, folder)] if (folder / "spec.yaml").exists() else _best(folder, 1)
    return [(entry, load(entry), recipe)]


def _best(run: Path, top: int) -> list[tuple[str, Spec, Recipe]]:
    if not (run / "study.yaml").exists():
        raise InputError(f"start {run}: no run is here; it would hold study.yaml (a study) or spec.yaml (a training).")
    objectives = Objectives(load_yaml(run / "study.yaml")["objective"])
    ended = [
        (objectives.losses(values), result["trial"])
        for result in results(run)
        if "duplicate_of" not in result and (values := objectives.values(result))
    ]
    if not ended:
        raise InputError(f"start {run}: no trial has come to its end there.")
    order = best_first([losses for losses, _ in ended])[:top]
    numbers = [ended[i][1] for i in order]
    return [_trained(f"{run} trial {number}", trial_folder(run, number)) for number in numbers]


def _trained(name: str, folder: Path) -> tuple[str, Spec, Recipe]:
    return name, load(folder / "spec.yaml"), load_recipe(folder / "recipe.yaml")
