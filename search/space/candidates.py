"""Candidates: how a point of a space becomes a network and a recipe.

The axes that vary are in `search.space.axes`, the choosers that decide in `search.space.choosers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from arch.analysis.cost import cost
from arch.specs.spec import Spec
from search.recipes.recipe import Recipe
from search.space.axes.base import Draft, Setting
from search.space.choosers import Chooser, Endless, Enumerated
from search.space.iso_macs import Solved
from search.space.space import Space


@dataclass(frozen=True)
class Candidate:
    """A point of the space: a network and how to train it.

    Attributes
    ----------
    infeasible : why it must not be trained; empty where it may be. The spec is then the nearest that was found.
    violation : by what part it misses the tolerance of the wanted MACs, or a limit; 0 where it is feasible.
    """

    spec: Spec
    recipe: Recipe
    infeasible: str = ""
    violation: float = 0.0

    @property
    def key(self) -> str:
        """What makes two candidates the same: the hashes of expanded nodes, and of the recipe by heads."""
        update: dict[str, Any] = {"aux_weight": dict(self.recipe.head_weights(self.spec.aux_rows))}
        if not self.spec.aux_rows:
            update["aux_decay"] = "none"  # there is nothing that it could change
        return f"{self.spec.fingerprint}-{self.recipe.model_copy(update=update).id}"

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of the network without auxiliary heads."""
        return cost(self.spec).macs


def decode(space: Space, base: Spec, recipe: Recipe, chooser: Chooser) -> Candidate:
    """Return the candidate that a chooser's decisions make of the base network and recipe.

    A parameter is named by what it decides, such as `family.4` or `split.4a.b3x3`, and drawn only where
    it decides something; no other parameter changes its name or its meaning.
    """
    setting = Setting(space, base, recipe)
    return _settled(setting, _drawn(setting, chooser))


def _drawn(setting: Setting, chooser: Chooser) -> Draft:
    """Make every decision; widths that follow from all of them are solved later."""
    draft = Draft(setting.base, setting.recipe)
    for axis in setting.space.axes:
        draft = axis.drawn(setting, draft, chooser)
    return draft


def _settled(setting: Setting, draft: Draft) -> Candidate:
    """Return the candidate of a draft: as it is, or with its widths solved, and why it must not be trained."""
    missed: list[Solved] = []
    for axis in setting.space.axes:
        if solved := axis.settled(setting, draft):
            draft = draft._replace(spec=solved.spec)
            missed += [solved] if solved.missed else []
    reason = "; ".join(solved.missed for solved in missed)
    return Candidate(draft.spec, draft.recipe, reason, max((solved.violation for solved in missed), default=0.0))


def enumerate_space(space: Space, base: Spec, recipe: Recipe, most: int) -> list[Candidate] | None:
    """Return every candidate of a space, or None where there are more than `most` or infinitely many."""
    setting, found = Setting(space, base, recipe), []
    try:
        for drawn in _walk(setting):
            found.append(drawn)
            if len(found) > most:
                return None
    except Endless:
        return None
    return [_settled(setting, drawn) for drawn in found]


def _walk(setting: Setting) -> Iterator[Draft]:
    walker = Enumerated()
    while True:
        yield _drawn(setting, walker)
        if not walker.advance():
            return
