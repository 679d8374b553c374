"""Load recipes by name or from a YAML file, and check that the parts they name are registered."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from arch.errors import InputError, from_validation, near, within
from arch.files.safe_yaml import load_yaml
from search.recipes.augmentations import AUGMENTATIONS
from search.recipes.losses import LOSSES
from search.recipes.optimizers import OPTIMIZERS
from search.recipes.parts import chosen
from search.recipes.recipe import Recipe
from search.recipes.schedules import SCHEDULES

RECIPES = Path(__file__).parent


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the names of the shipped recipes that match a shell wildcard, sorted."""
    return sorted(fnmatch.filter((path.stem for path in RECIPES.glob("*.yaml")), pattern))


def load_recipe(recipe: str | Path | Mapping[str, Any] | Recipe, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe by name, from a YAML file or from a mapping, with some values changed.

    A mapping may name another recipe as its `base`.

    Raises
    ------
    InputError
        There is no such recipe, a key or value is wrong, or it names a part that is not registered here; names
        the key and near names.
    """
    if isinstance(recipe, Recipe):
        return _validated(recipe.model_dump() | dict(changes or {}), f"recipe {recipe.name}")
    if isinstance(recipe, Mapping):
        values = dict(recipe)
        base = values.pop("base", None)
        start = load_recipe(str(base)).model_dump() if base else {}
        return _validated(start | values | dict(changes or {}), f"recipe {values.get('name', base or '')}".rstrip())
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{recipe}.yaml"
        if str(recipe) not in list_recipes():
            raise InputError(
                f"there is no recipe '{recipe}'.{near(recipe, list_recipes())} `inceptory list recipes` names all."
            )
    mapping = load_yaml(path)
    if not isinstance(mapping, dict):
        raise InputError(f"{path}: a recipe is a mapping with keys such as lr, batch and epochs.")
    mapping.setdefault("name", path.stem)
    base = mapping.pop("base", None)
    with within(str(path)):
        start = load_recipe(str(base)).model_dump(exclude={"source"}) if base else {}
    return _validated(start | mapping | dict(changes or {}), str(path))


def _validated(values: Mapping[str, Any], where: str) -> Recipe:
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise from_validation(error, where, Recipe.model_fields) from None
    for choice in recipe.augment:
        chosen(AUGMENTATIONS, choice, f"{where}, augment")
    chosen(OPTIMIZERS, recipe.optimizer, f"{where}, optimizer")
    chosen(SCHEDULES, recipe.schedule, f"{where}, schedule")
    chosen(LOSSES, recipe.loss, f"{where}, loss")
    return recipe
