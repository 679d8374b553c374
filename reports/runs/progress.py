"""How far a run is, from what was loaded of it."""

from __future__ import annotations

from typing import NamedTuple

from reports.runs.run import Run
from search.record.layout import BASE
from search.record.work import spent


class Progress(NamedTuple):
    """How many of the trainings, or of a training's epochs, are done; `unit` names them.

    `ended`: nothing more is trained though some of a budget is left, as it has no room or the race found it hopeless.
    """

    done: int
    planned: int
    unit: str
    ended: bool = False

    @property
    def complete(self) -> bool:
        """Return whether nothing is left to do."""
        return self.ended or self.done >= self.planned

    def __str__(self) -> str:
        return f"{self.done} of {self.planned} {self.unit}"


def progress(run: Run) -> Progress:
    """Return how far a run is; of a study whose confirmation is not finished, how far the confirmation is."""
    if run.kind == "training":
        planned = int((run.config.get("recipe") or {}).get("epochs", 0))
        done = 0 if run.epochs.empty else int(run.epochs["epoch"].max())
        return Progress(done, done if len(run.trials) else max(planned, done + 1), "epochs")
    if run.kind == "study":
        searched = _searched(run)
        if run.confirmation is None or not searched.complete:
            return searched
        runs, what = run.confirmation.runs, "trainings of the confirmation"
        confirmed = Progress(int((runs["state"] != "missing").sum()), len(runs), what)
        return searched if confirmed.complete else confirmed
    return Progress(int((run.trials["state"] != "missing").sum()), len(run.trials), "trainings")


def _searched(run: Run) -> Progress:
    """Return how far a study is: by its trials or, where only a budget ends it, by the budget."""
    budget, trials = run.config.get("budget"), run.config.get("trials")
    ended = bool(budget and run.attempts and run.attempts[-1].get("ended") in ("complete", "hopeless"))
    if budget and not trials:
        return Progress(*spent(run.work, budget, run.config["engine"]["threads"]), ended)
    counted = run.trials[(run.trials["trial"] != BASE) & (run.trials["state"] != "infeasible")]
    return Progress(len(counted), len(counted) if trials is None else int(trials), "trials", ended)
