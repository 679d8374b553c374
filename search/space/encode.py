"""Express a network and recipe in a space's parameters: the inverse of `search.space.candidates.decode`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, cast

from optuna.trial import FixedTrial, Trial

from arch.errors import InputError, near
from arch.specs.edit import searchable
from arch.specs.spec import Spec
from search.recipes.recipe import Recipe
from search.space.axes.base import Decisions, Draft, Pick, Setting
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.space import Space


def middle(weights: Sequence[float], index: int) -> float:
    """Return the middle of the quantiles at which an ordered pick takes `index`."""
    low, high = _interval(weights, index)
    return (low + high) / 2


def _interval(weights: Sequence[float], index: int) -> tuple[float, float]:
    sums = [0, *itertools.accumulate(weights)]
    return sums[index] / sums[-1], sums[index + 1] / sums[-1]


def encode(
    space: Space, base: Spec, recipe: Recipe, spec: Spec, target: Recipe | None = None, where: str = "encode"
) -> dict[str, Any]:
    """Return the parameter values that `decode` turns into this network (and recipe).

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
    >>> from search import Space
    >>> base, recipe = arch.load("googlenet_cifar_tiny"), search.load_recipe("default")
    >>> encode(Space.model_validate({"aux_weight": {"low": 0.0, "high": 0.6}}), base, recipe, base)
    {'aux_weight.3b': 0.3}
    """
    wanted = Candidate(spec, target or recipe)
    setting, draft = Setting(space, base, recipe), Draft(base, recipe)
    values: dict[str, Any] = {}
    # Axis by axis: its decisions for the wanted network, then the draft that they make for the next axis.
    for place, axis in enumerate(space.axes):
        if not any(later.adds_rows for later in space.axes[place:]):
            _check_rows(draft.spec, spec, where)
        decisions = axis.decisions(setting, draft, Draft(wanted.spec, wanted.recipe), where)
        chooser = _Decided(decisions, where)
        draft = axis.drawn(setting, draft, chooser)
        values |= chooser.values()
    _check_rows(draft.spec, spec, where)
    # What no axis varies may still differ: decode the values and compare.
    _check_same(decode(space, base, recipe, Sampled(cast(Trial, FixedTrial(values)))), wanted, where)
    return values


class _Decided:
    """A chooser that makes given decisions, and records the parameter values that lead to them."""

    def __init__(self, decisions: Decisions, where: str) -> None:
        self.decisions, self.where = decisions, where
        self.turn: dict[str, int] = {}  # how many rows a parameter has served
        self.intervals: dict[str, tuple[float, float]] = {}
        self.named: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return every parameter's value."""
        return {name: (low + high) / 2 for name, (low, high) in self.intervals.items()} | self.named

    def pick(self, name: str, weights: Sequence[float]) -> int:
        picks: Sequence[Pick] = self._decision(name)
        index, row, branch = picks[self.turn.get(name, 0)]
        self.turn[name] = self.turn.get(name, 0) + 1
        if index is None or not 0 <= index < len(weights):
            raise InputError(
                f"{self.where}, row {row}, {branch}: space.splits does not allow its width; "
                "change round, minimum or reduce, or leave this start out."
            )
        # One quantile serves all rows of a stage: it must lie in the interval of each.
        low, high = _interval(weights, index)
        before = self.intervals.get(name, (0.0, 1.0))
        self.intervals[name] = max(low, before[0]), min(high, before[1])
        if self.intervals[name][0] >= self.intervals[name][1]:
            raise InputError(
                f"{self.where}, row {row}, {branch}: the rows of stage {name.split('.')[1]} have no common proportions; "
                "use splits.per: row, or leave this start out."
            )
        return index

    def choice(self, name: str, names: Sequence[str]) -> str:
        value = self._decision(name)
        chosen = next((text for text in names if text == value or _read(text) == value), None)
        if chosen is None:
            raise InputError(f"{self.where}: {name} is {value!r}, and is none of the choices ({', '.join(names)}).")
        self.named[name] = chosen
        return chosen

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        value = float(self._decision(name))
        if not low <= value <= high:
            raise InputError(f"{self.where}: {name} is {value}, outside of {low} to {high}; widen the range.")
        self.named[name] = value
        return value

    def _decision(self, name: str) -> Any:
        if name not in self.decisions:
            raise InputError(f"{self.where}: {name} cannot be expressed in the space's parameters.")
        return self.decisions[name]


def _read(text: str) -> Any:
    """Return the value of a choice from its name; see `search.space.axes.base.named`."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_rows(base: Spec, spec: Spec, where: str) -> None:
    """Refuse a network with other rows than the base, or than the base with the rows that the space adds or drops."""
    ours, theirs = [row.name for row in base.rows], [row.name for row in spec.rows]
    for name in theirs:
        if name not in ours:
            raise InputError(
                f"{where}: {spec.name} has a row '{name}' that {base.name} does not have.{near(name, ours)}"
            )
    for name in ours:
        if name not in theirs:
            raise InputError(f"{where}: {spec.name} has no row '{name}', and {base.name} has one.")
    known = {row.name for row in searchable(base)}
    for row in spec.rows:
        if row.name in known and row.name not in {r.name for r in searchable(spec)}:
            raise InputError(f"{where}, row {row.name}: {row.block} has no split, and in {base.name} this row has one.")


def _check_same(found: Candidate, wanted: Candidate, where: str) -> None:
    """Refuse what the space's parameters do not reach, naming the first row or key that differs."""
    if found.key == wanted.key:
        return
    if [row.name for row in found.spec.rows] != [row.name for row in wanted.spec.rows]:
        raise InputError(
            f"{where}: the rows of {wanted.spec.name} come in another order than those of {found.spec.name}."
        )
    for ours, theirs in zip(found.spec.rows, wanted.spec.rows, strict=True):
        if (ours.block, ours.args, ours.style) != (theirs.block, theirs.args, theirs.style):
            raise InputError(
                f"{where}, row {theirs.name}: {theirs.block} {dict(theirs.args)} is not reached by the space "
                f"(nearest: {ours.block} {dict(ours.args)}); vary what differs, or leave this start out."
            )
    weights = wanted.recipe.head_weights(wanted.spec.aux_rows)
    for key in wanted.recipe.differing(found.recipe):
        if key != "aux_weight":
            mine, yours = getattr(found.recipe, key), getattr(wanted.recipe, key)
            raise InputError(f"{where}, recipe: {key} is {yours!r}, and the study's is {mine!r}; vary it.")
    if found.spec.aux_rows != wanted.spec.aux_rows:
        raise InputError(
            f"{where}: its auxiliary heads are on {', '.join(wanted.spec.aux_rows) or 'no row'}, and the study's on "
            f"{', '.join(found.spec.aux_rows) or 'no row'}."
        )
    if found.recipe.head_weights(found.spec.aux_rows) != weights:
        raise InputError(f"{where}, recipe: aux_weight is {weights!r}, which the space does not reach; vary it.")
    raise InputError(
        f"{where}: {wanted.spec.name} is not {found.spec.name} in its input, classes, style or heads, "
        "which the space does not vary."
    )
