"""The axis of pooling branches: the maximum or the mean."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from search.space.axes.arguments import ArgumentChoice
from search.space.axes.base import axis


@axis
class Pooling(ArgumentChoice):
    """The pooling branch of each stage or row: `max`, as in the papers, or `avg`, without its padding in the mean."""

    key: ClassVar = "pooling"
    title: ClassVar = "pooling branches"
    turn: ClassVar = 51
    argument: ClassVar = "pool_kind"

    choices: list[Literal["max", "avg"]] = Field(["max", "avg"], min_length=1)
