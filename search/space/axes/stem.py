"""The axis of the stem: how wide the layers before the first row with a split are."""

from __future__ import annotations

import itertools
from typing import ClassVar

from arch.analysis.cost import cost
from arch.errors import InputError
from arch.specs.edit import searchable, with_width
from arch.specs.spec import Spec
from search.space.axes.base import Axis, Decisions, Draft, Range, Setting, axis, check_names, rules_of
from search.space.axes.width import check_factors, factor_for
from search.space.choosers import Chooser


@axis
class Stem(Axis, Range):
    """The widths of the rows before the first one with a split.

    `low` and `high` bound a factor for all their channel numbers. `choices` are output channels of the stem instead;
    its other layers are scaled alike. All channel numbers are multiples of `round`, as with `width`.
    """

    key: ClassVar = "stem"
    title: ClassVar = "stem widths"
    turn: ClassVar = 35
    needs_splits: ClassVar = True

    def check(self, setting: Setting, where: str) -> None:
        """Refuse networks without a stem, and what is no width or factor."""
        base, unit = setting.base, rules_of(setting.space).round
        if not _stem(base):
            raise InputError(f"{where}: {base.name} has no layer with channels before its first row with a split.")
        if _scaled(base, 1.0, unit) != base:
            raise InputError(f"{where}: the stem's channels are no multiples of round: {unit}; choose another round.")
        if not self.choices:
            return check_factors(self.ends, where)
        for width in self.choices:
            if not isinstance(width, int) or width < 1 or _width(_scaled(base, width / _width(base), unit)) != width:
                raise InputError(f"{where}: {width!r} is no width of this stem; use multiples of round: {unit}.")
        check_names(self.choices, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw a factor, or choose the output channels."""
        value = self.draw("stem", chooser)
        factor = value / _width(draft.spec) if self.choices else value
        return draft._replace(spec=_scaled(draft.spec, factor, rules_of(setting.space).round))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the wanted network's output channels, or a factor that leads to them."""
        before, after = _width(draft.spec), _width(wanted.spec)
        unit = rules_of(setting.space).round
        return {"stem": after if self.choices else factor_for(self, [(before, after)], unit, unit)}


def _stem(spec: Spec) -> list[str]:
    """Return the rows with channel numbers before the first one with a split."""
    first = searchable(spec)[0].name
    before = itertools.takewhile(lambda row: row.name != first, spec.rows)
    return [row.name for row in before if row.definition.widths]


def _width(spec: Spec) -> int:
    """Return the output channels of the stem's last row."""
    return {row.name: row.output[0] for row in cost(spec).rows}[_stem(spec)[-1]]


def _scaled(spec: Spec, factor: float, unit: int) -> Spec:
    return with_width(spec, factor, unit, _stem(spec))
