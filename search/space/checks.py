"""Whether a space fits its base network and recipe; every complaint names the key and a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arch.analysis.cost import cost
from arch.errors import InputError, near, within
from arch.registry import BLOCKS
from arch.specs.edit import (
    families,
    searchable,
    split_of,
    with_args,
    with_depth,
    with_family,
    with_heads_on,
    with_width,
)
from arch.specs.spec import Spec
from search.recipes.recipe import APART, Recipe, load_recipe
from search.space.axes import Range, Space, Splits, named

_WIDEST = 16  # the largest factor for widths


def check_space(space: Space, base: Spec, recipe: Recipe, where: str) -> None:
    """Raise InputError where a space does not fit its base network; names the key and a remedy."""
    if space == Space():
        raise InputError(
            f"{where}, space: nothing varies; add a key such as splits, family or recipe. "
            f"Keys: {', '.join(Space.model_fields)}."
        )
    for key in ("splits", "family", "kernel", "residual_scale", "depth"):
        if getattr(space, key) and not searchable(base):
            raise InputError(
                f"{where}, space.{key}: {base.name} has no row with a split; choose another network or remove the key."
            )
    _check_families(space, where)
    if space.splits:
        _check_splits(space, space.splits, base, f"{where}, space.splits")
    if space.kernel:
        _check_argument(space, base, "n", space.kernel.choices, f"{where}, space.kernel")
    if space.residual_scale:
        _check_argument(space, base, "scale", space.residual_scale.ends, f"{where}, space.residual_scale")
    if space.width:
        _check_width(space, space.width, f"{where}, space.width")
    _check_depth(space, base, f"{where}, space.depth")
    _check_heads(space, base, recipe, where)
    for key, values in space.recipe.items():
        _check_recipe(recipe, key, values, f"{where}, space.recipe")


def _check_families(space: Space, where: str) -> None:
    choices = space.family.choices if space.family else []
    for family in choices:
        if family not in families():
            raise InputError(
                f"{where}, space.family: there is no family '{family}'.{near(family, families())} Families: {', '.join(families())}."
            )
    _check_names(choices, f"{where}, space.family")


def _check_names(choices: Sequence[Any], where: str) -> None:
    """Refuse two choices that Optuna would know by the same name."""
    if len(named(choices)) < len(choices):
        texts = [next(iter(named([choice]))) for choice in choices]
        twice = next(text for text in texts if texts.count(text) > 1)
        raise InputError(f"{where}: two choices are called '{twice}'; remove one.")


def _check_splits(space: Space, splits: Splits, base: Spec, where: str) -> None:
    narrow = base
    if space.width and all(isinstance(end, int | float) and end > 0 for end in space.width.ends):
        narrow = with_width(base, min(space.width.ends), space.width_round)
    rows = {row.name: row for row in searchable(narrow)}
    for name in splits.rows or rows:
        if name not in rows:
            raise InputError(f"{where}: '{name}' is no row with a split.{near(name, rows)} Rows: {', '.join(rows)}.")
        out, here = split_of(rows[name]).out, f"{where}, row {name}"
        if out % splits.round:
            raise InputError(
                f"{here}: {out} output channels are no multiple of round: {splits.round}; choose a divisor of {out}."
            )
        if out < 4 * splits.least * splits.round:
            raise InputError(
                f"{here}: {out} output channels cannot be four branches of at least {splits.minimum}; "
                f"lower minimum or round{', or raise the lowest width' if space.width else ''}."
            )
    if splits.reduce[0] > splits.reduce[1]:
        raise InputError(f"{where}.reduce: the first ratio is the smaller one.")


def _check_argument(space: Space, base: Spec, argument: str, values: Sequence[Any], where: str) -> None:
    """Check the values of an argument that only some families take."""
    choices = space.family.choices if space.family else [row.block for row in searchable(base)]
    taking = [family for family in dict.fromkeys(choices) if argument in BLOCKS.get(family).parameters]
    if not taking:
        able = [family for family in families() if argument in BLOCKS.get(family).parameters]
        raise InputError(
            f"{where}: no family here takes '{argument}'; add {' or '.join(able)} to space.family or remove the key."
        )
    row = searchable(base)[0].name
    for family in taking:
        edited = with_family(base, family, [row])
        for value in values:
            with within(where):
                with_args(edited, row, {argument: value})
    _check_names(values, where)


def _check_width(space: Space, width: Range, where: str) -> None:
    if space.splits and space.splits.mode == "iso_macs":
        raise InputError(
            f"{where}: with splits.mode: iso_macs the widths follow from the MACs; remove width, or take mode: keep_width."
        )
    for end in width.ends:
        if not isinstance(end, int | float) or isinstance(end, bool) or not 0 < end <= _WIDEST:
            raise InputError(f"{where}: {end!r} is no factor; use numbers above 0, at most {_WIDEST}.")
    _check_names(width.ends, where)


def _check_depth(space: Space, base: Spec, where: str) -> None:
    for stage, counts in space.depth.items():
        for count in counts:
            with within(where):
                with_depth(base, stage, count)
        _check_names(counts, f"{where}.{stage}")


def _check_heads(space: Space, base: Spec, recipe: Recipe, where: str) -> None:
    for name, rows in space.aux.items():
        with within(f"{where}, space.aux.{name}"):
            cost(with_heads_on(base, rows))
    variants = list(_variants(space, base))
    if space.aux_weight:
        if not base.aux_rows:
            raise InputError(
                f"{where}, space.aux_weight: {base.name} has no auxiliary head; add one or remove the key."
            )
        for value in space.aux_weight.ends:
            with within(f"{where}, space.aux_weight"):
                load_recipe(recipe, {"aux_weight": {base.aux_rows[0]: value}})
        _check_names(space.aux_weight.ends, f"{where}, space.aux_weight")
    elif isinstance(recipe.aux_weight, Mapping):
        for variant in variants:
            if variant.aux_rows != base.aux_rows:
                raise InputError(
                    f"{where}, space: heads may hang on {', '.join(variant.aux_rows) or 'no row'}, but the recipe's "
                    f"aux_weight is given for {', '.join(recipe.aux_weight)}; give one number, or add space.aux_weight."
                )


def _variants(space: Space, base: Spec) -> Iterator[Spec]:
    """Yield the base network with its heads wherever one decision may put them."""
    for variant in [base, *(with_heads_on(base, rows) for rows in space.aux.values())]:
        yield variant
        for stage, counts in space.depth.items():
            yield with_depth(variant, stage, min(counts))


def _check_recipe(recipe: Recipe, key: str, values: Range, where: str) -> None:
    if key not in Recipe.model_fields or key in (*APART, "aux_weight"):
        raise InputError(f"{where}: '{key}' cannot be searched.{near(key, Recipe.model_fields)}")
    if not values.choices and Recipe.model_fields[key].annotation is not float:
        raise InputError(f"{where}.{key}: only choices can be searched here, such as choices: [64, 128].")
    for value in values.ends:
        with within(f"{where}.{key}"):
            load_recipe(recipe, {key: value})
    if values.choices:
        _check_names(values.choices, f"{where}.{key}")
