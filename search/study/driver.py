"""The driver of a study: proposes trials until the study ends, and records what comes of each."""

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
from search.study.ends import Ended, Ends
from search.study.proposer import MOST_ENUMERATED
from search.study.trials import Trials


@dataclass(frozen=True)
class Outcome:
    """How a call of `run_study` ended: the run directory, trials finished in all, and why it ended."""

    run: Path
    finished: int
    total: int
    ended: Ended
    signal: int = 0

    def _repr_html_(self) -> str:
        """Return how far it came, for a notebook."""
        lines = [f"{self.finished} of {self.total} trials finished", f"reports.load({str(self.run)!r}) reads it"]
        return table(f"{self.run.name}: {self.ended}", [], lines)


def drive(plan: Plan, run: Path, allow: Collection[str], show: Silent) -> Outcome:
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
        except KeyboardInterrupt:  # Ctrl-C twice: what is under way resumes from its last epoch
            note_end(run, "interrupted")
            raise
        except (StorageInternalError, SQLAlchemyError) as error:
            raise unwritten(storage_of(plan.config, run), error) or error from error


class Driver:
    """A study as a supervisor's work. The only one that writes the storage."""

    def __init__(self, plan: Plan, run: Path, allow: Collection[str], show: Silent, supervisor: Supervisor) -> None:
        self.config, self.run, self.show, self.supervisor = plan.config, run, show, supervisor
        opened = open_study(plan, run, allow, give_up=lambda: bool(supervisor.signal))
        self.trials = Trials(plan, opened, run, show)
        note_start(run, self.trials.finished, self.trials.asked)
        show.begin(self.config.name, self.config.trials, self.trials.finished)
        for note in opened.notes:
            show.note(note)
        self.trials.resume()
        base, limit = self.trials.base, self.trials.limit
        if limit.over(base.macs) > 0:
            show.note(f"the base network's {base.macs:,} MACs are over max_macs {limit.max_macs:,}")
        found = enumerate_space(self.config.space, plan.base, plan.recipe, MOST_ENUMERATED)
        feasible = None if found is None else {c.key for c in found if not limit.why_not(c)}
        self.ends = Ends(self.config, feasible)

    def next(self) -> tuple[str, Task] | None:
        """Return the next training, proposing trials until one asks for it; None where the study ends."""
        trials = self.trials
        # Most proposals are a training. A duplicate is answered at once or waits for its original, what is over the
        # limit is recorded at once: then another one is proposed. A signal need not wait for all that.
        while not trials.waiting and not self.supervisor.signal and not self._why_over():
            self.ends.proposed(feasible=trials.propose())
        if not trials.waiting:
            return None
        training = trials.waiting.popleft()
        return training.key, training.task

    def goes_on(self, key: str, metrics: Mapping[str, Any]) -> bool:
        """Take note of an epoch; return whether the training goes on."""
        return self.trials.goes_on(key, metrics)

    def ended(self, key: str) -> None:
        """Take note of a training's end."""
        result = self.trials.ended(key)
        self.ends.trained(result.get("reason", "") if result["state"] == "failed" else "")

    def _why_over(self) -> Ended | None:
        return self.ends.why(self.trials.missing, self.trials.answers.tried)

    def outcome(self) -> Outcome:
        """Return how the study ended, and note what a person should know of it."""
        signal = self.supervisor.signal
        ended: Ended = (None if signal else self._why_over()) or "interrupted"
        if sentence := self.ends.sentence(ended):
            self.show.note(sentence)
        return Outcome(self.run, self.trials.finished, self.config.trials, ended, signal)
