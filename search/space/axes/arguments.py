"""Axes of arguments that only some families take: the n of 1xn kernels, the scale of residual modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from arch.errors import InputError, within
from arch.registry import BLOCKS
from arch.specs.edit import families, searchable, with_args, with_family
from arch.specs.spec import Row, Spec
from search.space.axes.base import (
    STRICT,
    Axis,
    Decisions,
    Draft,
    Range,
    Setting,
    axis,
    check_names,
    choose,
    common,
    groups,
)
from search.space.choosers import Chooser


class ArgumentChoice(Axis, BaseModel):
    """An argument of the block that each stage or row chooses, where its family takes the argument."""

    needs_splits: ClassVar = True
    argument: ClassVar[str]

    model_config = STRICT
    per: Literal["row", "stage"] = "stage"
    choices: list[Any]

    def check(self, setting: Setting, where: str) -> None:
        """Refuse values that a family does not take, and spaces in which none takes the argument."""
        check_argument(setting, self.argument, self.choices, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Choose a value for each group of rows whose family takes the argument."""
        spec = draft.spec
        for name, rows in self._groups(setting, draft):
            value = choose(f"{self.key}.{name}", self.choices, chooser)
            for row in rows:
                if self._value(spec.row(row)) != value:
                    spec = with_args(spec, row, {self.argument: value})
        return draft._replace(spec=spec)

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the value of each group of rows; None where the wanted network's families take no such argument."""
        by_row = {row.name: self._value(row) for row in wanted.spec.rows}
        found = self._groups(setting, draft)
        return {f"{self.key}.{name}": common(self.key, rows, by_row, where) for name, rows in found}

    def _value(self, row: Row) -> Any:
        """Return what a row's argument is, by default that of its block; None where the block takes none."""
        parameter = row.definition.parameters.get(self.argument)
        return row.args.get(self.argument, parameter.default) if parameter else None

    def _groups(self, setting: Setting, draft: Draft) -> list[tuple[str, list[str]]]:
        able = rows_taking(draft.spec, self.argument)
        found = groups(self.per, setting.base, draft.spec).items()
        return [(name, taking) for name, rows in found if (taking := [row for row in rows if row in able])]


@axis
class Kernel(ArgumentChoice):
    """The n of a family with 1xn and nx1 convolutions, of each stage or row that has such a family."""

    key: ClassVar = "kernel"
    title: ClassVar = "kernels"
    turn: ClassVar = 50
    argument: ClassVar = "n"

    choices: list[int] = Field(min_length=1)


@axis
class ResidualScale(Axis, Range):
    """The `scale` of the rows whose family takes one, drawn where there is such a row."""

    key: ClassVar = "residual_scale"
    title: ClassVar = "residual scales"
    turn: ClassVar = 60
    needs_splits: ClassVar = True

    def check(self, setting: Setting, where: str) -> None:
        """Refuse a scale that a family does not take, and spaces in which none takes one."""
        check_argument(setting, "scale", self.ends, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw one scale for all rows that take one."""
        spec = draft.spec
        if taking := rows_taking(spec, "scale"):
            scale = self.draw("residual_scale", chooser)
            for row in taking:
                spec = with_args(spec, row, {"scale": scale})
        return draft._replace(spec=spec)

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the scale of the first row that has one."""
        scales = [row.args["scale"] for row in searchable(wanted.spec) if "scale" in row.args]
        return {"residual_scale": scales[0]} if scales else {}


def rows_taking(spec: Spec, argument: str) -> list[str]:
    """Return the searchable rows whose family takes an argument."""
    return [row.name for row in searchable(spec) if argument in row.definition.parameters]


def check_argument(setting: Setting, argument: str, values: Sequence[Any], where: str) -> None:
    """Refuse values of an argument that the space's families do not take, and spaces in which none takes it."""
    family, base = setting.space.get("family"), setting.base
    choices = family.choices if family else [row.block for row in searchable(base)]
    taking = [name for name in dict.fromkeys(choices) if argument in BLOCKS.get(name).parameters]
    if not taking:
        able = [name for name in families() if argument in BLOCKS.get(name).parameters]
        raise InputError(
            f"{where}: no family here takes '{argument}'; add {' or '.join(able)} to space.family or remove the key."
        )
    row = searchable(base)[0].name
    for name in taking:
        edited = with_family(base, name, [row])
        for value in values:
            with within(where):
                with_args(edited, row, {argument: value})
    check_names(values, where)
