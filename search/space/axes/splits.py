"""The axis of channel splits: how rows divide their channels among the four branches."""

from __future__ import annotations

from typing import ClassVar, Literal

from arch.analysis.cost import cost
from arch.errors import InputError, near
from arch.registry import Reduced
from arch.specs.edit import searchable, split_of, with_splits
from arch.specs.spec import Spec
from search.space.axes.base import Axis, Decisions, Draft, Pick, Setting, axis, groups
from search.space.axes.width import narrowest
from search.space.choosers import Chooser
from search.space.compositions import SplitRules, check_shareable, draw_split, proportional, reduction_bounds
from search.space.iso_macs import Solved, solve

_BRANCHES = ("b1x1", "b3x3", "b5x5", "b3x3.reduce", "b5x5.reduce")  # in the order in which they are drawn


@axis
class Splits(Axis, SplitRules):
    """Channel splits in multiples of `round` that sum exactly to each row's output channels.

    Attributes
    ----------
    mode : `keep_width` leaves the output channels. `iso_macs` scales those of all searched rows by one
        factor, so that every candidate has the base network's MACs (without auxiliary heads) within
        `tolerance`, a part of them; only the proportions differ.
    per : `stage` gives the rows of a stage the same proportions.
    rows : the rows whose split varies; empty: all that have one.
    """

    key: ClassVar = "splits"
    title: ClassVar = "channel splits"
    turn: ClassVar = 70
    needs_splits: ClassVar = True

    mode: Literal["keep_width", "iso_macs"] = "keep_width"
    per: Literal["row", "stage"] = "row"
    rows: list[str] = []

    def searched(self, spec: Spec) -> list[str]:
        """Return the rows whose split varies; one that is listed may have been dropped."""
        return [row.name for row in searchable(spec) if not self.rows or row.name in self.rows]

    def check(self, setting: Setting, where: str) -> None:
        """Refuse rows that have no split, and widths that four branches cannot share."""
        narrow = narrowest(setting)
        rows = {row.name: row for row in searchable(narrow)}
        for name in self.rows or rows:
            if name not in rows:
                raise InputError(
                    f"{where}: '{name}' is no row with a split.{near(name, rows)} Rows: {', '.join(rows)}."
                )
            wider = ", or raise the lowest width" if setting.space.get("width") else ""
            check_shareable(self, split_of(rows[name]).out, f"{where}, row {name}", wider)
        if self.reduce[0] > self.reduce[1]:
            raise InputError(f"{where}.reduce: the first ratio is the smaller one.")

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw each row's split; the rows of a stage are drawn by the same parameters."""
        searched = self.searched(draft.spec)
        drawn = {}
        for name, rows in groups(self.per, setting.base, draft.spec).items():
            for row in (row for row in rows if row in searched):
                drawn[row] = draw_split(self, split_of(draft.spec.row(row)).out, f"split.{name}", chooser)
        return draft._replace(spec=with_splits(draft.spec, drawn))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the width of each branch, counted from the narrowest, row by row."""
        searched = self.searched(draft.spec)
        return {
            f"split.{name}.{branch}": [
                Pick(self._index(draft.spec, wanted.spec, row, branch), row, branch) for row in rows if row in searched
            ]
            for name, rows in groups(self.per, setting.base, draft.spec).items()
            for branch in _BRANCHES
        }

    def _index(self, draft: Spec, spec: Spec, row: str, branch: str) -> int | None:
        found = split_of(spec.row(row))
        if self.mode == "iso_macs" and found.out != split_of(draft.row(row)).out:
            found = proportional(self, found, split_of(draft.row(row)).out)
        part, _, reduction = branch.partition(".")
        width = getattr(found, part)
        if isinstance(width, Reduced):
            width = width.reduce if reduction else width.out
        least = self.least * self.round
        if reduction:
            least = reduction_bounds(self, getattr(found, part).out)[0]
        return (width - least) // self.round if width % self.round == 0 else None

    def settled(self, setting: Setting, draft: Draft) -> Solved | None:
        """Scale the searched rows to the base network's MACs, where the mode says so."""
        if self.mode == "keep_width":
            return None
        drawn = {row: split_of(draft.spec.row(row)) for row in self.searched(draft.spec)}
        return solve(draft.spec, drawn, cost(setting.base).macs, self, draft.outs)
