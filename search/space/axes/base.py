"""The base class of axes: an axis is one thing that a study may vary, such as widths or block families.

Every choice goes to Optuna by its name, never by its position, so that a list of choices can grow.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from arch.errors import InputError
from arch.registry import Registry
from arch.specs.edit import searchable, stages
from arch.specs.spec import Spec
from search.recipes.recipe import Recipe
from search.space.choosers import Chooser
from search.space.compositions import SplitRules
from search.space.iso_macs import Solved

STRICT = ConfigDict(frozen=True, extra="forbid")
AxisClass = TypeVar("AxisClass", bound="type[Axis]")


class Draft(NamedTuple):
    """A network and its recipe while the axes change them, one after the other.

    `outs` are the output channels of scaled rows before they were rounded: widths are solved from them.
    """

    spec: Spec
    recipe: Recipe
    outs: Mapping[str, float] = MappingProxyType({})


class Axes(Protocol):
    """The axes of one space (`search.space.space.Space`)."""

    @property
    def axes(self) -> Sequence[Axis]:
        """Those that vary, in the order in which they decide."""
        ...

    def get(self, key: str) -> Any:
        """Return an axis, or None where it does not vary."""
        ...


class Setting(NamedTuple):
    """What a study varies: its space, around a base network and recipe."""

    space: Axes
    base: Spec
    recipe: Recipe


class Pick(NamedTuple):
    """A width of one branch, counted from the narrowest that the space allows; None where it allows none such."""

    place: int | None
    row: str
    branch: str


# The decisions that lead to a given network, by the parameter's name; one of several rows has a pick for each.
Decisions = Mapping[str, Any]


class Axis(ABC):
    """One thing that a study may vary.

    Subclasses are pydantic models of what a study's file says under `key`, and register themselves with `@axis`.

    Attributes
    ----------
    key : its key in `space`.
    title : what varies, for sentences: `channel splits`.
    turn : when it decides; axes decide in the order of their turns, and each gets the draft of those before it.
    absent : how a space without it is written.
    decides : whether it decides anything; what only follows from other axes, such as equal MACs, does not.
    needs_splits : whether it varies rows that take the common split.
    adds_rows : whether it adds or drops rows; only after it the rows of a draft are those of a wanted network.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    turn: ClassVar[int]
    absent: ClassVar[Any] = None
    decides: ClassVar[bool] = True
    needs_splits: ClassVar[bool] = False
    adds_rows: ClassVar[bool] = False

    @property
    def varies(self) -> bool:
        """Whether it decides anything; an empty mapping does not."""
        return True

    @property
    def reference(self) -> Spec | None:
        """A network that its decisions depend on, besides the base; a study does not resume with another one."""
        return None

    @classmethod
    def summary(cls) -> str:
        """Return the first line of its docstring."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]

    @classmethod
    def known_keys(cls, part: str = "") -> list[str]:
        """Return the keys of what a study's file says of it, or under its key `part`; not names of the study's own."""
        return [key for key in getattr(cls, "model_fields", {}) if key != "root"]

    def check(self, setting: Setting, where: str) -> None:  # noqa: B027 - an axis may fit every network
        """Raise InputError where it does not fit the base network and recipe; the text starts with `where`."""

    @abstractmethod
    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Return the draft changed by a chooser's decisions.

        A parameter is named by what it decides, such as `family.4`, and drawn only where it decides something.
        """

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the decisions with which `drawn` turns the draft into a wanted network: the inverse of `drawn`."""
        return {}

    def settled(self, setting: Setting, draft: Draft) -> Solved | None:
        """Solve what follows from all decisions together, such as widths at equal cost, or say what must not be trained.

        None: nothing follows. Each gets the network that those before it solved.
        """
        return None


AXES: Registry[type[Axis]] = Registry("axis", "axes")


def axis(kind: AxisClass) -> AxisClass:
    """Register a class of axes under its key."""
    AXES.add(kind.key, kind)
    return kind


class Range(BaseModel):
    """A continuous value between two bounds, or one of a list of values."""

    model_config = STRICT
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        bounded = self.low is not None and self.high is not None and self.low < self.high
        if bounded == bool(self.choices):
            raise ValueError("give either low < high, or choices")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a low above 0")
        return self

    @property
    def ends(self) -> list[Any]:
        """Every choice, or both bounds: where these are right, all between is."""
        return self.choices or [self.low, self.high]

    def draw(self, name: str, chooser: Chooser) -> Any:
        """Return a value that a chooser decides by the name of the parameter."""
        if self.choices:
            return choose(name, self.choices, chooser)
        return chooser.number(name, self.low or 0.0, self.high or 0.0, self.log)


def named(choices: Iterable[Any]) -> Mapping[str, Any]:
    """Return choices by their names in Optuna: text as it is, anything else as JSON."""
    return {choice if isinstance(choice, str) else json.dumps(choice): choice for choice in choices}


def choose(name: str, choices: Sequence[Any], chooser: Chooser) -> Any:
    """Return the choice whose name a chooser takes."""
    known = named(choices)
    return known[chooser.choice(name, list(known))]


def check_names(choices: Sequence[Any], where: str) -> None:
    """Refuse two choices with the same name in Optuna."""
    if len(named(choices)) < len(choices):
        texts = [next(iter(named([choice]))) for choice in choices]
        twice = next(text for text in texts if texts.count(text) > 1)
        raise InputError(f"{where}: two choices are called '{twice}'; remove one.")


def rules_of(space: Axes) -> SplitRules:
    """Return what widths are rounded to and how narrow they may be: as the splits say, else as equal MACs do."""
    found: SplitRules | None = space.get("splits") or space.get("equal_macs")
    return found or SplitRules()


def solves_widths(space: Axes) -> bool:
    """Return whether widths follow from the base's MACs, so that only the ratios between them count."""
    splits = space.get("splits")
    return bool(space.get("equal_macs") or (splits and splits.mode == "iso_macs"))


def groups(per: str, base: Spec, spec: Spec) -> dict[str, list[str]]:
    """Return the rows that share a decision, by the name of the row or by the base network's name of the stage."""
    if per == "row":
        return {row.name: [row.name] for row in searchable(spec)}
    return dict(zip(stages(base), stages(spec).values(), strict=True))


def common(name: str, rows: Sequence[str], by_row: Mapping[str, Any], where: str) -> Any:
    """Return what the rows of a group have in common, None where they have none; InputError where they differ."""
    found = {by_row[row] for row in rows if by_row[row] is not None}
    if len(found) > 1:
        raise InputError(
            f"{where}: the rows {', '.join(rows)} have no common {name} ({', '.join(map(str, sorted(found)))}); "
            "use per: row, or leave this start out."
        )
    return found.pop() if found else None
