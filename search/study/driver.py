"""The driver of a study: it proposes trials until the study ends, and has each trained and recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from arch.files.html_table import table
from search.engines.supervisor import Supervisor, supervised
from search.engines.task import Task
from search.progress import Silent
from search.record.layout import check_kind
from search.record.lock import locked
from search.record.quiet import quiet
from search.space.candidates import enumerate_space
from search.storage.urls import unwritten
from search.study.config import Plan
from search.study.create import note_end, note_start, open_study, storage_of
from search.study.proposer import MOST_ENUMERATED
from search.study.stopping import EndReason, StopRules
from search.study.trials import Trials


@dataclass(frozen=True)
class StudyOutcome:
    """How a call of `run_study` ended: the run directory, the number of finished trials, and the reason."""

    run: Path
    finished: int
    total: int
    ended: EndReason
    signal: int = 0

    def _repr_html_(self) -> str:
        """Return how far the study is, for a notebook."""
        lines = [f"{self.finished} of {self.total} trials finished", f"reports.load({str(self.run)!r}) reads it"]
        return table(f"{self.run.name}: {self.ended}", [], lines)


def drive(plan: Plan, run: Path, allow: Collection[str], show: Silent) -> StudyOutcome:
    """Run a study until it has its total, nothing is left to try, or a signal comes."""
    check_kind(run, "study.yaml")
    with (
        quiet(),
        supervised(plan.config.engine, run, show) as supervisor,  # an engine that is not there makes no run directory
        locked(run, "this study") as held,
    ):
        supervisor.check = held.check
        try:
            driver = Driver(plan, run, allow, show, supervisor)
            supervisor.train(driver)
            outcome = driver.outcome()
            note_end(run, outcome.ended)
            return outcome
        except KeyboardInterrupt:  # Ctrl-C twice: running trainings resume from their last epoch
            note_end(run, "interrupted")
            raise
        except (StorageInternalError, SQLAlchemyError) as error:
            raise unwritten(storage_of(plan.config, run), error) or error from error


class Driver:
    """A study as a supervisor's work. Nothing else writes the storage."""

    def __init__(self, plan: Plan, run: Path, allow: Collection[str], show: Silent, supervisor: Supervisor) -> None:
        self.config, self.run, self.show, self.supervisor = plan.config, run, show, supervisor
        opened = open_study(plan, run, allow, give_up=lambda: bool(supervisor.signal))
        self.trials = Trials(plan, opened, run, show)
        note_start(run, self.trials.finished, self.trials.created)
        show.begin(*self.trials.progress)
        for note in opened.notes:
            show.note(note)
        self.trials.resume()
        base, limit = self.trials.base, self.trials.limit
        if limit.over(base.macs) > 0:
            show.note(f"the base network's {base.macs:,} MACs are over max_macs {limit.max_macs:,}")
        found = enumerate_space(self.config.space, plan.base, plan.recipe, MOST_ENUMERATED)
        feasible = None if found is None else {c.key for c in found if not limit.why_not(c)}
        self.feasible = feasible
        # A race that has tried every candidate still repeats them.
        self.stop_rules = StopRules(self.config, None if self.config.race and feasible else feasible)

    def next(self) -> tuple[str, Task] | None:
        """Return the next training, proposing trials until one needs a training; None where there is none now."""
        trials = self.trials
        # Most proposals need a training. Not so a duplicate, which takes the result of its original, nor a candidate
        # over the limit: both are recorded without one, and the next trial is proposed. A signal ends the loop.
        while not trials.waiting and not self.supervisor.signal and not self._stop_reason():
            exhausted = self.feasible is not None and self.feasible <= trials.trained.tried
            self.stop_rules.proposed(feasible=trials.propose(exhausted))
        if not trials.waiting:
            return None
        training = trials.waiting.popleft()
        return training.key, training.task

    def continues(self, key: str, metrics: Mapping[str, Any]) -> bool:
        """Record an epoch; return whether the training continues."""
        return self.trials.continues(key, metrics)

    def ended(self, key: str) -> None:
        """Record a training's end."""
        result = self.trials.ended(key)
        self.stop_rules.trained(result.get("reason", "") if result["state"] == "failed" else "")

    def _stop_reason(self) -> EndReason | None:
        return self.stop_rules.why(self.trials.missing, self.trials.trained.tried, self.trials.hopeless)

    def outcome(self) -> StudyOutcome:
        """Return how the study ended, and show the reason where it ended early."""
        signal = self.supervisor.signal
        ended: EndReason = (None if signal else self._stop_reason()) or "interrupted"
        if sentence := self.stop_rules.sentence(ended):
            self.show.note(sentence)
        return StudyOutcome(self.run, self.trials.finished, self.config.trials or self.trials.finished, ended, signal)
