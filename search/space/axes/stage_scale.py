"""The axis of the stages' scales: how the widths are shared between the stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from arch.specs.edit import Split, searchable, split_of, with_splits
from search.space.axes.base import Axis, Decisions, Draft, Range, Setting, axis, groups, rules_of, solves_widths
from search.space.axes.width import check_factors, factor_for
from search.space.choosers import Chooser
from search.space.compositions import SplitRules, check_shareable, proportional

_DEFAULT = {"low": 0.5, "high": 2.0, "log": True}


@axis
class StageScale(Axis, Range):
    """A factor for the output channels of each stage's rows; `{}` is 0.5 to 2, by its logarithm.

    At equal MACs (`splits.mode: iso_macs`, or `equal_macs`) all rows are scaled together afterwards, so that only the
    ratios between the stages count.
    """

    key: ClassVar = "stage_scale"
    title: ClassVar = "scales of the stages"
    turn: ClassVar = 68  # before the splits, which divide the channels that it leaves
    needs_splits: ClassVar = True

    @model_validator(mode="before")
    @classmethod
    def _with_default(cls, values: Any) -> Any:
        return _DEFAULT if isinstance(values, Mapping) and not values else values

    def check(self, setting: Setting, where: str) -> None:
        """Refuse what is no factor, and widths that four branches cannot share."""
        check_factors(self.ends, where)
        for row in searchable(setting.base):
            check_shareable(rules_of(setting.space), split_of(row).out, f"{where}, row {row.name}")

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw the factor of each stage; its rows keep their proportions."""
        rules, spec = rules_of(setting.space), draft.spec
        outs: dict[str, float] = {}
        for stage, rows in groups("stage", setting.base, spec).items():
            factor = self.draw(f"stage_scale.{stage}", chooser)
            outs |= {row: factor * split_of(spec.row(row)).out for row in rows}
        splits = {row: _scaled(rules, split_of(spec.row(row)), out) for row, out in outs.items()}
        return draft._replace(spec=with_splits(spec, splits), outs=outs)

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return a factor for each stage that leads to the wanted output channels."""
        rules, found = rules_of(setting.space), {}
        for stage, rows in groups("stage", setting.base, draft.spec).items():
            widths = [(split_of(draft.spec.row(row)).out, split_of(wanted.spec.row(row)).out) for row in rows]
            found[f"stage_scale.{stage}"] = factor_for(self, widths, rules.round, 4 * rules.least * rules.round)
        return self._within(found) if solves_widths(setting.space) else found

    def _within(self, factors: dict[str, float]) -> dict[str, float]:
        """Return factors in the same ratios within the range, where only ratios count and the range is wide enough."""
        least, most = min(factors.values()), max(factors.values())
        low, high = self.low or least, self.high or most
        if self.choices or (low <= least and most <= high) or most / least > high / low:
            return factors
        shift = math.sqrt(low * high / (least * most))  # to the middle of the range
        return {name: factor * shift for name, factor in factors.items()}


def _scaled(rules: SplitRules, split: Split, wanted: float) -> Split:
    """Return a split of about the wanted channels in the same proportions; as it is where these round to its own."""
    out = rules.round * max(4 * rules.least, round(wanted / rules.round))
    return split if out == split.out else proportional(rules, split, out)
