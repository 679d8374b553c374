"""Confirmation: train a study's best networks and its base with fresh seeds, and judge them on the test set.

runs/<study>/confirm/ is a comparison of `base` and `trial-5`, ...; the plan holds what the search had seen of each, and
of a race also what it expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from arch.errors import InputError
from arch.specs.read import load
from search.comparison.plan import carry_out, grown, make_plan
from search.data.batches import mix
from search.data.dataset import load_data
from search.engines.supervisor import TaskResults
from search.progress import Silent
from search.recipes.load import load_recipe
from search.recipes.recipe import APART, Recipe
from search.record.differences import differing
from search.record.files import read_json, read_yaml
from search.record.layout import (
    BASE,
    PILOT,
    RESULT,
    allowed_changes,
    comparable_since,
    objectives_of,
    trial_folder,
)
from search.record.lock import locked
from search.space.candidates import Candidate
from search.statistics.standing import standing
from search.study.config import StudyConfig, load_study
from search.study.duplicates import ranked
from search.study.prepare import resolved
from search.training.checks import check_fit
from search.training.hardware import cores
from search.training.tensorboard import check_events

_SEEDS_FROM = -1  # the stream of seeds that confirmations draw from, apart from those of a search


@dataclass(frozen=True)
class Contender:
    """A network to confirm: its name here, its score in the search (held-out accuracy, epochs, images), and its
    expected gain over the base where there is one.
    """

    name: str
    candidate: Candidate
    searched: Mapping[str, Any]


@dataclass(frozen=True)
class _Study:
    """A finished or running study, as its run directory holds it."""

    run: Path
    config: StudyConfig
    recipe: Recipe

    @classmethod
    def at(cls, run: Path) -> _Study:
        if not (run / "study.yaml").exists() or not (run / "trials").is_dir():
            raise InputError(f"{run}: no study with trials is here; `inceptory search` makes one.")
        config = load_study(read_yaml(run / "study.yaml"))
        return cls(run, config, load_recipe(config.recipe))

    def contender(self, name: str, folder: Path, varied: Recipe) -> Contender:
        """Return the network in a training's folder, with the recipe `varied` changed by its own searched values."""
        if not (folder / "result.json").exists():
            raise InputError(f"{folder}: is not finished, so it has no score to confirm; resume the search.")
        result = read_json(folder / "result.json")
        if result["trial"] != BASE and result["trial"] < comparable_since(allowed_changes(self.run)):
            raise InputError(
                f"{folder}: was trained before the study's recipe, seed or data changed (changes.jsonl), so its score "
                "says nothing next to later ones; name a later trial."
            )
        if "duplicate_of" in result:
            raise InputError(f"{folder}: is the same as trial {result['duplicate_of']}; name that one.")
        if result["state"] != "complete" or result.get("val_accuracy") is None:
            raise InputError(
                f"{folder}: ended as {result['state']}, so it has no score to confirm; name another trial."
            )
        kept = ("val_accuracy", "epochs", "train_images", "val_images", "seed", "macs", "params")
        searched = {"run": self.run.name, "trial": result["trial"], **{key: result.get(key) for key in kept}}
        searched |= self._predicted(result["key"])
        recipe = load_recipe(varied, self._searched_values(folder))
        return Contender(name, Candidate(load(folder / "spec.yaml"), recipe), searched)

    def _searched_values(self, folder: Path) -> dict[str, Any]:
        """Return the values in which a trial's recipe differs from its study's."""
        own = load_recipe(folder / "recipe.yaml")
        return {key: getattr(own, key) for key in own.differing(self.recipe)}

    def _predicted(self, key: str) -> dict[str, Any]:
        """Return what the search expects of a candidate: its gain over the base, with interval and chance."""
        stand = standing(self.run)
        if stand is None or key not in stand.effects.candidates:
            return {}
        effect = stand.effects.of(key)
        return {
            "trainings": effect.trainings,
            "score": stand.score,
            "expected": effect.gain,
            "interval": list(effect.interval),
            "chance": effect.chance,
        }

    def ranked(self) -> list[int]:
        """Return the candidates by their first completed trials, best first."""
        return ranked(self.run, objectives_of(self.run))

    def seeds(self) -> list[int]:
        """Return the seeds that the search, its race and its pilot trained with; the study's own first."""
        paths = (path for where in (BASE, "trials/*", f"{PILOT}/*/*") for path in self.run.glob(f"{where}/{RESULT}"))
        trained = {result["seed"] for path in paths if "seed" in (result := read_json(path))}
        return [self.config.seed, *sorted(trained - {self.config.seed})]

    def searches(self) -> set[str]:
        """Return the recipe's keys that the space varies."""
        space = self.config.space
        values = space.get("recipe")
        return set(values.root if values else ()) | ({"aux_weight"} if space.get("aux_weight") else set())


def fresh_seeds(amount: int, taken: Sequence[int]) -> list[int]:
    """Return so many seeds that follow from the study's (the first of `taken`), none of them taken.

    More of them begin with the same ones.
    """
    drawn = (mix(taken[0], _SEEDS_FROM, index) % 2**31 for index in count())
    enough = islice(drawn, amount + len(taken) + 100)
    return list(islice(dict.fromkeys(seed for seed in enough if seed not in taken), amount))


