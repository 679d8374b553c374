"""The axis of identity shortcuts around modules."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from search.space.axes.arguments import ArgumentChoice
from search.space.axes.base import axis


@axis
class Shortcut(ArgumentChoice):
    """An identity around each stage's or row's modules, or none; see `arch.blocks.families` on other channel numbers."""

    key: ClassVar = "shortcut"
    title: ClassVar = "shortcuts"
    turn: ClassVar = 52
    argument: ClassVar = "shortcut"

    choices: list[bool] = Field([False, True], min_length=1)
