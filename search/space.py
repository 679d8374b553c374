"""The space of a study: what varies, and how a point of it becomes a spec and a recipe."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from optuna.trial import Trial
from pydantic import BaseModel, ConfigDict, Field, model_validator

from arch.cost import cost
from arch.edit import Split, families, searchable, split_of, stages, with_family, with_split
from arch.errors import InputError, near
from arch.registry import Reduced
from arch.spec import Spec
from search.recipe import Recipe, load_recipe

_Strict = ConfigDict(frozen=True, extra="forbid")
_Ratio = Annotated[float, Field(gt=0, le=4)]


class Splits(BaseModel):
    """Channel splits that keep each row's output channels, in multiples of `round`.

    `per` stage gives the rows of a stage the same proportions. `reduce` bounds a reduction's width
    by a part of the width behind it, and is at least one `round`. No branch is narrower than `minimum`.
    """

    model_config = _Strict
    per: Literal["row", "stage"] = "row"
    rows: list[str] = []
    round: int = Field(8, ge=1, le=1024)
    minimum: int = Field(8, ge=1)
    reduce: tuple[_Ratio, _Ratio] = (0.25, 1.0)


class Family(BaseModel):
    """The block family of each stage or row."""

    model_config = _Strict
    per: Literal["row", "stage"] = "stage"
    choices: list[str] = Field(min_length=1)


class Range(BaseModel):
    """A continuous value between two bounds, or one of a list of values."""

    model_config = _Strict
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


class Space(BaseModel):
    """What varies. `aux_weight` is drawn for each auxiliary head; `recipe` maps recipe keys to ranges."""

    model_config = _Strict
    splits: Splits | None = None
    family: Family | None = None
    aux_weight: Range | None = None
    recipe: dict[str, Range] = {}


@dataclass(frozen=True)
class Candidate:
    """A point of the space: a network and how to train it."""

    spec: Spec
    recipe: Recipe

    @property
    def key(self) -> str:
        """What makes two candidates the same: the hashes of expanded nodes, and of the recipe by heads."""
        weights = {"aux_weight": dict(self.recipe.head_weights(self.spec.aux_rows))}
        return f"{self.spec.fingerprint}-{self.recipe.model_copy(update=weights).id}"

    @property
    def macs(self) -> int:
        """Multiply-adds of the network without auxiliary heads."""
        return cost(self.spec).macs


class Chooser(Protocol):
    """Who decides: a sampler, or an enumeration of everything."""

    def pick(self, name: str, weights: Sequence[int]) -> int:
        """Return an index, likelier where the weight is larger."""
        ...

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        ...

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Return a number between two bounds."""
        ...


class Sampled:
    """Lets an Optuna trial decide. An ordered pick is a quantile between 0 and 1, so samplers see an order."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def pick(self, name: str, weights: Sequence[int]) -> int:
        """Return the index at a quantile of the weights' distribution."""
        quantile = self.trial.suggest_float(name, 0.0, 1.0)
        sums = list(itertools.accumulate(weights))
        return min(bisect.bisect_right(sums, quantile * sums[-1]), len(weights) - 1)

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        """Return a categorical suggestion."""
        return self.trial.suggest_categorical(name, list(options))

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Return a float suggestion."""
        return self.trial.suggest_float(name, low, high, log=log)


class _Endless(Exception):
    """The candidates cannot be counted off one by one."""


class _Enumerated:
    """Walks through every combination of choices, the last one changing fastest."""

    def __init__(self) -> None:
        self.path: list[list[int]] = []  # [chosen, of how many] for each decision
        self.names: list[str] = []

    def pick(self, name: str, weights: Sequence[int]) -> int:
        if name in self.names:  # one quantile for several rows: what it makes of each is not enumerable
            raise _Endless
        self.names.append(name)
        if len(self.names) > len(self.path):
            self.path.append([0, len(weights)])
        return self.path[len(self.names) - 1][0]

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        return options[self.pick(name, [1] * len(options))]

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        raise _Endless

    def advance(self) -> bool:
        self.names.clear()
        while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
            self.path.pop()
        if self.path:
            self.path[-1][0] += 1
        return bool(self.path)


def decode(space: Space, base: Spec, recipe: Recipe, chooser: Chooser) -> Candidate:
    """Return the candidate that a chooser's decisions make of the base network and recipe."""
    spec = base
    if space.family:
        for name, rows in _groups(space.family.per, base, []).items():
            spec = with_family(spec, chooser.choice(f"family.{name}", space.family.choices), rows)
    if space.splits:
        for name, rows in _groups(space.splits.per, base, space.splits.rows).items():
            for row in rows:
                out = split_of(base.row(row)).out
                spec = with_split(spec, row, _split(space.splits, out, f"split.{name}", chooser))
    changes: dict[str, Any] = {key: _value(f"recipe.{key}", r, chooser) for key, r in space.recipe.items()}
    if space.aux_weight:
        changes["aux_weight"] = {row: _value(f"aux_weight.{row}", space.aux_weight, chooser) for row in base.aux_rows}
    return Candidate(spec, load_recipe(recipe, changes) if changes else recipe)


