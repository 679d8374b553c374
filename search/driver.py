"""The driver of a study: asks Optuna, sends trainings to an engine, tells Optuna what came of them."""

from __future__ import annotations

import bisect
import fcntl
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState

from arch.cost import cost
from arch.errors import InputError
from arch.spec import Spec, to_mapping, to_yaml
from search.data import Data
from search.engine import Engine, Event, make_engine
from search.interrupt import caught
from search.order import mix
from search.progress import Silent
from search.recipe import Recipe
from search.record import (
    append_line,
    differing,
    environment,
    read_json,
    results,
    trial_folder,
    write_json,
    write_text,
    write_yaml,
)
from search.samplers import make_pruner, make_sampler
from search.space import Candidate, Sampled, decode, enumerate_space
from search.storage import open_storage, shown
from search.trial import Task

if TYPE_CHECKING:
    from search.study import StudyConfig

_MOST_ENUMERATED = 5_000
_MOST_INFEASIBLE = 500  # proposals over the limit in a row before a study gives up
_BASE = "base"


@dataclass(frozen=True)
class Outcome:
    """How a call of `run_study` ended: the run directory, trials finished in all, and why it ended."""

    run: Path
    finished: int
    total: int
    ended: Literal["complete", "space exhausted", "nothing feasible", "interrupted"]
    signal: int = 0


@dataclass
class _Running:
    """A training under way: its Optuna trial (None for the base), task, and how often it was started."""

    task: Task
    trial: Trial | None
    reported: set[int] = field(default_factory=set)
    attempts: int = 1


