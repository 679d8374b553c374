"""The axis of block families: which one a row or stage is built of."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from arch.errors import InputError, near
from arch.specs.edit import families, with_family
from search.space.axes.base import STRICT, Axis, Decisions, Draft, Setting, axis, check_names, choose, common, groups
from search.space.choosers import Chooser


@axis
class Family(Axis, BaseModel):
    """The block family of each stage or row."""

    key: ClassVar = "family"
    title: ClassVar = "block families"
    turn: ClassVar = 40
    needs_splits: ClassVar = True

    model_config = STRICT
    per: Literal["row", "stage"] = "stage"
    choices: list[str] = Field(min_length=1)

    def check(self, setting: Setting, where: str) -> None:
        """Refuse blocks that are no families."""
        for family in self.choices:
            if family not in families():
                raise InputError(
                    f"{where}: there is no family '{family}'.{near(family, families())} "
                    f"Families: {', '.join(families())}."
                )
        check_names(self.choices, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Choose a family for each group of rows."""
        spec = draft.spec
        for name, rows in groups(self.per, setting.base, spec).items():
            spec = with_family(spec, choose(f"family.{name}", self.choices, chooser), rows)
        return draft._replace(spec=spec)

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the family of each group of rows."""
        blocks = {row.name: row.block for row in wanted.spec.rows}
        found = groups(self.per, setting.base, draft.spec)
        return {f"family.{name}": common("family", rows, blocks, where) for name, rows in found.items()}