def _groups(per: str, base: Spec, rows: Sequence[str]) -> dict[str, list[str]]:
    chosen = list(rows) or [row.name for row in searchable(base)]
    if per == "row":
        return {row: [row] for row in chosen}
    kept = {stage: [row for row in members if row in chosen] for stage, members in stages(base).items()}
    return {stage: members for stage, members in kept.items() if members}


def _value(name: str, values: Range, chooser: Chooser) -> Any:
    if values.choices:
        return chooser.choice(name, values.choices)
    return chooser.number(name, values.low or 0.0, values.high or 0.0, values.log)


def _split(space: Splits, out: int, name: str, chooser: Chooser) -> Split:
    """Draw a split of `out` channels: independent uniform picks make every composition equally likely."""
    least = -(-space.minimum // space.round)
    left = out // space.round
    parts = []
    for branch, after in (("b1x1", 3), ("b3x3", 2), ("b5x5", 1)):
        most = left - after * least
        weights = [compositions(left - width, after, least) for width in range(least, most + 1)]
        width = least + chooser.pick(f"{name}.{branch}", weights)
        parts.append(width * space.round)
        left -= width
    b1x1, b3x3, b5x5 = parts
    r3 = _reduction(space, b3x3, f"{name}.b3x3.reduce", chooser)
    r5 = _reduction(space, b5x5, f"{name}.b5x5.reduce", chooser)
    return Split(b1x1, Reduced(r3, b3x3), Reduced(r5, b5x5), left * space.round)


def compositions(total: int, parts: int, least: int) -> int:
    """Return in how many ways `total` is an ordered sum of `parts` whole numbers of at least `least`."""
    free = total - parts * least
    return math.comb(free + parts - 1, parts - 1) if free >= 0 else 0


def _reduction(space: Splits, out: int, name: str, chooser: Chooser) -> int:
    low, high = space.reduce
    first = max(1, math.ceil(low * out / space.round))
    last = max(first, math.floor(high * out / space.round))
    return (first + chooser.pick(name, [1] * (last - first + 1))) * space.round


def enumerate_space(space: Space, base: Spec, recipe: Recipe, most: int) -> list[Candidate] | None:
    """Return every candidate of a space, or None where there are more than `most` or endlessly many."""
    walker, found = _Enumerated(), []
    try:
        while True:
            found.append(decode(space, base, recipe, walker))
            if len(found) > most:
                return None
            if not walker.advance():
                return found
    except _Endless:
        return None


def check_space(space: Space, base: Spec, recipe: Recipe, where: str) -> None:
    """Raise InputError where a space does not fit its base network; names the key and a remedy."""
    rows = {row.name: row for row in searchable(base)}
    if space.splits:
        for name in space.splits.rows or rows:
            if name not in rows:
                raise InputError(
                    f"{where}, space.splits: '{name}' is no row with a split.{near(name, rows)} Rows: {', '.join(rows) or 'none'}."
                )
            _check_split(space.splits, split_of(rows[name]).out, f"{where}, space.splits, row {name}")
        if space.splits.reduce[0] > space.splits.reduce[1]:
            raise InputError(f"{where}, space.splits.reduce: the first ratio is the smaller one.")
    for family in space.family.choices if space.family else []:
        if family not in families():
            raise InputError(
                f"{where}, space.family: there is no family '{family}'.{near(family, families())} Families: {', '.join(families())}."
            )
    if space.aux_weight and not base.aux_rows:
        raise InputError(f"{where}, space.aux_weight: {base.name} has no auxiliary head; add one or remove the key.")
    for key, values in space.recipe.items():
        if key not in Recipe.model_fields or key in ("name", "source", "aux_weight"):
            raise InputError(f"{where}, space.recipe: '{key}' cannot be searched.{near(key, Recipe.model_fields)}")
        if not values.choices and Recipe.model_fields[key].annotation is not float:
            raise InputError(
                f"{where}, space.recipe.{key}: only choices can be searched here, such as choices: [64, 128]."
            )
        for value in values.choices or [values.low, values.high]:
            try:
                load_recipe(recipe, {key: value})
            except InputError as error:
                raise InputError(f"{where}, space.recipe.{key}: {error}") from None
    if not (space.splits or space.family or space.aux_weight or space.recipe):
        raise InputError(f"{where}, space: nothing varies; add splits, family, aux_weight or recipe.")


def _check_split(space: Splits, out: int, where: str) -> None:
    if out % space.round:
        raise InputError(
            f"{where}: {out} output channels are no multiple of round: {space.round}; choose a divisor of {out}."
        )
    if out < 4 * -(-space.minimum // space.round) * space.round:
        raise InputError(
            f"{where}: {out} output channels cannot be four branches of at least {space.minimum}; lower minimum or round."
        )