class Driver:
    """Asks Optuna, sends tasks to the engine, tells Optuna. The only one that writes the storage."""

    def __init__(self, config: StudyConfig, base: Spec, recipe: Recipe, data: Data, run: Path, show: Silent) -> None:
        self.config, self.base, self.recipe, self.data = config, base, recipe, data
        self.run, self.show = run, show
        self.minimise = config.objective == "val_loss"
        self.engine: Engine = make_engine(config.engine, run, self._handle)
        self.queue: deque[str] = deque()  # trainings that wait for a slot
        self.running: dict[str, _Running] = {}  # trainings begun or queued
        self.waiting: dict[str, list[Trial]] = {}  # duplicates of a candidate that is being trained
        self.known: dict[str, str] = {}  # candidate key -> the training that answers it
        self.tried: set[str] = set()  # candidate keys that some trial has or will have
        self.best: list[tuple[float, int]] = []  # the trials that keep their weights, best first
        self.distributions: dict[str, str] = {}
        self.infeasible_in_a_row = 0
        self.caught = 0

    # Opening

    def drive(self) -> Outcome:
        """Run the study until it has its total, nothing is left to try, or a signal comes."""
        self.run.mkdir(parents=True, exist_ok=True)
        with _locked(self.run), caught(self._catch):
            try:
                self._open_record()
                outcome = self._loop()
                now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
                append_line(self.run / "attempts.jsonl", json.dumps({"time": now, "ended": outcome.ended}))
                return outcome
            finally:
                self.engine.close()
                self.show.close()

    def _catch(self, number: int) -> None:
        self.caught = number
        self.engine.stop()

    def _open_record(self) -> None:
        fingerprint = self._fingerprint()
        path = self.run / "fingerprint.json"
        if path.exists():
            differences = list(differing(read_json(path), fingerprint))
            if differences:
                raise InputError(
                    f"{self.run}: holds another study ({'; '.join(differences)}); undo the change or name a new folder with --run."
                )
        else:
            write_json(path, fingerprint)
        write_yaml(
            self.run / "study.yaml", self.config.model_dump(mode="json") | {"storage": shown(self.config.storage)}
        )
        write_text(self.run / "base.yaml", to_yaml(self.base))
        about = environment(**self.config.engine.described(), data=self.data.fingerprint, split=self.data.split)
        write_json(self.run / "environment.json", about)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            storage=open_storage(
                self.config.storage or f"sqlite:///{self.run / 'study.db'}", give_up=lambda: bool(self.caught)
            ),
            study_name=self.config.name,
            direction="minimize" if self.minimise else "maximize",
            pruner=make_pruner(self.config.pruner),
            load_if_exists=True,
        )
        if (self.run / "distributions.json").exists():
            self.distributions = read_json(self.run / "distributions.json")
        self._check_storage(fingerprint)
        for result in results(self.run):
            self._remember(result)
        finished = self._finished()
        started = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "pid": os.getpid(),
            "commit": about["commit"],
            "versions": about["versions"],
            "finished": finished,
            "asked": len(self.study.trials),
        }
        append_line(self.run / "attempts.jsonl", json.dumps(started))
        self.show.begin(self.config.name, self.config.trials, finished)

    def _check_storage(self, fingerprint: dict[str, Any]) -> None:
        """Refuse a storage that is not the one of this run directory."""
        trials = self.study.get_trials(deepcopy=False)
        begun = sum(1 for _ in (self.run / "trials").glob("[0-9]*"))
        if begun > len(trials):
            raise InputError(
                f"{self.run}: holds {begun} trials, but the storage knows {len(trials)}; bring the storage back, "
                "or name a new folder with --run."
            )
        known = self.study.user_attrs.get("fingerprint")
        if trials and known is not None:
            differences = list(differing(known, fingerprint))
            if differences:
                raise InputError(
                    f"the storage holds another study called {self.config.name} ({'; '.join(differences)}); "
                    "choose another name."
                )
        self.study.set_user_attr("fingerprint", fingerprint)

    def _fingerprint(self) -> dict[str, Any]:
        """What must not change between two starts of one study."""
        kept = self.config.model_dump(
            mode="json", include={"name", "space", "objective", "max_macs", "seed", "sampler", "pruner"}
        )
        return kept | {
            "threads": self.config.engine.threads,
            "network": self.base.fingerprint,
            "recipe": self.recipe.model_dump(exclude={"name", "source"}),
            "data": self.data.fingerprint,
            "split": self.data.split,
        }

    # The loop

    def _loop(self) -> Outcome:
        base = Candidate(self.base, self.recipe)
        self.known.setdefault(base.key, _BASE)
        if not (self.run / _BASE / "result.json").exists():
            self._enqueue(_BASE, _Running(self._task(_BASE, base, {"trial": _BASE, "key": base.key}), None))
        for frozen in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            self._adopt(frozen)
        if self._over(base) > 0:
            self.show.note(f"the base network's {base.macs:,} MACs are over max_macs {self.config.max_macs:,}")
        candidates = self._candidates()
        ended: Literal["complete", "space exhausted", "nothing feasible"] = "complete"
        while not self.caught:
            while (
                not self.caught and len(self.running) < self.engine.slots and self._open_trials() < self.config.trials
            ):
                if candidates == set() or self.infeasible_in_a_row >= _MOST_INFEASIBLE:
                    ended = "nothing feasible"
                elif candidates is not None and candidates <= self.tried:
                    ended = "space exhausted"
                else:
                    self._propose()
                    continue
                break
            if not self.running:
                break
            self._advance()
        while len(self.running) > len(self.queue):  # what was interrupted writes its checkpoints
            self._advance()
        if self.caught:
            return Outcome(self.run, self._finished(), self.config.trials, "interrupted", self.caught)
        if candidates is not None and ended == "space exhausted":
            self.show.note(f"the space holds {len(candidates)} candidates within the limit; all have been tried")
        if ended == "nothing feasible":
            tried = "every candidate is" if candidates == set() else f"{_MOST_INFEASIBLE} proposals in a row were"
            self.show.note(f"{tried} over max_macs {self.config.max_macs:,}; raise it or change the space")
        return Outcome(self.run, self._finished(), self.config.trials, ended)

    def _candidates(self) -> set[str] | None:
        """Return the keys of all candidates within the limit, where these can be counted off."""
        found = enumerate_space(self.config.space, self.base, self.recipe, _MOST_ENUMERATED)
        return None if found is None else {candidate.key for candidate in found if self._over(candidate) <= 0}

    def _advance(self) -> None:
        """Fill free slots from the queue, and handle what has happened."""
        while self.queue and not self.caught and len(self.running) - len(self.queue) < self.engine.slots:
            key = self.queue.popleft()
            self.show.started(key, int(self.running[key].task.recipe["epochs"]))
            self.engine.start(key, self.running[key].task)
        for event in self.engine.events(0.5):
            self._handle(event)

    def _over(self, candidate: Candidate) -> float:
        """Return by what part of the limit a candidate is over it; 0 or less is feasible."""
        return candidate.macs / self.config.max_macs - 1 if self.config.max_macs else 0.0

    def _finished(self) -> int:
        return sum(_counts(trial) for trial in self.study.get_trials(deepcopy=False))

    def _open_trials(self) -> int:
        """Return the trials that count: finished ones, and those that will be."""
        return self._finished() + len(self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

    # Trials

    def _propose(self) -> None:
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = make_sampler(self.config.sampler, self.config.seed, mix(self.config.seed, number))
        self._consider(self.study.ask())

    def _adopt(self, frozen: FrozenTrial) -> None:
        """Take up a trial that an earlier driver had asked for."""
        self.study.sampler = make_sampler(self.config.sampler, self.config.seed, mix(self.config.seed, frozen.number))
        trial = Trial(self.study, frozen._trial_id)
        path = trial_folder(self.run, frozen.number) / "result.json"
        if path.exists():
            self._tell(trial, read_json(path))
        else:
            self._consider(trial, set(frozen.intermediate_values))

    def _consider(self, trial: Trial, reported: set[int] | None = None) -> None:
        candidate = decode(self.config.space, self.base, self.recipe, Sampled(trial))
        over = self._over(candidate)
        key = _key(trial.number)
        about = {"trial": trial.number, "key": candidate.key, "searched": trial.params}
        self._note_distributions(trial)
        if self.config.max_macs and not trial.constraints:
            trial.set_constraint("macs", over)
        if over > 0:
            self.infeasible_in_a_row += 1
            self._record(
                trial,
                candidate,
                about | {"state": "infeasible", "reason": f"{candidate.macs:,} MACs are over {self.config.max_macs:,}"},
            )
            return
        self.infeasible_in_a_row = 0
        self.tried.add(candidate.key)
        answered_by = self.known.get(candidate.key)
        if answered_by == key or answered_by is None:
            self.known[candidate.key] = key
            self._enqueue(key, _Running(self._task(key, candidate, about), trial, reported or set()))
        elif answered_by in self.running:
            self.waiting.setdefault(answered_by, []).append(trial)
        else:
            self._answer(trial, candidate, answered_by)

    def _note_distributions(self, trial: Trial) -> None:
        """Keep each searched parameter's range with the run, for those who read it without the storage."""
        known = self.distributions | {name: distribution_to_json(d) for name, d in trial.distributions.items()}
        if known != self.distributions:
            self.distributions = known
            write_json(self.run / "distributions.json", known)

    def _answer(self, trial: Trial, candidate: Candidate, answered_by: str) -> None:
        """Answer a duplicate from the record."""
        original = read_json(self._folder(answered_by) / "result.json")
        about = {
            "trial": trial.number,
            "key": candidate.key,
            "searched": trial.params,
            "duplicate_of": original["trial"],
        }
        self._record(trial, candidate, original | about)

    def _record(self, trial: Trial, candidate: Candidate, result: dict[str, Any]) -> None:
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
        write_json(
            folder / "result.json", figures | {"spec_id": candidate.spec.id, "recipe_id": candidate.recipe.id} | result
        )
        self._tell(trial, read_json(folder / "result.json"))

    def _task(self, key: str, candidate: Candidate, about: Mapping[str, Any]) -> Task:
        return Task(
            folder=str(self._folder(key)),
            spec=to_mapping(candidate.spec),
            recipe=candidate.recipe.model_dump(),
            data=self.config.data.model_dump(),
            seed=self.config.seed,
            device=self.config.engine.device,
            execution=self.config.engine.execution,
            about=about,
        )

    def _folder(self, key: str) -> Path:
        return self.run / _BASE if key == _BASE else trial_folder(self.run, int(key.removeprefix("trial ")))

    def _enqueue(self, key: str, running: _Running) -> None:
        self.running[key] = running
        self.queue.append(key)

    # Events

    def _handle(self, event: Event) -> None:
        running = self.running[event.key]
        if event.kind == "step":
            self.show.step(event.key, *event.payload)
        elif event.kind == "epoch":
            self.show.epoch(event.key, event.payload)
            self.engine.answer(event.key, self._goes_on(running, event.payload))
        elif event.kind == "stopped":
            del self.running[event.key]
        elif event.kind == "refused":
            raise InputError(f"{event.key}: {event.payload}")
        elif event.kind == "again":
            self.show.note(f"{event.key}: {event.payload}")
        elif event.kind == "lost" and running.attempts < self.engine.attempts and not self.caught:
            running.attempts += 1
            self.show.note(f"{event.key}: {event.payload}; attempt {running.attempts} of {self.engine.attempts}")
            self.engine.start(event.key, running.task)
        elif event.kind == "lost" and self.caught:
            del self.running[event.key]
        else:
            if event.kind == "lost":
                reason = f"{event.payload}, {running.attempts} times" if running.attempts > 1 else event.payload
                write_json(
                    self._folder(event.key) / "result.json", {**running.task.about, "state": "failed", "reason": reason}
                )
            del self.running[event.key]
            self._ended(event.key, running)

    def _goes_on(self, running: _Running, metrics: Mapping[str, Any]) -> bool:
        trial, epoch = running.trial, metrics["epoch"]
        if trial is None:
            return True
        if epoch not in running.reported:
            trial.report(metrics[self.config.objective], epoch)
        return not (epoch < metrics["epochs"] and trial.should_prune())

    def _ended(self, key: str, running: _Running) -> None:
        result = read_json(self._folder(key) / "result.json")
        if running.trial:
            self._tell(running.trial, result)
        else:
            self.show.finished(key, _words(result, self.config.objective), self._finished())
        for duplicate in self.waiting.pop(key, []):
            self._consider(duplicate)

    def _tell(self, trial: Trial, result: dict[str, Any]) -> None:
        self._remember(result)
        for name in ("key", "macs", "params", "spec_id", "duplicate_of", "reason"):
            if name in result:
                trial.set_user_attr(name, result[name])
        trial.set_user_attr("outcome", result["state"])
        value = result.get(self.config.objective)
        if result["state"] == "complete" and value is not None:
            self.study.tell(trial.number, value)
        else:
            failed = result["state"] in ("failed", "complete")
            self.study.tell(trial.number, state=TrialState.FAIL if failed else TrialState.PRUNED)
        if result["state"] == "infeasible":
            self.show.rejected(_key(trial.number), result["reason"])
        else:
            self.show.finished(_key(trial.number), _words(result, self.config.objective), self._finished())

    def _remember(self, result: Mapping[str, Any]) -> None:
        """Take note of a result: whom it answers, and whether its weights are among the best."""
        if result["state"] == "infeasible" or "key" not in result:
            return
        self.tried.add(result["key"])
        if "duplicate_of" in result:
            return
        self.known.setdefault(result["key"], _key(result["trial"]))
        if result["state"] == "complete" and result[self.config.objective] is not None:
            value = result[self.config.objective]
            entry = (value if self.minimise else -value, result["trial"])
            if entry not in self.best:  # a trial that ended just before its driver did comes twice
                bisect.insort(self.best, entry)
            for _, number in self.best[self.config.keep_weights :]:
                (trial_folder(self.run, number) / "weights.safetensors").unlink(missing_ok=True)
            del self.best[self.config.keep_weights :]


def _key(number: int) -> str:
    return f"trial {number}"


def _counts(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and trial.user_attrs.get("outcome") != "infeasible"


def _words(result: Mapping[str, Any], objective: str) -> str:
    """Return in a few words how a training ended."""
    value = result.get(objective)
    figure = "" if value is None else f", {objective.replace('_', ' ')} {value:.4f}"
    again = f", the same as trial {result['duplicate_of']}" if "duplicate_of" in result else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"{result['state']}{again}{figure}{reason}"


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Hold the run directory for this driver; the system lets go of it when the process ends, however."""
    with open(run / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{run}: another driver is at work on this study; wait for it or stop it.") from None
        yield
