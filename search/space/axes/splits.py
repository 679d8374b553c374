"""The axis of channel splits: how rows divide their channels among the four branches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from arch.analysis.cost import cost
from arch.errors import InputError, near, within
from arch.registry import Reduced
from arch.specs.edit import searchable, split_of, stages, with_splits
from arch.specs.read import load
from arch.specs.spec import Spec
from search.space.axes.base import STRICT, Axis, Decisions, Draft, Pick, Setting, axis, groups
from search.space.axes.width import narrowest
from search.space.choosers import Chooser
from search.space.compositions import SplitRules, check_shareable, draw_split, proportional, reduction_bounds
from search.space.iso_macs import Solved, solve
from search.space.priors import Around, Prior, Uniform

_BRANCHES = ("b1x1", "b3x3", "b5x5", "b3x3.reduce", "b5x5.reduce")  # in the order in which they are drawn
_BASE = "base"  # how a study's file calls the study's own network


class Point(BaseModel):
    """The point around which splits are drawn.

    Attributes
    ----------
    network : `base`, the name of a network, or a file.
    spread : how near, by the logarithm of a share's ratio to the network's; see `search.space.priors.Around`.
    """

    model_config = STRICT
    network: str = _BASE
    spread: float = Field(0.35, ge=0.01, le=1e6)


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
    around : makes splits likelier the nearer their shares are to a network's; without it all are equally likely.
        With `per: stage` the rows of a stage then share how they differ from it, not their proportions.
    """

    key: ClassVar = "splits"
    title: ClassVar = "channel splits"
    turn: ClassVar = 70
    needs_splits: ClassVar = True

    mode: Literal["keep_width", "iso_macs"] = "keep_width"
    per: Literal["row", "stage"] = "row"
    rows: list[str] = []
    around: Point | None = None

    @classmethod
    def known_keys(cls, part: str = "") -> list[str]:
        """Return the keys of `splits`, or of its `around`."""
        return list(Point.model_fields) if part == "around" else super().known_keys()

    @cached_property
    def reference(self) -> Spec | None:
        """The network around which splits are drawn, where it is not the base."""
        return load(self.around.network) if self.around and self.around.network != _BASE else None

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
        self._check_reference(self.rows or list(rows), f"{where}.around")

    def _check_reference(self, rows: Sequence[str], where: str) -> None:
        """Refuse a network that lacks the split of a searched row."""
        with within(where):
            reference = self.reference
        known = [row.name for row in searchable(reference)] if reference else rows
        for name in rows:
            if reference and name not in known:
                raise InputError(
                    f"{where}: {reference.name} has no row '{name}' with a split; choose a network with the rows that "
                    "are searched, or limit these by splits.rows."
                )

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw each row's split; the rows of a stage are drawn by the same parameters."""
        searched = self.searched(draft.spec)
        drawn = {}
        for name, rows in groups(self.per, setting.base, draft.spec).items():
            for row in (row for row in rows if row in searched):
                out, prior = split_of(draft.spec.row(row)).out, self._prior(setting, draft.spec, row)
                drawn[row] = draw_split(self, out, f"split.{name}", chooser, prior)
        return draft._replace(spec=with_splits(draft.spec, drawn))

    def _prior(self, setting: Setting, spec: Spec, row: str) -> Prior:
        """Return how likely each split of a row is."""
        if not self.around:
            return Uniform()
        reference = self.reference or setting.base
        return Around(split_of(reference.row(_counterpart(spec, row, reference))), self.around.spread)

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


def _counterpart(spec: Spec, row: str, reference: Spec) -> str:
    """Return the row of a reference for a row: of the same name, or that of the nearest row of its stage.

    Of two that are equally near it is the earlier one. Where no row of the stage is in the reference, another stage
    serves.
    """
    known = {other.name for other in searchable(reference)}
    order = [other.name for other in searchable(spec)]
    stage = next(rows for rows in stages(spec).values() if row in rows)
    place = order.index(row)
    able = (name for name in order if name in known)
    return min(able, key=lambda name: (name not in stage, abs(order.index(name) - place)))
