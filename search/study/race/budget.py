"""A study's budget in work: epochs or core-hours, exact over restarts and with any number of workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.record.work import Spent, Work, spent, work_of


class Budget(BaseModel):
    """How much work a study may take, over all restarts; one of the two.

    Attributes
    ----------
    epochs : epochs of training, those of the base network and of trainings that failed among them.
    core_hours : hours of training times the threads of each. How long a training takes is known only after it: the
        last ones may end later than their estimate, the mean of the epochs before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    epochs: int = Field(0, ge=0)
    core_hours: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _one(self) -> Budget:
        if bool(self.epochs) == bool(self.core_hours):
            raise ValueError("give either epochs or core_hours, above 0")
        return self


class Spending:
    """The work that a study has done and promised, and whether more fits into its budget."""

    def __init__(self, budget: Budget | None, run: Path, threads: int) -> None:
        self.budget, self.threads = budget, threads
        done = work_of(run)
        self.epochs, self.seconds = done.epochs, done.seconds
        self._counted: dict[str, int] = {}  # the last epoch of an open training that is counted, by its key
        self._last: dict[str, int] = {}  # its last epoch

    @property
    def spent(self) -> Spent:
        """The work done of the budget; without one, epochs of none."""
        work = Work(self.epochs, self.seconds)
        return spent(work, self.budget.model_dump(), self.threads) if self.budget else Spent(work.epochs, 0, "epochs")

    @property
    def part(self) -> float:
        """The part of the budget that is done; 0 without one."""
        if not self.budget:
            return 0.0
        if self.budget.epochs:
            return self.epochs / self.budget.epochs
        return self.seconds * self.threads / 3600 / self.budget.core_hours

    def promise(self, key: str, recorded: int, epochs: int) -> None:
        """Reserve what a training of so many epochs may still take; those that its folder records are counted."""
        self._counted[key], self._last[key] = recorded, epochs

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """Count an epoch, unless it was: a training that resumes reports its epochs again."""
        if metrics["epoch"] > self._counted[key]:
            self._counted[key] = metrics["epoch"]
            self.epochs += 1
            self.seconds += metrics["seconds"]

    def ended(self, key: str) -> None:
        """Release what a training did not take."""
        del self._counted[key], self._last[key]

    def allows(self, epochs: int) -> bool:
        """Return whether a training of so many epochs fits next to what is done and promised."""
        if not self.budget:
            return True
        planned = sum(last - self._counted[key] for key, last in self._last.items()) + epochs
        if self.budget.epochs:
            return self.epochs + planned <= self.budget.epochs
        each = self.seconds / self.epochs if self.epochs else 0.0
        return (self.seconds + planned * each) * self.threads <= self.budget.core_hours * 3600
