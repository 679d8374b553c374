"""Registries of named things, blocks and heads among them: no duplicates, lists by wildcard, near matches."""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from arch.errors import InputError, from_validation, near

T = TypeVar("T")
D = TypeVar("D", bound="Definition")
F = TypeVar("F", bound=Callable[..., Any])
CHANNELS = "channels"  # marks the arguments that are channel numbers
Width = Annotated[int, Field(strict=True, ge=1, le=65_536), CHANNELS]
Extent = Annotated[int, Field(strict=True, ge=1, le=1_024)]
KernelSize = Extent | tuple[Extent, Extent]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Reduced(NamedTuple):
    """A 1x1 reduction and the larger convolution after it, as two columns of GoogLeNet's Table 1."""

    reduce: Width
    out: Width


@dataclass(frozen=True)
class Definition:
    """A registered function; that of a block or a head takes numbers and returns a tree of nodes."""

    name: str
    function: Callable[..., Any]

    @property
    def summary(self) -> str:
        """The first line of the definition's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments that a file may give, by name, in order."""
        return dict(inspect.signature(self.function).parameters)

    @cached_property
    def _model(self) -> type[BaseModel]:
        # Hints of a function without arguments for files may name what is imported for types alone: they are not looked up.
        hints = get_type_hints(self.function, include_extras=True) if self.parameters else {}
        fields: dict[str, Any] = {
            name: (hints.get(name, Any), ... if p.default is inspect.Parameter.empty else p.default)
            for name, p in self.parameters.items()
        }
        return create_model(self.name, __config__=ConfigDict(extra="forbid"), **fields)

    @cached_property
    def widths(self) -> frozenset[str]:
        """The arguments that hold channel numbers."""
        hints = get_type_hints(self.function, include_extras=True)
        return frozenset(name for name in self.parameters if _holds_channels(hints[name]))

    def validate(self, args: dict[str, Any], where: str) -> dict[str, Any]:
        """Return `args` with checked types, in the definition's order; defaults are not filled in.

        Raises
        ------
        SpecError
            An argument is unknown, missing or out of range; the text starts with `where`.
        """
        try:
            model = self._model.model_validate(args)
        except ValidationError as error:
            raise from_validation(error, f"{where}, {self.name}", self.parameters) from None
        return {name: getattr(model, name) for name in self.parameters if name in args}

    def non_default(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Return `args` without those that equal their default."""
        return {name: args[name] for name, p in self.parameters.items() if name in args and args[name] != p.default}


def _holds_channels(hint: Any) -> bool:
    if hint is Reduced or CHANNELS in getattr(hint, "__metadata__", ()):
        return True
    return any(_holds_channels(part) for part in get_args(hint))


class Registry(Generic[T]):
    """Things by name: refuses a second one of the same name, lists by wildcard, names near matches.

    `kind` is what one of them is called in errors, `plural` what `inceptory list` calls them.
    """

    def __init__(self, kind: str, plural: str = "") -> None:
        self.kind, self.plural = kind, plural or f"{kind}s"
        self._entries: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Add a thing under its name and return it.

        Raises
        ------
        InputError
            The name is taken.
        """
        if name in self._entries:
            raise InputError(f"{self.kind} '{name}' is registered already; choose another name.")
        self._entries[name] = thing
        return thing

    def get(self, name: str, where: str = "") -> T:
        """Return a thing, or raise InputError with the near names."""
        if name not in self._entries:
            start = f"{where}: " if where else ""
            raise InputError(
                f"{start}there is no {self.kind} '{name}'.{near(name, self._entries)} "
                f"`inceptory list {self.plural}` names all."
            )
        return self._entries[name]

    def names(self, pattern: str = "*") -> list[str]:
        """Return the names that match a shell wildcard, sorted."""
        return sorted(fnmatch.filter(self._entries, pattern))

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __contains__(self, name: str) -> bool:
        return name in self._entries


class Definitions(Registry[D]):
    """Functions by name, each with the arguments that a file may give."""

    def __init__(self, kind: str, entry: type[D], plural: str = "") -> None:
        super().__init__(kind, plural)
        self._entry = entry

    def register(self, function: F, /, name: str = "", **traits: Any) -> F:
        """Add a function or a class and return it; a decorator.

        Parameters
        ----------
        name : what files call it; by default the function's own name, less a trailing underscore.
        traits : what else this registry's entries have.

        Raises
        ------
        InputError
            The name is taken.
        """
        name = name or function.__name__.rstrip("_")
        self.add(name, self._entry(name, function, **traits))
        return function


def module_of(entry: Any) -> str:
    """Return the module of a registered function, or of a registered definition's."""
    module: str = getattr(entry, "function", entry).__module__
    return module


def shipped(entry: Any) -> bool:
    """Return whether a registered function, or a definition's, comes with this project and is no user's own."""
    return module_of(entry).partition(".")[0] in ("arch", "search")


def load_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of a package of ours, so that each registers what it defines: a new file needs no other edit."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


BLOCKS = Definitions("block", Definition)
HEADS = Definitions("head", Definition)
