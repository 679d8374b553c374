"""Warm starts: given networks and the best of earlier runs, as parameters of a space that a study tries first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import FixedTrial, Trial
from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError
from arch.specs.read import load
from arch.specs.spec import Spec
from search.recipes.load import load_recipe
from search.recipes.recipe import Recipe
from search.record.files import read_json
from search.record.layout import objectives_of, trial_folder
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space
from search.study.duplicates import ranked

_Found = tuple[str, Spec, Recipe, Path | None]  # a start's name, network, recipe, and the folder of its training


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
        for name, spec, target, folder in _networks(entry, recipe):
            values = _drawn_from(folder, space, base, recipe, Candidate(spec, target))
            values = values or encode(space, base, recipe, spec, target, f"start {name}")
            found.setdefault(name, Start(name, values))
    return tuple(found.values())


def _drawn_from(
    folder: Path | None, space: Space, base: Spec, recipe: Recipe, target: Candidate
) -> dict[str, Any] | None:
    """Return the parameter values of an earlier trial, where they mean the same in this space; else None."""
    if not folder or not (folder / "result.json").exists():
        return None
    values: dict[str, Any] = read_json(folder / "result.json").get("searched", {})
    try:
        found = decode(space, base, recipe, Sampled(cast(Trial, FixedTrial(values))))
    except (ValueError, KeyError):  # another space: a parameter is missing or a choice unknown
        return None
    return values if found.key == target.key else None


def enqueue(study: optuna.Study, given: Sequence[Start]) -> None:
    """Enqueue each start that the study has not tried yet, so that it comes before anything else."""
    known = {trial.user_attrs.get("start") for trial in study.get_trials(deepcopy=False)}
    for start in given:
        if start.name not in known:
            study.enqueue_trial(start.values, user_attrs={"start": start.name})


def _networks(entry: str | Earlier, recipe: Recipe) -> list[_Found]:
    """Return what an entry names; a network alone is trained by the study's recipe."""
    if isinstance(entry, Earlier):
        return _best(Path(entry.run), entry.top)
    folder = Path(entry)
    if folder.is_dir():
        return [_trained(entry, folder)] if (folder / "spec.yaml").exists() else _best(folder, 1)
    return [(entry, load(entry), recipe, None)]


def _best(run: Path, top: int) -> list[_Found]:
    if not (run / "study.yaml").exists():
        raise InputError(f"start {run}: no run is here; it would hold study.yaml (a study) or spec.yaml (a training).")
    numbers = ranked(run, objectives_of(run))[:top]
    if not numbers:
        raise InputError(f"start {run}: no trial is complete there.")
    return [_trained(f"{run} trial {number}", trial_folder(run, number)) for number in numbers]


def _trained(name: str, folder: Path) -> _Found:
    return name, load(folder / "spec.yaml"), load_recipe(folder / "recipe.yaml"), folder
