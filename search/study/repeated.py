"""A trial whose end Optuna knows, and whose record has to be made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from search.record.objectives import Objectives


class Repeated(FixedTrial):
    """Answers as the trial that it was; what is told to it is not told to Optuna, which knows it."""

    def __init__(self, frozen: FrozenTrial) -> None:
        super().__init__(frozen.params, number=frozen.number)
        self.frozen = frozen

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What Optuna was told of it."""
        return dict(self.frozen.user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        """Its constraints."""
        return dict(self.frozen.constraints)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The ranges that it was drawn from."""
        return dict(self.frozen.distributions)

    def set_constraint(self, key: str, value: float) -> None:
        """Optuna knows it."""

    def ended_at(self, epoch: int) -> bool:
        """Return whether it was pruned after this epoch."""
        return self.frozen.state is TrialState.PRUNED and epoch >= self.frozen.user_attrs.get("epochs", epoch)

    def beside(self, result: Mapping[str, Any], objectives: Objectives) -> str:
        """Return how its record, made anew, compares with what Optuna knows."""
        values = objectives.values(result)
        if values == self.frozen.values:
            return "its record is made anew, with the same values"
        return f"its record is made anew, with {values}, where the storage has {self.frozen.values}"
