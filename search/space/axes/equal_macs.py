"""Equal MACs where the splits do not vary: the widths are solved, each row keeps its proportions."""

from __future__ import annotations

import itertools
from typing import ClassVar

from arch.analysis.cost import cost
from arch.errors import InputError
from arch.specs.edit import searchable, split_of
from search.space.axes.base import Axis, Draft, Setting, axis
from search.space.choosers import Chooser
from search.space.compositions import SplitRules, check_shareable
from search.space.iso_macs import Solved, solve

_NEAR = 0.03  # a solved network is a point of the space: drawn at its widths, it only needs its reductions moved


@axis
class EqualMacs(Axis, SplitRules):
    """The base's MACs for every candidate, where splits do not vary: one factor scales all rows with a split.

    It decides nothing by itself. Rows keep the base network's proportions; a network that has the MACs already,
    such as the base, stays as it is.
    """

    key: ClassVar = "equal_macs"
    title: ClassVar = "widths at equal MACs"
    turn: ClassVar = 100
    decides: ClassVar = False
    needs_splits: ClassVar = True

    def check(self, setting: Setting, where: str) -> None:
        """Refuse spaces where splits vary, and widths that four branches cannot share."""
        if setting.space.get("splits"):
            raise InputError(f"{where}: splits vary; remove equal_macs and use splits.mode: iso_macs.")
        for row in searchable(setting.base):
            check_shareable(self, split_of(row).out, f"{where}, row {row.name}")

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Return the draft as it is."""
        return draft

    def settled(self, setting: Setting, draft: Draft) -> Solved:
        """Scale all rows with a split to the base network's MACs, in the base's proportions."""
        own = {row.name: split_of(row) for row in searchable(setting.base)}
        for before, row in itertools.pairwise(searchable(draft.spec)):
            own.setdefault(row.name, own[before.name])  # rows that a stage got repeat the one before them
        proportions = {row.name: own[row.name] for row in searchable(draft.spec)}
        return solve(draft.spec, proportions, cost(setting.base).macs, self, draft.outs, _NEAR)
