"""What a study is judged by: the objectives' names and directions, and which of several results are best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Objective = Literal["val_accuracy", "val_loss", "macs", "params", "latency"]
JUDGED = ("val_accuracy", "val_loss")  # what a training is judged by after each epoch
_RISING = ("val_accuracy",)  # what is better where it is larger

Losses = tuple[float, ...]


class Objectives:
    """One or several objectives, in order. The first is what trainings are judged by after each epoch.

    Directions follow from the names: accuracy is maximised, everything else minimised.
    """

    def __init__(self, given: str | Sequence[str]) -> None:
        self.names: tuple[str, ...] = (given,) if isinstance(given, str) else tuple(given)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def judged(self) -> str:
        """The first objective."""
        return self.names[0]

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """What Optuna calls them."""
        return ["maximize" if name in _RISING else "minimize" for name in self.names]

    @property
    def minimise(self) -> bool:
        """Whether less of the first objective is better."""
        return self.judged not in _RISING

    def values(self, result: Mapping[str, Any]) -> list[float] | None:
        """Return a finished trial's values, or None where it did not come to its end or one is missing."""
        found = [result.get(name) for name in self.names]
        if result["state"] != "complete" or any(value is None for value in found):
            return None
        return [float(value) for value in found if value is not None]

    def losses(self, values: Sequence[float]) -> Losses:
        """Return the values with the signs that make less better in each."""
        return tuple(-v if name in _RISING else v for name, v in zip(self.names, values, strict=True))


def dominates(a: Losses, b: Losses) -> bool:
    """Return whether `a` is no worse than `b` in anything, and better in something."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def front(losses: Sequence[Losses]) -> list[int]:
    """Return the indices of those that none dominates, the best in the first objective first."""
    found: list[int] = []
    for index in sorted(range(len(losses)), key=lambda i: losses[i]):  # whoever dominates comes before
        if not any(dominates(losses[better], losses[index]) for better in found):
            found.append(index)
    return found


def best_first(losses: Sequence[Losses]) -> list[int]:
    """Return all indices: the front first, then the front of the rest, and so on."""
    if losses and len(losses[0]) == 1:
        return sorted(range(len(losses)), key=lambda i: losses[i])
    order: list[int] = []
    rest = list(range(len(losses)))
    while rest:
        chosen = {rest[i]: None for i in front([losses[i] for i in rest])}
        order += chosen
        rest = [i for i in rest if i not in chosen]
    return order
