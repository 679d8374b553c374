"""The axes of auxiliary heads: their positions, and the weights of their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import ConfigDict, RootModel

from arch.analysis.cost import cost
from arch.errors import InputError, within
from arch.specs.edit import with_depth, with_heads_on
from arch.specs.spec import Spec
from search.recipes.load import load_recipe
from search.space.axes.base import Axis, Decisions, Draft, Range, Setting, axis, check_names
from search.space.choosers import Chooser


@axis
class Heads(Axis, RootModel[dict[str, list[str]]]):
    """Positions of the auxiliary heads, each by a name: `{none: [], early: [3b], both: [3b, 4b]}`."""

    key: ClassVar = "aux"
    title: ClassVar = "positions of the auxiliary heads"
    turn: ClassVar = 10
    absent: ClassVar = {}

    model_config = ConfigDict(frozen=True)

    @property
    def varies(self) -> bool:
        """Whether there is a position to choose."""
        return bool(self.root)

    def check(self, setting: Setting, where: str) -> None:
        """Refuse rows that cannot carry a head."""
        for name, rows in self.root.items():
            with within(f"{where}.{name}"):
                cost(with_heads_on(setting.base, rows))
        check_fixed_weights(setting, where.removesuffix(f".{self.key}"))

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Choose the positions by their name."""
        return draft._replace(spec=with_heads_on(draft.spec, self.root[chooser.choice("aux", list(self.root))]))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the name of the positions; fewer rows of a stage may move its heads."""
        depth, rows = setting.space.get("depth"), wanted.spec.aux_rows
        counts = depth.rows_in(draft.spec, wanted.spec) if depth else {}
        for name, named in self.root.items():
            placed = with_heads_on(draft.spec, named)
            for stage, count in counts.items():
                placed = with_depth(placed, stage, max(count, 1))
            if placed.aux_rows == rows:
                return {"aux": name}
        return {"aux": rows}


@axis
class AuxWeight(Axis, Range):
    """The weight of each auxiliary head's loss.

    How it decays is `recipe: {aux_decay: {choices: [none, linear]}}`.
    """

    key: ClassVar = "aux_weight"
    title: ClassVar = "auxiliary weights"
    turn: ClassVar = 90

    def check(self, setting: Setting, where: str) -> None:
        """Refuse networks without heads, and weights that a recipe does not take."""
        base = setting.base
        if not base.aux_rows:
            raise InputError(f"{where}: {base.name} has no auxiliary head; add one or remove the key.")
        for value in self.ends:
            with within(where):
                load_recipe(setting.recipe, {"aux_weight": {base.aux_rows[0]: value}})
        check_names(self.ends, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw a weight for each head."""
        weights = {row: self.draw(f"aux_weight.{row}", chooser) for row in draft.spec.aux_rows}
        return draft._replace(recipe=load_recipe(draft.recipe, {"aux_weight": weights}))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the weight of each head."""
        weights = wanted.recipe.head_weights(wanted.spec.aux_rows)
        return {f"aux_weight.{row}": weights.get(row, 0.0) for row in draft.spec.aux_rows}


def check_fixed_weights(setting: Setting, where: str) -> None:
    """Refuse weights that a recipe gives head by head where decisions may move the heads to other rows."""
    recipe, base = setting.recipe, setting.base
    if setting.space.get(AuxWeight.key) or not isinstance(recipe.aux_weight, Mapping):
        return
    for variant in _variants(setting):
        if variant.aux_rows != base.aux_rows:
            raise InputError(
                f"{where}: heads may hang on {', '.join(variant.aux_rows) or 'no row'}, but the recipe's aux_weight is "
                f"given for {', '.join(recipe.aux_weight)}; give one number, or add space.aux_weight."
            )


def _variants(setting: Setting) -> Iterator[Spec]:
    """Yield the base network with its heads wherever one decision may put them."""
    heads, depth = setting.space.get("aux"), setting.space.get("depth")
    positions = heads.root.values() if heads else ()
    for variant in [setting.base, *(with_heads_on(setting.base, rows) for rows in positions)]:
        yield variant
        for stage, counts in depth.root.items() if depth else ():
            yield with_depth(variant, stage, min(counts))
