"""The axis of widths: one factor for every channel number."""

from __future__ import annotations

from typing import ClassVar

from arch.errors import InputError
from arch.specs.edit import with_width
from arch.specs.spec import Spec
from search.space.axes.base import Axes, Axis, Draft, Range, Setting, axis, check_names
from search.space.choosers import Chooser

_WIDEST = 16  # the largest factor
_ROUND = 8  # what a scaled channel number is a multiple of, without splits


@axis
class Width(Axis, Range):
    """A factor for every channel number, in multiples of `splits.round`, or of 8 without splits."""

    key: ClassVar = "width"
    title: ClassVar = "widths"
    turn: ClassVar = 30

    def check(self, setting: Setting, where: str) -> None:
        """Refuse what is no factor, and a width where `iso_macs` already decides it."""
        splits = setting.space.get("splits")
        if splits and splits.mode == "iso_macs":
            raise InputError(
                f"{where}: with splits.mode: iso_macs the widths follow from the MACs; remove width, or take "
                "mode: keep_width."
            )
        for end in self.ends:
            if not isinstance(end, int | float) or isinstance(end, bool) or not 0 < end <= _WIDEST:
                raise InputError(f"{where}: {end!r} is no factor; use numbers above 0, at most {_WIDEST}.")
        check_names(self.ends, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw the factor."""
        factor = self.draw("width", chooser)
        return draft._replace(spec=with_width(draft.spec, factor, _round(setting.space)))


def narrowest(setting: Setting) -> Spec:
    """Return the base network at the lowest width that the space allows; as it is where width does not vary."""
    width = setting.space.get("width")
    if not width or not all(isinstance(end, int | float) and end > 0 for end in width.ends):
        return setting.base
    return with_width(setting.base, min(width.ends), _round(setting.space))


def _round(space: Axes) -> int:
    splits = space.get("splits")
    return splits.round if splits else _ROUND
