"""From a network and recipe back to a space's parameters: the inverse of `search.space.candidates.decode`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from optuna.trial import FixedTrial, Trial

from arch.errors import InputError, near
from arch.registry import Reduced
from arch.specs.edit import searchable, split_of, stages
from arch.specs.spec import Spec
from search.recipes.recipe import APART, Recipe
from search.space.axes import Space, Splits
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.compositions import reduction_bounds


def middle(weights: Sequence[int], index: int) -> float:
    """Return the quantile in the middle of what makes an ordered pick take `index`."""
    low, high = _interval(weights, index)
    return (low + high) / 2


def _interval(weights: Sequence[int], index: int) -> tuple[float, float]:
    sums = [0, *itertools.accumulate(weights)]
    return sums[index] / sums[-1], sums[index + 1] / sums[-1]


def encode(
    space: Space, base: Spec, recipe: Recipe, spec: Spec, target: Recipe | None = None, where: str = "encode"
) -> dict[str, Any]:
    """Return the parameter values of which `decode` makes this network (and recipe).

    Parameters
    ----------
    base, recipe : what the space varies.
    spec, target : the network to be expressed, and how it is trained (by default as `recipe` says).
    where : stands at the start of errors.

    Raises
    ------
    InputError
        No point of the space is this network; names the row or key and why.

    Examples
    --------
    >>> import arch, search
    >>> from search.space.axes import Space
    >>> base, recipe = arch.load("googlenet_cifar_tiny"), search.load_recipe("default")
    >>> encode(Space.model_validate({"aux_weight": {"low": 0.0, "high": 0.6}}), base, recipe, base)
    {'aux_weight.3b': 0.3}
    """
    _check_rows(base, spec, where)
    asked = Candidate(spec, target or recipe)
    chooser = _Towards(space, base, asked, where)
    decode(space, base, recipe, chooser)
    values = chooser.values()
    fixed = cast(Trial, FixedTrial(values))
    _check_same(decode(space, base, recipe, Sampled(fixed)), asked, where)
    return values


class _Towards:
    """Answers every question of `decode` so that it becomes a given candidate, and notes what that takes."""

    def __init__(self, space: Space, base: Spec, asked: Candidate, where: str) -> None:
        self.space, self.asked, self.where = space, asked, where
        self.stages = stages(base)
        self.turn: dict[str, int] = {}  # how many rows of a stage have been asked for each branch
        self.intervals: dict[str, tuple[float, float]] = {}
        self.named: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return every parameter's value."""
        return {name: (low + high) / 2 for name, (low, high) in self.intervals.items()} | self.named

    def pick(self, name: str, weights: Sequence[int]) -> int:
        kind, _, rest = name.partition(".")
        group, _, branch = rest.partition(".")
        splits = self.space.splits
        if kind != "split" or not splits:
            raise InputError(f"{self.where}: {name} cannot be expressed in the space's parameters.")
        members = [row for row in self._members(splits.per, group) if row in splits.rows or not splits.rows]
        row = members[self.turn.get(name, 0) % len(members)]
        self.turn[name] = self.turn.get(name, 0) + 1
        index = _index(splits, self.asked.spec, row, branch)
        if index is None or not 0 <= index < len(weights):
            raise InputError(
                f"{self.where}, row {row}, {branch}: its width is none that space.splits allows; "
                "change round, minimum or reduce, or leave this start out."
            )
        low, high = _interval(weights, index)
        before = self.intervals.get(name, (0.0, 1.0))
        self.intervals[name] = max(low, before[0]), min(high, before[1])
        if self.intervals[name][0] >= self.intervals[name][1]:
            raise InputError(
                f"{self.where}, row {row}, {branch}: the rows of stage {group} have no common proportions; "
                "use splits.per: row, or leave this start out."
            )
        return index

    def choice(self, name: str, names: Sequence[str]) -> str:
        value = self._chosen(name)
        chosen = next((text for text in names if text == value or _read(text) == value), None)
        if chosen is None:
            raise InputError(f"{self.where}: {name} is {value!r}, and is none of the choices ({', '.join(names)}).")
        self.named[name] = chosen
        return chosen

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        value = float(self._chosen(name))
        if not low <= value <= high:
            raise InputError(f"{self.where}: {name} is {value}, outside of {low} to {high}; widen the range.")
        self.named[name] = value
        return value

    def _members(self, per: str, group: str) -> list[str]:
        return self.stages[group] if per == "stage" else [group]

    def _chosen(self, name: str) -> Any:
        """Return what a named parameter is in the network that is to be expressed."""
        kind, _, key = name.partition(".")
        spec, recipe = self.asked.spec, self.asked.recipe
        if kind == "aux":
            return next((name for name, rows in self.space.aux.items() if tuple(rows) == spec.aux_rows), spec.aux_rows)
        if kind == "aux_weight":
            return recipe.head_weights(spec.aux_rows).get(key, 0.0)
        if kind == "recipe":
            return getattr(recipe, key)
        if kind == "family" and self.space.family:
            return self._common(name, self.space.family.per, {row.name: row.block for row in spec.rows})
        if kind == "kernel" and self.space.kernel:
            return self._common(name, self.space.kernel.per, {row.name: row.args.get("n") for row in spec.rows})
        if kind == "residual_scale":
            return next(row.args["scale"] for row in searchable(spec) if "scale" in row.definition.parameters)
        raise InputError(f"{self.where}: {name} cannot be expressed in the space's parameters.")

    def _common(self, name: str, per: str, by_row: Mapping[str, Any]) -> Any:
        """Return what the rows of a stage have in common."""
        rows = self._members(per, name.partition(".")[2])
        found = {by_row[row] for row in rows if by_row[row] is not None}
        if len(found) > 1:
            raise InputError(
                f"{self.where}: the rows {', '.join(rows)} have no common {name.partition('.')[0]} "
                f"({', '.join(map(str, sorted(found)))}); use per: row, or leave this start out."
            )
        return found.pop()


