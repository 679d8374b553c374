"""The trials of a study: from a proposal to a training or an answer, and from a result to what Optuna is told."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from optuna import Study
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState

from arch.analysis.cost import cost
from arch.specs.write import to_mapping, to_yaml
from search.engines.task import Task
from search.progress import Silent
from search.record.files import read_json, read_lines, write_sealed, write_text, write_yaml
from search.record.layout import BASE, results, trial_folder, write_result
from search.record.objectives import Objectives
from search.space.candidates import Candidate, decode, enumerate_space
from search.space.choosers import Sampled
from search.storage.recover import CENSORED, TOLD
from search.study.config import Plan
from search.study.create import Opened
from search.study.duplicates import Answers, key_of, words
from search.study.proposer import MOST_ENUMERATED, Proposer
from search.study.repeated import Repeated
from search.study.rungs import Rungs
from search.study.warm_start import enqueue


@dataclass
class Training:
    """A training begun or queued: its Optuna trial (None for the base), cost, and how often it was started."""

    task: Task
    trial: Trial | Repeated | None
    macs: int
    reported: set[int] = field(default_factory=set)
    attempts: int = 1


class Trials:
    """Every trial of a study, from its proposal to its end.

    Attributes
    ----------
    queue : trainings that wait for a slot.
    begun : trainings under way or in the queue.
    finished : how many trials count as finished, in all.
    failures_in_a_row : how many of the last trainings failed for the same reason; `failure` is the last one's.
    """

    def __init__(self, plan: Plan, opened: Opened, run: Path, show: Silent) -> None:
        self.plan, self.config, self.run, self.show = plan, plan.config, run, show
        self.study, self.rungs, self.since = opened.study, opened.rungs, opened.since
        self.objectives = Objectives(self.config.objective)
        self.base = Candidate(plan.base, plan.recipe)
        self.answers = Answers(run, self.objectives, self.config.keep_weights, opened.since)
        self.queue: deque[str] = deque()
        self.begun: dict[str, Training] = {}
        self.infeasible_in_a_row = 0
        self.failures_in_a_row, self.failure = 0, ""
        self._waiting: dict[str, list[Trial | Repeated]] = {}  # duplicates of a candidate that is being trained
        self._open: set[int] = set()  # asked for and not told yet
        path = run / "distributions.json"
        self._distributions: dict[str, str] = read_json(path) if path.exists() else _drawn(self.study)
        for result in results(run):
            self.answers.remember(result)
            if result["trial"] >= opened.since and "duplicate_of" not in result:
                self._note_epochs(key_of(result["trial"]), result.get("macs", 0))
        enqueue(self.study, plan.starts)
        trials = self.study.get_trials(deepcopy=False)
        self.finished, self.asked = sum(_counts(trial) for trial in trials), len(trials)
        self.proposer = Proposer(self.config, plan.base, plan.recipe, self.study)

    @property
    def missing(self) -> int:
        """How many trials are still to be asked for."""
        return self.config.trials - self.finished - len(self._open)

    def resume(self) -> None:
        """Begin with the base network, and take up what an earlier driver had asked for."""
        self.answers.known.setdefault(self.base.key, BASE)
        self._note_epochs(BASE, self.base.macs)
        if not (self.run / BASE / "result.json").exists():
            about = {"trial": BASE, "key": self.base.key, **self.objectives.of_network(self.base.spec)}
            self._enqueue(BASE, Training(self._task(BASE, self.base, about), None, self.base.macs))
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state is TrialState.RUNNING:
                self._adopt(frozen)
            elif frozen.state.is_finished() and frozen.number >= self.since and not self._has_record(frozen):
                self._repeat(frozen)

    def propose(self) -> None:
        """Ask for one more trial."""
        self._consider(self.proposer.ask(self.answers.tried))

    def candidates(self) -> set[str] | None:
        """Return the keys of all candidates that may be trained, where these can be counted off."""
        found = enumerate_space(self.config.space, self.plan.base, self.plan.recipe, MOST_ENUMERATED)
        return None if found is None else {candidate.key for candidate in found if not self._why_not(candidate)}

    def _note_epochs(self, key: str, macs: int) -> None:
        """Let the rungs know of the epochs that are recorded already."""
        if self.rungs:
            for metrics in read_lines(self.answers.folder(key) / "metrics.jsonl"):
                self._note(self.rungs, key, macs, metrics)

    def _note(self, rungs: Rungs, key: str, macs: int, metrics: Mapping[str, Any]) -> None:
        value = float(metrics[self.objectives.judged if rungs.by == "objective" else rungs.by])
        less_is_better = rungs.by == "objective" and self.objectives.minimise
        rungs.note(key, macs, metrics["epoch"], value if less_is_better else -value)

    def _adopt(self, frozen: FrozenTrial) -> None:
        """Take up a trial that an earlier driver had asked for."""
        if lost := self.proposer.loses(frozen):
            self.show.note(lost)
        trial = self.proposer.adopt(frozen, self.answers.tried)
        path = trial_folder(self.run, frozen.number) / "result.json"
        if path.exists():
            self._tell(trial, read_json(path))
        else:
            self._consider(trial, set(frozen.intermediate_values))

    def _has_record(self, frozen: FrozenTrial) -> bool:
        return (trial_folder(self.run, frozen.number) / "result.json").exists()

    def _repeat(self, frozen: FrozenTrial) -> None:
        """Make the record of a trial anew that Optuna knows the end of: its folder was damaged or removed."""
        self.show.note(f"{key_of(frozen.number)}: ended before, and its record is lost; it is made anew")
        self._consider(Repeated(frozen), set(frozen.intermediate_values))

    def _consider(self, trial: Trial | Repeated, reported: Collection[int] = ()) -> None:
        self._open.add(trial.number)
        candidate = decode(self.config.space, self.plan.base, self.plan.recipe, Sampled(cast(Trial, trial)))
        key = key_of(trial.number)
        about = {"trial": trial.number, "key": candidate.key, "searched": trial.params} | _start_of(trial)
        about |= self.objectives.of_network(candidate.spec)
        self._note_distributions(trial)
        if reason := self._infeasible(trial, candidate):
            self.infeasible_in_a_row += 1
            self._record(trial, candidate, about | {"state": "infeasible", "reason": reason})
            return
        self.infeasible_in_a_row = 0
        self.answers.tried.add(candidate.key)
        answered_by = self.answers.known.get(candidate.key)
        if answered_by == key or answered_by is None:
            self.answers.known[candidate.key] = key
            task = self._task(key, candidate, about)
            self._enqueue(key, Training(task, trial, candidate.macs, set(reported)))
            self._note_epochs(key, candidate.macs)
        elif answered_by in self.begun:
            self._waiting.setdefault(answered_by, []).append(trial)
        else:
            self._answer(trial, candidate, answered_by)

    def _infeasible(self, trial: Trial | Repeated, candidate: Candidate) -> str | None:
        """Return why a candidate is not trained, or None; Optuna hears of it as a constraint."""
        if self.config.max_macs and "macs" not in trial.constraints:
            trial.set_constraint("macs", self.over(candidate))
        reason = self._why_not(candidate)
        if reason and "space" not in trial.constraints and self.over(candidate) <= 0:
            trial.set_constraint("space", candidate.violation)
        return reason

    def _why_not(self, candidate: Candidate) -> str | None:
        if self.over(candidate) > 0:
            return f"{candidate.macs:,} MACs are over {self.config.max_macs:,}"
        return candidate.infeasible or None

    def over(self, candidate: Candidate) -> float:
        """Return by what part of the limit a candidate is over it; 0 or less is feasible."""
        return candidate.macs / self.config.max_macs - 1 if self.config.max_macs else 0.0

    def _note_distributions(self, trial: Trial | Repeated) -> None:
        """Keep each searched parameter's range with the run, for those who read it without the storage."""
        known = self._distributions | {name: distribution_to_json(d) for name, d in trial.distributions.items()}
        if known != self._distributions:
            self._distributions = known
            write_sealed(self.run / "distributions.json", known)

    def _answer(self, trial: Trial | Repeated, candidate: Candidate, answered_by: str) -> None:
        """Answer a duplicate from the record."""
        original = read_json(self.answers.folder(answered_by) / "result.json")
        original.pop("start", None)
        about = {"trial": trial.number, "key": candidate.key, "searched": trial.params} | _start_of(trial)
        self._record(trial, candidate, original | about | {"duplicate_of": original["trial"]})

    def _record(self, trial: Trial | Repeated, candidate: Candidate, result: dict[str, Any]) -> None:
        """Write the folder of a trial that needs no training, and tell it."""
        folder = trial_folder(self.run, trial.number)
        write_text(folder / "spec.yaml", to_yaml(candidate.spec))
        write_yaml(folder / "recipe.yaml", candidate.recipe.model_dump())
        costs = cost(candidate.spec)
        figures = {
            "params": costs.params,
            "aux_params": costs.aux_params,
            "macs": costs.macs,
            "aux_macs": costs.aux_macs,
        }
        write_result(folder, figures | {"spec_id": candidate.spec.id, "recipe_id": candidate.recipe.id} | result)
        self._tell(trial, read_json(folder / "result.json"))

    def _task(self, key: str, candidate: Candidate, about: Mapping[str, Any]) -> Task:
        return Task(
            folder=str(self.answers.folder(key)),
            spec=to_mapping(candidate.spec),
            recipe=candidate.recipe.model_dump(),
            data=self.config.data.model_dump(),
            seed=self.config.seed,
            device=self.config.engine.device,
            execution=self.config.engine.execution,
            measured=self.objectives.measured,
            about=about,
        )

    def _enqueue(self, key: str, training: Training) -> None:
        self.begun[key] = training
        self.queue.append(key)

    def goes_on(self, key: str, training: Training, metrics: Mapping[str, Any]) -> bool:
        """Take note of an epoch; return whether the training goes on. The base always does."""
        if isinstance(training.trial, Repeated):
            return metrics["epoch"] >= metrics["epochs"] or not training.trial.ended_at(metrics["epoch"])
        trial, epoch, last = training.trial, metrics["epoch"], metrics["epoch"] >= metrics["epochs"]
        alone = len(self.objectives) == 1  # Trial.report refuses several objectives
        if trial and alone and epoch not in training.reported:
            trial.report(metrics[self.objectives.judged], epoch)
            training.reported.add(epoch)  # one whose worker died tells its epochs again
        if self.rungs:
            self._note(self.rungs, key, training.macs, metrics)
            return last or trial is None or not self.rungs.prunes(key, epoch)
        return last or trial is None or not (alone and trial.should_prune())

    def ended(self, key: str, training: Training) -> None:
        """Take note of a training's end, and of those that waited for it."""
        result = read_json(self.answers.folder(key) / "result.json")
        self._count_failure(result.get("reason", "") if result["state"] == "failed" else "")
        if training.trial:
            self._tell(training.trial, result)
        else:
            self.show.finished(key, words(result, self.objectives), self.finished, result)
        for duplicate in self._waiting.pop(key, []):
            self._consider(duplicate)

    def _count_failure(self, reason: str) -> None:
        alike = reason and _kind(reason) == _kind(self.failure)
        self.failures_in_a_row = self.failures_in_a_row + 1 if alike else int(bool(reason))
        self.failure = reason

    def _tell(self, trial: Trial | Repeated, result: dict[str, Any]) -> None:
        """Tell Optuna how a trial ended; a pruned one keeps its epochs and last values, as far as it came."""
        self.answers.remember(result)
        self._open.discard(trial.number)
        if isinstance(trial, Repeated):
            self.show.note(f"{key_of(trial.number)}: {trial.beside(result, self.objectives)}")
            return
        for name in TOLD if result["state"] != "pruned" else TOLD + CENSORED:
            if result.get(name) is not None:
                trial.set_user_attr(name, result[name])
        if result["state"] == "infeasible":  # pruned, as Optuna sees it
            trial.set_user_attr("outcome", result["state"])
        values = self.objectives.values(result)
        if values is not None:
            self.study.tell(trial.number, values)
        else:
            failed = result["state"] in ("failed", "complete")
            self.study.tell(trial.number, state=TrialState.FAIL if failed else TrialState.PRUNED)
        if result["state"] == "infeasible":
            self.show.rejected(key_of(trial.number), result["reason"])
        else:
            self.finished += 1
            self.show.finished(key_of(trial.number), words(result, self.objectives), self.finished, result)


def _kind(reason: str) -> str:
    """Return what failures for the same reason have in common: it without its numbers, and every divergence is one."""
    return "diverged" if reason.startswith("diverged") else re.sub(r"[-+.\d]*\d", "#", reason)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and trial.user_attrs.get("outcome") != "infeasible"


def _drawn(study: Study) -> dict[str, str]:
    """Return the range of each parameter that some trial was drawn from."""
    trials = study.get_trials(deepcopy=False)
    return {name: distribution_to_json(d) for trial in trials for name, d in trial.distributions.items()}


def _start_of(trial: Trial | Repeated) -> dict[str, Any]:
    """Return what a trial was started from, where it was enqueued by name."""
    return {"start": trial.user_attrs["start"]} if "start" in trial.user_attrs else {}
