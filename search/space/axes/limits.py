"""Limits on what a candidate costs, other than its MACs (`max_macs`); what is over one is never trained."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from arch.analysis.cost import cost
from arch.errors import InputError
from search.space.axes.base import STRICT, Axis, Draft, Setting, axis
from search.space.choosers import Chooser
from search.space.iso_macs import Solved


@axis
class Limits(Axis, BaseModel):
    """The most parameters and activations that a candidate may have, without auxiliary heads.

    It decides nothing by itself: of the candidates at hand it refuses those over a limit.
    """

    key: ClassVar = "limits"
    title: ClassVar = "limits on costs"
    turn: ClassVar = 110  # after the widths are solved
    decides: ClassVar = False

    model_config = STRICT
    params: int | None = Field(None, ge=1)
    activations: int | None = Field(None, ge=1)

    @property
    def varies(self) -> bool:
        """Whether there is a limit."""
        return bool(self._given)

    @property
    def _given(self) -> dict[str, int]:
        return {name: most for name, most in self if most is not None}

    def check(self, setting: Setting, where: str) -> None:
        """Refuse limits that the base network is over."""
        if over := self._over(Draft(setting.base, setting.recipe)):
            raise InputError(f"{where}: the base network's {over.missed}; raise the limit.")

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Return the draft as it is."""
        return draft

    def settled(self, setting: Setting, draft: Draft) -> Solved | None:
        """Refuse a network that is over a limit."""
        return self._over(draft)

    def _over(self, draft: Draft) -> Solved | None:
        """Return the network with the limit that it misses by the largest part, or None."""
        costs = cost(draft.spec)
        over = {name: getattr(costs, name) / most - 1 for name, most in self._given.items()}
        worst = max(over, key=lambda name: over[name])
        if over[worst] <= 0:
            return None
        reason = f"{getattr(costs, worst):,} {worst} are over {self._given[worst]:,}"
        return Solved(draft.spec, reason, over[worst])
