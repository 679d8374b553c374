"""The axis of widths: one factor for every channel number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from arch.errors import InputError
from arch.specs.edit import with_width
from arch.specs.spec import Spec
from search.space.axes.base import Axis, Draft, Range, Setting, axis, check_names, rules_of, solves_widths
from search.space.choosers import Chooser

_WIDEST = 16  # the largest factor


@axis
class Width(Axis, Range):
    """A factor for every channel number, in multiples of `splits.round`, or of 8 without splits."""

    key: ClassVar = "width"
    title: ClassVar = "widths"
    turn: ClassVar = 30

    def check(self, setting: Setting, where: str) -> None:
        """Refuse what is no factor, and a width where `iso_macs` already decides it."""
        if solves_widths(setting.space):
            raise InputError(
                f"{where}: with splits.mode: iso_macs or equal_macs the widths follow from the MACs; remove width, or "
                "take mode: keep_width."
            )
        check_factors(self.ends, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw the factor."""
        factor = self.draw("width", chooser)
        return draft._replace(spec=with_width(draft.spec, factor, rules_of(setting.space).round))


def check_factors(factors: Sequence[Any], where: str) -> None:
    """Refuse what cannot multiply widths, and two factors with the same name."""
    for factor in factors:
        if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor <= _WIDEST:
            raise InputError(f"{where}: {factor!r} is no factor; use numbers above 0, at most {_WIDEST}.")
    check_names(factors, where)


def factor_for(values: Range, widths: Sequence[tuple[int, int]], unit: int, least: int) -> float:
    """Return which of a range's factors turns widths into others, in multiples of `unit` and of at least `least`.

    Parameters
    ----------
    widths : each width before and after.

    Returns
    -------
    1 where the widths stay and the range allows it. The nearest factor, where none leads to all of them.
    """
    # Each pair leaves an interval of factors. Its ends may round either way: take the middle of what is common to all.
    lows = {(after, before): (after - unit / 2) / before for before, after in widths}
    high = min((after + unit / 2) / before for before, after in widths)
    low = max(lows.values())
    if low >= high:  # the least width comes of any smaller factor, too; stay near the others
        low = max([0.8 * high, *(value for (after, _), value in lows.items() if after > least)])
    middle = 1.0 if low < 1 < high else (low + high) / 2
    if values.choices:
        return float(min(values.choices, key=lambda choice: abs(choice - middle)))
    first, last = max(low, values.low or 0.0), min(high, values.high or 0.0)
    return middle if first >= last or first <= middle <= last else (first + last) / 2


def narrowest(setting: Setting) -> Spec:
    """Return the base network at the lowest width that the space allows; as it is where width does not vary."""
    width = setting.space.get("width")
    if not width or not all(isinstance(end, int | float) and end > 0 for end in width.ends):
        return setting.base
    return with_width(setting.base, min(width.ends), rules_of(setting.space).round)