def _read(text: str) -> Any:
    """Return what a choice's name stands for; see `search.space.axes.named`."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _index(space: Splits, spec: Spec, row: str, branch: str) -> int | None:
    """Return which of its widths, counted from the narrowest, a branch of a row has; None between two."""
    found = split_of(spec.row(row))
    part, _, reduction = branch.partition(".")
    width = getattr(found, part)
    if isinstance(width, Reduced):
        width = width.reduce if reduction else width.out
    least = space.least * space.round
    if reduction:
        least = reduction_bounds(space, getattr(found, part).out)[0]
    return (width - least) // space.round if width % space.round == 0 else None


def _check_rows(base: Spec, spec: Spec, where: str) -> None:
    """Refuse a network of other rows."""
    ours, theirs = [row.name for row in base.rows], [row.name for row in spec.rows]
    for name in theirs:
        if name not in ours:
            raise InputError(f"{where}: {spec.name} has a row '{name}' that {base.name} has not.{near(name, ours)}")
    for name in ours:
        if name not in theirs:
            raise InputError(f"{where}: {spec.name} has no row '{name}', and {base.name} has one.")
    if ours != theirs:
        raise InputError(f"{where}: the rows of {spec.name} come in another order than those of {base.name}.")
    known = {row.name for row in searchable(base)}
    for row in spec.rows:
        if row.name in known and row.name not in {r.name for r in searchable(spec)}:
            raise InputError(f"{where}, row {row.name}: {row.block} has no split, and in {base.name} this row has one.")


def _check_same(found: Candidate, asked: Candidate, where: str) -> None:
    """Refuse what the space's parameters do not reach, naming the first row or key that differs."""
    if found.key == asked.key:
        return
    for ours, theirs in zip(found.spec.rows, asked.spec.rows, strict=True):
        if (ours.block, ours.args, ours.style) != (theirs.block, theirs.args, theirs.style):
            raise InputError(
                f"{where}, row {theirs.name}: {theirs.block} {dict(theirs.args)} is not reached by the space "
                f"(nearest: {ours.block} {dict(ours.args)}); vary what differs, or leave this start out."
            )
    weights = asked.recipe.head_weights(asked.spec.aux_rows)
    mine, yours = found.recipe.model_dump(), asked.recipe.model_dump()
    for key in yours:
        if key not in (*APART, "aux_weight") and mine[key] != yours[key]:
            raise InputError(f"{where}, recipe: {key} is {yours[key]!r}, and the study's is {mine[key]!r}; vary it.")
    if found.spec.aux_rows != asked.spec.aux_rows:
        raise InputError(
            f"{where}: its auxiliary heads are on {', '.join(asked.spec.aux_rows) or 'no row'}, and the study's on "
            f"{', '.join(found.spec.aux_rows) or 'no row'}."
        )
    if found.recipe.head_weights(found.spec.aux_rows) != weights:
        raise InputError(f"{where}, recipe: aux_weight is {weights!r}, which the space does not reach; vary it.")
    raise InputError(
        f"{where}: {asked.spec.name} is not {found.spec.name} in its input, classes, style or heads, "
        "which the space does not vary."
    )
