"""What a study is judged by: the objectives, each one object, and which of several results are best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from arch.analysis.cost import cost
from arch.registry import Registry
from arch.specs.spec import Spec

Losses = tuple[float, ...]
Source = Literal["epoch", "network", "trained network"]


@dataclass(frozen=True)
class Objective:
    """A figure that a study optimises.

    Attributes
    ----------
    name : its key in `result.json` and in a study's `objective`.
    title : what it is called in tables and sentences.
    source : what it is computed from. `epoch`: the figure of this name in each epoch's record, and so one to judge
        trainings by while they run. `network`: the spec, by `of_network`. `trained network`: a measurement of this
        name (`search.evaluation.measurements`), taken as each training ends.
    maximise : whether more is better.
    unit, factor, digits : how it is printed: the value times `factor`, to so many decimals, with its unit.
    of_network : computes it from a spec, where that is its source.
    """

    name: str
    title: str
    source: Source
    maximise: bool = False
    unit: str = ""
    factor: float = 1.0
    digits: int = 4
    of_network: Callable[[Spec], float] | None = None

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """What Optuna calls it."""
        return "maximize" if self.maximise else "minimize"

    @property
    def header(self) -> str:
        """Return its title with its unit, `held-out accuracy (%)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def text(self, value: float) -> str:
        """Return a value as it is printed, `91.50 %`."""
        return f"{self.factor * value:,.{self.digits}f} {self.unit}".rstrip()

    def loss(self, value: float) -> float:
        """Return the value with the sign that makes less better."""
        return -value if self.maximise else value


OBJECTIVES: Registry[Objective] = Registry("objective")


def register(objective: Objective) -> Objective:
    """Add an objective, which a study may name from now on; refuse a second one of its name."""
    return OBJECTIVES.add(objective.name, objective)


register(Objective("val_accuracy", "held-out accuracy", "epoch", maximise=True, unit="%", factor=100, digits=2))
register(Objective("val_loss", "held-out loss", "epoch"))
register(Objective("train_loss", "train loss", "epoch"))  # holds the auxiliary losses at their weights
register(Objective("macs", "MACs", "network", unit="M", factor=1e-6, digits=3, of_network=lambda spec: cost(spec).macs))
register(
    Objective(
        "params", "parameters", "network", unit="M", factor=1e-6, digits=3, of_network=lambda spec: cost(spec).params
    )
)
register(
    Objective(
        "activations",
        "activations",
        "network",
        unit="k",
        factor=1e-3,
        digits=1,
        of_network=lambda spec: cost(spec).activations,
    )
)
register(Objective("latency", "latency", "trained network", unit="ms an image"))


class Objectives:
    """One or several objectives, in order. The first is what trainings are judged by after each epoch."""

    def __init__(self, given: str | Sequence[str], recorded: Mapping[str, Any] | None = None) -> None:
        """Find objectives by name; `recorded` describes those that only the script of a run registers."""
        described = recorded or {}
        self.each = tuple(
            Objective(**described[name]) if name not in OBJECTIVES and name in described else OBJECTIVES.get(name)
            for name in ((given,) if isinstance(given, str) else given)
        )
        self.names = tuple(objective.name for objective in self.each)

    def __len__(self) -> int:
        return len(self.each)

    @property
    def first(self) -> Objective:
        """The first objective."""
        return self.each[0]

    @property
    def judged(self) -> str:
        """The first objective's name."""
        return self.names[0]

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """What Optuna calls them."""
        return [objective.direction for objective in self.each]

    @property
    def minimise(self) -> bool:
        """Whether less of the first objective is better."""
        return not self.first.maximise

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of those that are measured on each trained network."""
        return tuple(objective.name for objective in self.each if objective.source == "trained network")

    def described(self) -> dict[str, Any]:
        """Return how each is printed and ordered, by name, for a run's record."""
        return {o.name: {key: value for key, value in vars(o).items() if key != "of_network"} for o in self.each}

    def of_network(self, spec: Spec) -> dict[str, float]:
        """Return the values that a network has before it is trained, by name."""
        return {o.name: o.of_network(spec) for o in self.each if o.of_network}

    def values(self, result: Mapping[str, Any]) -> list[float] | None:
        """Return a complete training's values, or None where it did not finish or one is missing."""
        found = [result.get(name) for name in self.names]
        if result["state"] != "complete" or any(value is None for value in found):
            return None
        return [float(value) for value in found if value is not None]

    def losses(self, values: Sequence[float]) -> Losses:
        """Return the values with the signs that make less better in each."""
        return tuple(objective.loss(value) for objective, value in zip(self.each, values, strict=True))


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