def confirm_study(
    run: str | Path,
    *,
    top: int = 3,
    trials: Sequence[int] = (),
    others: Sequence[tuple[str | Path, int]] = (),
    seeds: int | Sequence[int] = 6,
    recipe: str | Path | Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    workers: int = 0,
    show: Silent | None = None,
) -> TaskResults:
    """Train a study's best networks and its base from scratch on all training images, and open the test set for each.

    Every network is trained once with each seed, the same seeds for all, so that they can be compared in pairs.
    The test set is opened once a training, at its last epoch. Everything lies in `confirm/` of the run
    directory; called again, it resumes, and trains nothing twice. With more seeds or networks the plan
    grows, which it records: a comparison that was looked at before it grew is no longer a test at its level.

    Parameters
    ----------
    top : so many of the best trials, unless `trials` names them.
    others : trials of other studies of the same data, as (run directory, number), to compare with the same base.
    seeds : how many fresh ones, or which; never one that a search, its race or its pilot trained with.
    recipe : another recipe than the study's. What the search varied stays the candidate's own.
    changes : values of the recipe to change for all, such as epochs.
    workers : trainings side by side; 0: as in the study.

    Raises
    ------
    InputError
        There is no such study or trial, a seed was searched with, or `confirm/` holds another confirmation.
    """
    study, rivals = _Study.at(Path(run)), [(_Study.at(Path(folder)), number) for folder, number in others]
    common = _common_recipe(study, [rival for rival, _ in rivals], recipe, changes or {})
    contenders = _contenders(study, list(trials) or study.ranked()[:top], rivals, common)
    drawn = _seeds(seeds, [seed for searched in (study, *(rival for rival, _ in rivals)) for seed in searched.seeds()])
    config = resolved(_with_workers(study.config, workers), study.recipe)
    data = load_data(config.data)
    check_events(common)
    for contender in contenders:
        check_fit(contender.candidate.spec, data, contender.candidate.recipe)
    folder = study.run / "confirm"
    networks = {c.name: (c.candidate, {"searched": dict(c.searched)}) for c in contenders}
    new = make_plan(networks, drawn, common.model_dump(), data, config.data, config.engine)
    with locked(folder, "this confirmation") as held:
        plan = grown(folder, new, "confirmation")
        return carry_out(held, f"{config.name}, confirmation", "confirmed", plan, config.engine, show or Silent())


def _common_recipe(
    study: _Study,
    rivals: Sequence[_Study],
    recipe: str | Path | Mapping[str, Any] | None,
    changes: Mapping[str, Any],
) -> Recipe:
    """Return the recipe that all networks are trained by, apart from what a search varied."""
    for rival in rivals:
        if rival.config.data != study.config.data:
            raise InputError(f"{rival.run}: was searched on other data than {study.run}; confirm it by itself.")
        differences = list(differing(_values(study.recipe), _values(rival.recipe)))
        if differences and recipe is None:
            raise InputError(
                f"{rival.run}: has another recipe than {study.run} ({'; '.join(differences)}); "
                "give --recipe, so that all networks are trained alike."
            )
    for key in changes:
        for varying in (study, *rivals):
            if key in varying.searches():
                raise InputError(
                    f"--set recipe.{key}: the search of {varying.run} varied it; its values stay as found."
                )
    return load_recipe(study.recipe if recipe is None else recipe, changes)


def _values(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude=set(APART))


def _contenders(
    study: _Study, trials: Sequence[int], rivals: Sequence[tuple[_Study, int]], common: Recipe
) -> list[Contender]:
    """Return the base and the networks to confirm; InputError where two are the same."""
    if not trials and not rivals:
        raise InputError(f"{study.run}: no trial is complete yet, so there is nothing to confirm.")
    found = [study.contender(BASE, study.run / BASE, common)]
    for owner, number in [*((study, number) for number in trials), *rivals]:
        name = f"trial-{number}" if owner is study else f"{owner.run.resolve().name}-trial-{number}"
        contender = owner.contender(name, trial_folder(owner.run, number), common)
        for other in found:
            if other.name == name or other.candidate.key == contender.candidate.key:
                raise InputError(
                    f"{owner.run}, trial {number}: is the same network and recipe as {other.name}; leave it out."
                )
        found.append(contender)
    return found


def _seeds(seeds: int | Sequence[int], searched_with: Sequence[int]) -> list[int]:
    if isinstance(seeds, int):
        if seeds < 1:
            raise InputError(
                f"--seeds is {seeds}, but a confirmation has at least one; 6 are the fewest for a verdict."
            )
        return fresh_seeds(seeds, searched_with)
    if len(set(seeds)) < len(seeds) or not seeds:
        raise InputError(f"--seeds is {', '.join(map(str, seeds)) or 'empty'}, but each seed is named once.")
    for seed in seeds:
        if seed in searched_with or not 0 <= seed < 2**31:
            why = "a search was run with it" if seed in searched_with else "a seed is at least 0 and below 2147483648"
            raise InputError(f"--seeds: {seed} cannot confirm anything: {why}; choose another one.")
    return list(seeds)


def _with_workers(config: StudyConfig, workers: int) -> StudyConfig:
    """Return the study with so many trainings side by side, each with the study's threads or what the cores allow."""
    engine = config.engine.model_copy(update={"name": "auto"})  # here, wherever the study ran
    if workers:
        threads = min(engine.threads, max(1, len(cores()) // workers))
        engine = engine.model_copy(update={"workers": workers, "threads": threads})
    return config.model_copy(update={"engine": engine})
