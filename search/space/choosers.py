"""Choosers decide each parameter of a space: an Optuna trial, or an enumeration of all combinations."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Protocol

from optuna.trial import BaseTrial


class Chooser(Protocol):
    """Decides by the name of a parameter; the same name gets the same decision."""

    def pick(self, name: str, weights: Sequence[float]) -> int:
        """Return an index, likelier where the weight is larger."""
        ...

    def choice(self, name: str, names: Sequence[str]) -> str:
        """Return one of the names."""
        ...

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Return a number between two bounds."""
        ...


class Sampled:
    """Lets an Optuna trial decide.

    An ordered pick is a quantile between 0 and 1, so that samplers see an order and a range that never
    changes; a choice is categorical, by name.
    """

    def __init__(self, trial: BaseTrial) -> None:
        self.trial = trial

    def pick(self, name: str, weights: Sequence[float]) -> int:
        """Return the index at a quantile of the weights' distribution."""
        quantile = self.trial.suggest_float(name, 0.0, 1.0)
        sums = list(itertools.accumulate(weights))
        return min(bisect.bisect_right(sums, quantile * sums[-1]), len(weights) - 1)

    def choice(self, name: str, names: Sequence[str]) -> str:
        """Return a categorical suggestion."""
        return str(self.trial.suggest_categorical(name, list(names)))

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Return a float suggestion."""
        return self.trial.suggest_float(name, low, high, log=log)


class Endless(Exception):
    """The candidates cannot be enumerated."""


class Enumerated:
    """Walks through every combination of choices, the last one changing fastest."""

    def __init__(self) -> None:
        self.path: list[list[int]] = []  # [chosen, of how many] for each decision
        self.names: list[str] = []

    def pick(self, name: str, weights: Sequence[float]) -> int:
        """Return where the walk stands; raises Endless where one quantile serves several rows."""
        if name in self.names:  # what one quantile makes of each row is not enumerable
            raise Endless
        self.names.append(name)
        if len(self.names) > len(self.path):
            self.path.append([0, len(weights)])
        return self.path[len(self.names) - 1][0]

    def choice(self, name: str, names: Sequence[str]) -> str:
        """Return the name at which the walk stands."""
        return names[self.pick(name, [1] * len(names))]

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Raise Endless: a range holds infinitely many numbers."""
        raise Endless

    def advance(self) -> bool:
        """Move to the next combination; return false where there is none."""
        # As in counting: drop the last places that are at their highest value, then raise the one before them.
        # The places that follow are added again as the next walk reaches them.
        self.names.clear()
        while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
            self.path.pop()
        if self.path:
            self.path[-1][0] += 1
        return bool(self.path)
