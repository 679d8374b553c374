"""How a recipe names its parts: optimizer, schedule, loss and augmentations, each registered under a name.

A file names a part by its name, or by a mapping of its name and options: `{name: lion, beta: 0.99}`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue

from arch.registry import Definition, Definitions


def _one_form(given: Any) -> Any:
    """Return a choice in one form, so that equal recipes have equal ids: options only where there are some."""
    if isinstance(given, Mapping):
        if not isinstance(given.get("name"), str):
            raise ValueError("a mapping has a name, such as {name: sgd}, and may have options")
        return given["name"] if len(given) == 1 else dict(given)
    if not isinstance(given, str):
        raise ValueError("give a name, or a mapping of a name and options, such as {name: sgd}")
    return given


Choice = Annotated[str | dict[str, JsonValue], BeforeValidator(_one_form)]


@dataclass(frozen=True)
class Part(Definition):
    """A registered part of a training: a function; its keyword-only arguments are options, checked by their types."""

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The options that a file may give, by name, in order."""
        found = inspect.signature(self.function).parameters
        return {name: p for name, p in found.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def chosen(parts: Definitions[Part], choice: Choice, where: str) -> Callable[..., Any]:
    """Return the function of a choice, with its options filled in.

    Raises
    ------
    InputError
        Nothing of that name is registered, or an option is unknown or wrong; the text starts with `where`.
    """
    options = {"name": choice} if isinstance(choice, str) else dict(choice)
    part = parts.get(str(options.pop("name")), where)
    return partial(part.function, **part.validate(options, where)) if part.parameters or options else part.function
