"""The axis of depths: how many rows a stage has."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, RootModel

from arch.errors import within
from arch.specs.edit import stages, with_depth
from arch.specs.spec import Spec
from search.space.axes.base import Axis, Decisions, Draft, Setting, axis, check_names, choose
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
    adds_rows: ClassVar = True

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

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return how many rows each stage of the wanted network has."""
        return {f"depth.{stage}": count for stage, count in self.rows_in(draft.spec, wanted.spec).items()}

    def rows_in(self, spec: Spec, wanted: Spec) -> dict[str, int]:
        """Return how many rows a wanted network has of each of a spec's stages, by their names."""
        names, found = {row.name for row in wanted.rows}, {}
        for stage, counts in self.root.items():
            place = list(stages(spec)).index(stage)
            deepest = list(stages(with_depth(spec, stage, max(counts))).values())[place]
            found[stage] = len(names & set(deepest))
        return found
