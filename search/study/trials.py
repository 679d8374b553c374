"""The trials of a study: each is trained, copied from a duplicate, or over the limit; Optuna gets the result."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

from arch.specs.write import to_mapping, to_yaml
from search.engines.task import Task, costs_of
from search.progress import Silent
from search.record.files import read_json, write_text, write_yaml
from search.record.layout import BASE, RESULT, results, trial_folder, write_result
from search.record.objectives import Objectives
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.feasible import Limit
from search.statistics.standing import chosen_score
from search.storage.distributions import Distributions
from search.storage.tell import ENQUEUED, REMADE, known, outcome, tell
from search.study.config import Plan
from search.study.create import Opened
from search.study.duplicates import TrainedCandidates, key_of, words
from search.study.proposer import Proposer
from search.study.pruning import Pruning, StudyTrial
from search.study.race.budget import Spending
from search.study.race.paused import clear_checkpoints, epochs_recorded, take_checkpoint
from search.study.race.piloted import pilot_starts, pilot_trainings, take_over
from search.study.race.policy import Race, Step, data_for
from search.study.warm_start import enqueue


@dataclass(frozen=True)
class Training:
    """A training that waits or runs: its name, its task and the trial that it belongs to."""

    key: str
    task: Task
    trial: StudyTrial
    macs: int


class Trials:
    """Every trial of a study, from its proposal to its end.

    Attributes
    ----------
    waiting : trainings that wait for a slot.
    finished : how many trials count as finished, in all.
    """

    def __init__(self, plan: Plan, opened: Opened, run: Path, show: Silent) -> None:
        self.plan, self.config, self.run, self.show = plan, plan.config, run, show
        self.study, self.since = opened.study, opened.since
        self.objectives, self.limit = Objectives(self.config.objective), Limit(self.config.max_macs)
        self.base = Candidate(plan.base, plan.recipe)
        keep, races = self.config.keep_weights, self.config.race is not None
        self.trained = TrainedCandidates(run, self.objectives, keep, opened.since, races)
        self.pruning = Pruning(self.objectives, opened.rungs)
        self.distributions = Distributions(run, self.study)
        self.waiting: deque[Training] = deque()
        self._unfinished: dict[str, Training] = {}  # waiting ones too
        self._duplicates: dict[str, list[Trial | FrozenTrial]] = {}  # of a training that has not ended, by its key
        self._open: set[int] = set()  # trials that have not ended in Optuna
        self.piloted = pilot_trainings(run)
        enqueue(self.study, (*pilot_starts(run, plan.recipe.epochs), *plan.starts))
        trials = self.study.get_trials(deepcopy=False)
        self.finished, self.created = sum(_counts(trial) for trial in trials), len(trials)
        self.proposer = Proposer(self.config, plan.base, plan.recipe, self.study)
        self.spending = Spending(self.config.budget, run, self.config.engine.threads)
        self.race = make_race(plan, self.base.key, lambda trial, epoch: self.pruning.pauses(key_of(trial), epoch))

    @property
    def missing(self) -> float:
        """How many trials may still be proposed; infinite where only a budget ends the study."""
        if not self.spending.allows(self.plan.recipe.epochs):
            return 0
        return self.config.trials - self.finished - len(self._open) if self.config.trials else math.inf

    @property
    def hopeless(self) -> bool:
        """Whether the race ends early, as no candidate gains enough."""
        spent = self.finished / self.config.trials if self.config.trials else self.spending.part
        return self.race is not None and self.race.hopeless(spent)

    @property
    def progress(self) -> tuple[str, int, int]:
        """The study's title, its total and what is done: trials, or the budget's unit where only that ends it."""
        if self.config.trials:
            return self.config.name, self.config.trials, self.finished
        spent = self.spending.spent
        return f"{self.config.name}, {spent.unit}", spent.total, spent.done

    def resume(self) -> None:
        """Queue the base network, and resume the trials of an earlier start."""
        # Finished trials first: what follows may be their duplicates, or be compared with them on rungs.
        for result in results(self.run):
            self._remember(result)
            if "continues" in result:
                self.pruning.follow(key_of(result["trial"]), key_of(result["continues"]), result["epochs"])
            # Optuna's pruners have it in the storage. A candidate stands once on a rung, whatever repeats it.
            if self.pruning.rungs and not {"duplicate_of", "replicate_of"} & set(result):
                self._recall(result["trial"], result.get("macs", 0))
        self.trained.answers(self.base.key, self.config.seed, BASE)
        if not (self.run / BASE / RESULT).exists():
            self._begin_base()
        self.pruning.recall(BASE, self.run / BASE, self.base.macs)
        if (self.run / BASE / RESULT).exists():
            self._remember(read_json(self.run / BASE / RESULT))
        if self.race:
            for folder in self.piloted.values():
                self.race.ended(read_json(folder / RESULT))
        # Then trials that were running, and finished ones whose record is missing.
        for frozen in self.study.get_trials(deepcopy=False):
            recorded = (trial_folder(self.run, frozen.number) / RESULT).exists()
            self.pruning.resume(key_of(frozen.number), frozen.intermediate_values)
            if frozen.state is TrialState.RUNNING:
                self._resume_trial(frozen, recorded)
            elif frozen.state.is_finished() and frozen.number >= self.since and not recorded:
                self.show.note(f"{key_of(frozen.number)}: its record is missing; the trial runs again")
                self._consider(frozen)

    def propose(self, exhausted: bool = False) -> bool:
        """Propose one more trial; return whether it may be trained. `exhausted`: no candidate is left that is new."""
        if self.race and not self.proposer.waiting:
            self._take(self.race.step(self.proposer.created, exhausted))
        return self._consider(self.proposer.ask(self.trained.tried))

    def _take(self, step: Step) -> None:
        """Enqueue the next step of the race."""
        assert self.race
        if step.kind == "candidate":
            drawn = self.proposer.drawn(self.race.view(self.study), self.trained.tried)
            self.proposer.enqueue(drawn.params, drawn.user_attrs)
            return
        attribute = "continues" if step.kind == "rest" else "replicate_of"
        self.proposer.enqueue(self.proposer.params_of(step.of), {attribute: step.of, "seed": step.seed})

    def continues(self, key: str, metrics: Mapping[str, Any]) -> bool:
        """Record an epoch; return whether the training continues."""
        training = self._unfinished[key]
        self.spending.epoch(key, metrics)
        return self.pruning.continues(key, training.trial, training.macs, metrics)

    def ended(self, key: str) -> dict[str, Any]:
        """Record a training's end, and that of its duplicates, which waited for it; return its result."""
        training, result = self._unfinished.pop(key), read_json(self.trained.folder(key) / RESULT)
        self.spending.ended(key)
        if training.trial:
            self._tell(training.trial, result)
        else:
            self._remember(result)
            self.show.finished(key, words(result, self.objectives), self.progress[-1], result)
        for duplicate in self._duplicates.pop(key, []):
            self._consider(duplicate)
        if self.race:
            self.trained.keep_leaders()
        return result

    def _remember(self, result: Mapping[str, Any]) -> None:
        """Take over the result of the base network or a trial."""
        self.trained.remember(result)
        if not self.race:
            return
        if result["state"] == "infeasible":
            self.race.refused(result)
            return
        if result["trial"] == BASE:
            self.race.ended(result)
        elif result["trial"] >= self.since:
            self.race.begun(result["trial"], result["key"], result["seed"], result.get("continues"))
            self.race.ended(result)

    def _recall(self, number: int, macs: int) -> None:
        if number >= self.since:  # before, another recipe was trained
            self.pruning.recall(key_of(number), trial_folder(self.run, number), macs)

    def _begin_base(self) -> None:
        """Queue the base network's training, or take it over from the pilot."""
        about = {"trial": BASE, "key": self.base.key, **self.objectives.of_network(self.base.spec)}
        if source := self.piloted.get((self.base.key, self.config.seed)):
            take_over(source, self.run / BASE, about)
            return
        self._queue(Training(BASE, self._task(BASE, self.base, about, self.config.seed), None, self.base.macs))

    def _resume_trial(self, frozen: FrozenTrial, recorded: bool) -> None:
        """Resume a trial of an earlier start."""
        if note := self.proposer.not_restorable(frozen):
            self.show.note(note)
        trial = self.proposer.resume(frozen, self.trained.tried)
        if recorded:
            self._tell(trial, read_json(trial_folder(self.run, frozen.number) / RESULT))
            return
        self._consider(trial)

    def _consider(self, trial: Trial | FrozenTrial) -> bool:
        """Queue a trial's training, or copy its result from a duplicate; return whether it may be trained."""
        key, candidate = key_of(trial.number), self._candidate_of(trial)
        about = {"trial": trial.number, "key": candidate.key, "searched": trial.params} | _more_about(trial)
        about |= self.objectives.of_network(candidate.spec)
        control = trial.user_attrs.get("replicate_of") == BASE  # trained over the limit too, as the base always is
        if not control and (reason := self.limit.why_not(candidate)):
            self._record(trial, candidate, about | {"state": "infeasible", "reason": reason})
            return False
        self.trained.tried.add(candidate.key)
        seed, paused = trial.user_attrs.get("seed", self.config.seed), trial.user_attrs.get("continues")
        if self.race:
            self.race.begun(trial.number, candidate.key, seed, paused)
        # The first trial of a candidate and seed trains it. A later one is a duplicate: it waits for that training to
        # end, or copies its result at once. The rest of a paused training is none.
        training_key = self.trained.answers(candidate.key, seed, key, again=paused is not None)
        if training_key == key and paused is None and (source := self.piloted.get((candidate.key, seed))):
            take_over(source, trial_folder(self.run, trial.number), about)
            if "replicate_of" not in about:
                self._recall(trial.number, candidate.macs)
            self._tell(trial, read_json(trial_folder(self.run, trial.number) / RESULT))
        elif training_key == key:
            if paused is not None:
                epochs = take_checkpoint(self.trained.folder(key), trial_folder(self.run, paused))
                self.pruning.follow(key, key_of(paused), epochs)
            self._recall(trial.number, candidate.macs)
            self._queue(Training(key, self._task(key, candidate, about, seed), trial, candidate.macs))
        elif training_key in self._unfinished:
            self._duplicates.setdefault(training_key, []).append(trial)
        else:
            self._record(trial, candidate, self.trained.result_for_duplicate(training_key) | about)
        return True

    def _candidate_of(self, trial: Trial | FrozenTrial) -> Candidate:
        """Return a trial's candidate; report to Optuna whether it is over the limit, unless the trial has ended."""
        drawing = trial if isinstance(trial, Trial) else FixedTrial(trial.params)
        if trial.user_attrs.get("replicate_of") == BASE and not self.proposer.params_of(BASE):
            candidate = self.base
        else:
            candidate = decode(self.config.space, self.plan.base, self.plan.recipe, Sampled(drawing))
        self.distributions.note(trial.distributions)
        if isinstance(trial, Trial):
            self._open.add(trial.number)
            for name, value in self.limit.constraints(candidate).items():
                if name not in trial.constraints:  # else an earlier start has set it
                    trial.set_constraint(name, value)
        return candidate

    def _queue(self, training: Training) -> None:
        done = epochs_recorded(self.trained.folder(training.key))
        self.spending.promise(training.key, done, training.task.recipe["epochs"])
        self._unfinished[training.key] = training
        self.waiting.append(training)

    def _task(self, key: str, candidate: Candidate, about: Mapping[str, Any], seed: int) -> Task:
        return Task(
            folder=str(self.trained.folder(key)),
            spec=to_mapping(candidate.spec),
            recipe=candidate.recipe.model_dump(),
            data=data_for(self.config.race, self.config.data, self.config.seed, seed).model_dump(),
            seed=seed,
            pauses=self.race is not None and self.pruning.rungs is not None,
            device=self.config.engine.device,
            execution=self.config.engine.execution,
            measured=self.objectives.measured,
            proxies=tuple(self.config.proxies),
            about=about,
        )

    def _record(self, trial: Trial | FrozenTrial, candidate: Candidate, result: dict[str, Any]) -> None:
        """Write the folder of a trial that needs no training, and report how it ended."""
        folder, spec, recipe = trial_folder(self.run, trial.number), candidate.spec, candidate.recipe
        write_text(folder / "spec.yaml", to_yaml(spec))
        write_yaml(folder / "recipe.yaml", recipe.model_dump())
        write_result(folder, {**costs_of(spec), "spec_id": spec.id, "recipe_id": recipe.id, **result})
        self._tell(trial, read_json(folder / RESULT))

    def _tell(self, trial: Trial | FrozenTrial, result: Mapping[str, Any]) -> None:
        """Count a trial that has ended, report it to Optuna where it is still open there, and show it."""
        self._remember(result)
        key, paused = key_of(trial.number), trial.user_attrs.get("continues")
        if self.race:
            earlier = None if paused is None else trial_folder(self.run, paused)
            clear_checkpoints(trial_folder(self.run, trial.number), result["state"], earlier)
        if isinstance(trial, FrozenTrial):
            if (now := outcome(result, self.objectives)) != (before := known(trial)):
                self.show.note(
                    f"{key}: was {before[0].name} {before[1]}, as the storage says, and is {now[0].name} {now[1]}"
                )
        else:
            tell(self.study, trial, result, self.objectives)
            self._open.discard(trial.number)
            self.finished += result["state"] != "infeasible"
        if result["state"] == "infeasible":
            self.show.rejected(key, result["reason"])
        else:
            self.show.finished(key, words(result, self.objectives), self.progress[-1], result)


def make_race(plan: Plan, base: str, pauses: Callable[[int, int], bool]) -> Race | None:
    """Return the race that a study configures, or None."""
    config = plan.config
    if not config.race:
        return None
    values = config.space.get("recipe")
    varied = list(values.root) if values else []
    epochs = None if "epochs" in varied else plan.recipe.epochs
    return Race(config.race, config.seed, base, epochs, chosen_score(config.race.score, varied), pauses)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and trial.user_attrs.get("outcome") != "infeasible"


def _more_about(trial: Trial | FrozenTrial) -> dict[str, Any]:
    """Return what a trial was enqueued with, and whether it runs again."""
    given = {name: trial.user_attrs[name] for name in ENQUEUED if name in trial.user_attrs}
    return given | ({REMADE: True} if isinstance(trial, FrozenTrial) else {})
