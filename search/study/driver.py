"""The driver of a study: fills the engine with trainings, and hands on what comes of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from arch.errors import InputError
from arch.files.html_table import table
from search.engines.base import Engine, Event
from search.engines.choose import make_engine
from search.progress import Silent
from search.record.files import WriteError
from search.record.layout import check_kind, write_result
from search.record.lock import locked
from search.signals import caught
from search.storage.urls import unwritten
from search.study.config import Plan
from search.study.create import note_end, note_start, open_study, storage_of
from search.study.trials import Training, Trials

_MOST_INFEASIBLE = 500  # proposals that may not be trained in a row, before a study gives up


@dataclass(frozen=True)
class Outcome:
    """How a call of `run_study` ended: the run directory, trials finished in all, and why it ended."""

    run: Path
    finished: int
    total: int
    ended: Literal["complete", "space exhausted", "nothing feasible", "failing", "interrupted"]
    signal: int = 0

    def _repr_html_(self) -> str:
        """Return how far it came, for a notebook."""
        lines = [f"{self.finished} of {self.total} trials finished", f"reports.runs.load({str(self.run)!r}) reads it"]
        return table(f"{self.run.name}: {self.ended}", [], lines)


class Driver:
    """Sends trainings to the engine until a study has its total. The only one that writes the storage."""

    def __init__(self, plan: Plan, run: Path, allow: Collection[str], show: Silent) -> None:
        self.plan, self.config, self.run, self.allow, self.show = plan, plan.config, run, allow, show
        self.engine: Engine = make_engine(self.config.engine, run, self._handle)
        self.trials: Trials
        self.caught = 0

    def drive(self) -> Outcome:
        """Run the study until it has its total, nothing is left to try, or a signal comes."""
        check_kind(self.run, "study.yaml")
        with locked(self.run, "this study") as self.held, caught(self._catch):
            try:
                self._open()
                outcome = self._loop()
                note_end(self.run, outcome.ended)
                return outcome
            except KeyboardInterrupt:  # Ctrl-C twice: what is under way goes on from its last epoch
                note_end(self.run, "interrupted")
                raise
            except (StorageInternalError, SQLAlchemyError) as error:
                raise unwritten(storage_of(self.config, self.run), error) or error from error
            finally:
                self.engine.close()
                self.show.close()

    def _catch(self, number: int) -> None:
        self.caught = number
        self.engine.stop()

    def _open(self) -> None:
        plan = self.plan
        opened = open_study(plan, self.run, self.allow, give_up=lambda: bool(self.caught))
        self.trials = Trials(plan, opened, self.run, self.show)
        note_start(self.run, self.trials.finished, self.trials.asked)
        self.show.begin(self.config.name, self.config.trials, self.trials.finished)
        for note in opened.notes:
            self.show.note(note)

    def _loop(self) -> Outcome:
        trials, limit = self.trials, self.config.max_macs
        trials.resume()
        if trials.over(trials.base) > 0:
            self.show.note(f"the base network's {trials.base.macs:,} MACs are over max_macs {limit:,}")
        candidates = trials.candidates()
        ended: Literal["complete", "space exhausted", "nothing feasible", "failing"] = "complete"
        while not self.caught:
            while not self.caught and len(trials.begun) < self.engine.slots and trials.missing > 0:
                if candidates == set() or trials.infeasible_in_a_row >= _MOST_INFEASIBLE:
                    ended = "nothing feasible"
                elif 0 < self.config.most_failures_in_a_row <= trials.failures_in_a_row:
                    ended = "failing"
                elif candidates is not None and candidates <= trials.answers.tried:
                    ended = "space exhausted"
                else:
                    trials.propose()
                    continue
                break
            if not trials.begun:
                break
            self._advance()
        while len(trials.begun) > len(trials.queue):  # what was interrupted writes its checkpoints
            self._advance()
        if self.caught:
            return Outcome(self.run, trials.finished, self.config.trials, "interrupted", self.caught)
        if candidates is not None and ended == "space exhausted":
            self.show.note(f"the space holds {len(candidates)} candidates within the limit; all have been tried")
        if ended == "nothing feasible":
            tried = "every candidate is" if candidates == set() else f"{_MOST_INFEASIBLE} proposals in a row were"
            self.show.note(f"{tried} over max_macs {limit:,} or out of reach; raise it or change the space")
        if ended == "failing":
            self.show.note(
                f"{trials.failures_in_a_row} trainings in a row failed alike ({trials.failure}); correct the cause and "
                "go on, or raise most_failures_in_a_row (0: never stop for that)"
            )
        return Outcome(self.run, trials.finished, self.config.trials, ended)

    def _advance(self) -> None:
        """Fill free slots from the queue, and handle what has happened."""
        begun, queue = self.trials.begun, self.trials.queue
        while queue and not self.caught and len(begun) - len(queue) < self.engine.slots:
            key = queue.popleft()
            self.show.started(key, begun[key].task.recipe)
            self.engine.start(key, begun[key].task)
        for event in self.engine.events(0.5):
            self._handle(event)

    def _handle(self, event: Event) -> None:
        training = self.trials.begun[event.key]
        if event.kind != "step":
            self.held.check()
        if event.kind == "step":
            self.show.step(event.key, *event.payload)
        elif event.kind == "epoch":
            self.show.epoch(event.key, event.payload)
            self.engine.answer(event.key, self.trials.goes_on(event.key, training, event.payload))
        elif event.kind == "stopped":
            del self.trials.begun[event.key]
        elif event.kind == "refused":
            raise InputError(f"{event.key}: {event.payload}")
        elif event.kind == "unwritable":
            raise WriteError(event.payload)
        elif event.kind == "again":
            self.show.note(f"{event.key}: {event.payload}")
        elif event.kind == "lost":
            self._lost(event, training)
        else:
            del self.trials.begun[event.key]
            self.trials.ended(event.key, training)

    def _lost(self, event: Event, training: Training) -> None:
        """Start a training again whose process died, or let it be failed."""
        if self.caught:
            del self.trials.begun[event.key]
        elif training.attempts < self.engine.attempts:
            training.attempts += 1
            self.show.note(f"{event.key}: {event.payload}; attempt {training.attempts} of {self.engine.attempts}")
            self.engine.start(event.key, training.task)
        else:
            reason = f"{event.payload}, {training.attempts} times" if training.attempts > 1 else event.payload
            result = {**training.task.about, "state": "failed", "reason": reason}
            write_result(Path(training.task.folder), result)
            del self.trials.begun[event.key]
            self.trials.ended(event.key, training)
