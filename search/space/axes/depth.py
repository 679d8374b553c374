"""The axis of depths: how many rows a stage has."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, RootModel

from arch.errors import within
from arch.specs.edit import with_depth
from search.space.axes.base import Axis, Draft, Setting, axis, check_names, choose
from search.space.axes.heads import check_fixed_weights
from search.space.choosers import Chooser

_Text = Annotated[str, BeforeValidator(lambda key: str(key) if isinstance(key, int) else key)]
_Counts = Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1)]


@axis
class Depth(Axis, RootModel[dict[_Text, _Counts]]):
    """The numbers of rows that a stage may have, by the stage."""

    key: ClassVar = "depth"
    title: ClassVar = "depths"
    turn: ClassVar = 20
    absent: ClassVar = {}
    needs_splits: ClassVar = True

    model_config = ConfigDict(frozen=True)

    @property
    def varies(self) -> bool:
        """Whether there is a stage whose depth varies."""
        return bool(self.root)

    def check(self, setting: Setting, where: str) -> None:
        """Refuse stages that the base network does not have."""
        for stage, counts in self.root.items():
            for count in counts:
                with within(where):
                    with_depth(setting.base, stage, count)
            check_names(counts, f"{where}.{stage}")
        check_fixed_weights(setting, where.removesuffix(f".{self.key}"))

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Choose how many rows each stage has."""
        spec = draft.spec
        for stage, counts in self.root.items():
            spec = with_depth(spec, stage, choose(f"depth.{stage}", counts, chooser))
        return draft._replace(spec=spec)
