"""The search space of a study: the axes that vary, read from its file and checked against the base network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, create_model, model_serializer, model_validator

from arch.errors import InputError
from arch.specs.edit import searchable
from arch.specs.spec import Spec
from search.recipes.recipe import Recipe
from search.space import axes as axes  # registers the axes of this package
from search.space.axes.base import AXES, Axis, Setting


class Space(BaseModel):
    """What varies, by the keys of the axes (`search.space.axes`); any axis that is registered may be named.

    Examples
    --------
    >>> space = Space.model_validate({"aux_weight": {"low": 0.0, "high": 0.6}})
    >>> [axis.title for axis in space.axes]
    ['auxiliary weights']
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        """Read each key by its axis; what does not vary is left out."""
        if not isinstance(values, Mapping):
            raise ValueError(f"a space is a mapping with keys such as {', '.join(AXES.names())}")
        plain = {key: _plain(key, value) for key, value in values.items()}
        found = _reader(tuple(axis.key for axis in AXES)).model_validate(plain)
        return {key: axis for key, axis in found if axis is not None and axis.varies}

    @model_serializer
    def _written(self, info: SerializationInfo) -> dict[str, Any]:
        """Return every key; those that do not vary as their axis says."""
        found = {kind.key: (self.get(kind.key), kind.absent) for kind in AXES}
        return {key: axis.model_dump(mode=info.mode) if axis else absent for key, (axis, absent) in found.items()}

    @property
    def axes(self) -> list[Axis]:
        """The axes that vary, in the order in which they decide."""
        return sorted((self.model_extra or {}).values(), key=lambda axis: axis.turn)

    def get(self, key: str) -> Any:
        """Return the axis of a key, or None where it does not vary."""
        return (self.model_extra or {}).get(key)


def _plain(key: str, value: Any) -> Any:
    """Return the given values of a model that is not the axis' own, such as a plain Range."""
    own = key in AXES and isinstance(value, AXES.get(key))
    return value if own or not isinstance(value, BaseModel) else value.model_dump(exclude_unset=True)


@lru_cache(maxsize=8)
def _reader(keys: tuple[str, ...]) -> type[BaseModel]:
    """Return the model that reads a space with these axes; errors then name key by key what is wrong."""
    fields: dict[str, Any] = {key: (AXES.get(key) | None, None) for key in keys}
    return create_model("Space", __config__=ConfigDict(extra="forbid"), **fields)


def check_space(space: Space, base: Spec, recipe: Recipe, where: str) -> None:
    """Raise InputError where a space does not fit its base network; names the key and a remedy."""
    if not any(axis.decides for axis in space.axes):
        raise InputError(
            f"{where}, space: nothing varies; add a key such as splits, family or recipe. "
            f"Keys: {', '.join(kind.key for kind in sorted(AXES, key=lambda kind: kind.turn))}."
        )
    for axis in space.axes:
        if axis.needs_splits and not searchable(base):
            raise InputError(
                f"{where}, space.{axis.key}: {base.name} has no row with a split; choose another network or remove the key."
            )
    for axis in space.axes:
        axis.check(Setting(space, base, recipe), f"{where}, space.{axis.key}")
