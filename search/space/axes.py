"""What a study may vary: the keys of `space` in a study's file.

Every choice goes to Optuna by its name, never by its position, so that a list of choices can grow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_Strict = ConfigDict(frozen=True, extra="forbid")
_Ratio = Annotated[float, Field(gt=0, le=4)]
_Text = Annotated[str, BeforeValidator(lambda key: str(key) if isinstance(key, int) else key)]
_Counts = Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1)]


class Splits(BaseModel):
    """Channel splits in multiples of `round` that sum exactly to each row's output channels.

    Attributes
    ----------
    mode : `keep_width` leaves the output channels. `iso_macs` scales those of all searched rows by one
        factor, so that every candidate has the base network's MACs (without auxiliary heads) within
        `tolerance`, a part of them; only the proportions differ.
    per : `stage` gives the rows of a stage the same proportions.
    rows : the rows whose split varies; empty: all that have one.
    minimum : no branch is narrower.
    reduce : bounds of a reduction's width as parts of the width behind it. Where no multiple of `round` lies
        between them, it is the next one above.
    """

    model_config = _Strict
    mode: Literal["keep_width", "iso_macs"] = "keep_width"
    per: Literal["row", "stage"] = "row"
    rows: list[str] = []
    round: int = Field(8, ge=1, le=1024)
    minimum: int = Field(8, ge=1)
    reduce: tuple[_Ratio, _Ratio] = (0.25, 1.0)
    tolerance: float = Field(0.01, gt=0, le=0.5)

    @property
    def least(self) -> int:
        """The narrowest branch, in `round`s."""
        return -(-self.minimum // self.round)


class Family(BaseModel):
    """The block family of each stage or row."""

    model_config = _Strict
    per: Literal["row", "stage"] = "stage"
    choices: list[str] = Field(min_length=1)


class Kernel(BaseModel):
    """The n of a family with 1xn and nx1 convolutions, of each stage or row that has such a family."""

    model_config = _Strict
    per: Literal["row", "stage"] = "stage"
    choices: list[int] = Field(min_length=1)


class Range(BaseModel):
    """A continuous value between two bounds, or one of a list of values."""

    model_config = _Strict
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        bounded = self.low is not None and self.high is not None and self.low < self.high
        if bounded == bool(self.choices):
            raise ValueError("give either low < high, or choices")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a low above 0")
        return self

    @property
    def ends(self) -> list[Any]:
        """Every choice, or both bounds: what must be right for the whole to be."""
        return self.choices or [self.low, self.high]


class Space(BaseModel):
    """What varies.

    Attributes
    ----------
    splits, family : of the rows that take the common split.
    kernel : drawn where the family chosen takes an `n`.
    residual_scale : the `scale` of the rows whose family takes one, drawn where there is such a row.
    aux : positions of the auxiliary heads by a name of yours, such as `{none: [], early: [3b], both: [3b, 4b]}`.
    aux_weight : drawn for each auxiliary head. How it decays is `recipe: {aux_decay: {choices: [none, linear]}}`.
    depth : the numbers of rows that a stage may have, by the stage.
    width : a factor for every channel number, in multiples of `splits.round`, or of 8 without splits.
    recipe : maps recipe keys to ranges.
    """

    model_config = _Strict
    splits: Splits | None = None
    family: Family | None = None
    kernel: Kernel | None = None
    residual_scale: Range | None = None
    aux: dict[str, list[str]] = {}
    aux_weight: Range | None = None
    depth: dict[_Text, _Counts] = {}
    width: Range | None = None
    recipe: dict[str, Range] = {}

    @property
    def width_round(self) -> int:
        """What a scaled channel number is a multiple of."""
        return self.splits.round if self.splits else 8


def named(choices: Iterable[Any]) -> Mapping[str, Any]:
    """Return choices by the names that Optuna knows them by: text as it is, anything else as JSON."""
    return {choice if isinstance(choice, str) else json.dumps(choice): choice for choice in choices}
