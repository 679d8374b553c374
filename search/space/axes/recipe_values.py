"""The axis of recipe values, such as the learning rate."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, RootModel

from arch.errors import InputError, near, within
from search.recipes.load import load_recipe
from search.recipes.recipe import APART, Recipe
from search.space.axes.base import Axis, Decisions, Draft, Range, Setting, axis, check_names
from search.space.choosers import Chooser

_ELSEWHERE = (*APART, "aux_weight")  # what changes no training, and what has its own axis


@axis
class RecipeValues(Axis, RootModel[dict[str, Range]]):
    """Recipe keys and their ranges."""

    key: ClassVar = "recipe"
    title: ClassVar = "recipe values"
    turn: ClassVar = 80
    absent: ClassVar = {}

    model_config = ConfigDict(frozen=True)

    @property
    def varies(self) -> bool:
        """Whether there is a value that varies."""
        return bool(self.root)

    @classmethod
    def known_keys(cls, part: str = "") -> list[str]:
        """Return the keys of a value's range."""
        return list(Range.model_fields)

    def check(self, setting: Setting, where: str) -> None:
        """Refuse keys that a recipe does not have, and values that it does not take."""
        for key, values in self.root.items():
            if key not in Recipe.model_fields or key in _ELSEWHERE:
                raise InputError(f"{where}: '{key}' cannot be searched.{near(key, Recipe.model_fields)}")
            if not values.choices and Recipe.model_fields[key].annotation is not float:
                raise InputError(f"{where}.{key}: only choices can be searched here, such as choices: [64, 128].")
            for value in values.ends:
                with within(f"{where}.{key}"):
                    load_recipe(setting.recipe, {key: value})
            if values.choices:
                check_names(values.choices, f"{where}.{key}")

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw each value."""
        changes = {key: values.draw(f"recipe.{key}", chooser) for key, values in self.root.items()}
        return draft._replace(recipe=load_recipe(draft.recipe, changes))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return each value as the wanted recipe has it."""
        return {f"recipe.{key}": getattr(wanted.recipe, key) for key in self.root}
