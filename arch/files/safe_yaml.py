"""YAML from untrusted files: safe load, without doubled keys or aliases, and errors that name file and line."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import yaml

from arch.errors import InputError

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 20
_MAX_DIGITS = 100  # of a number; YAML 1.1 reads 1:30 to the base of 60, which for long ones takes hours
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, strict about keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is not plain text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
            problem = f"a number of more than {_MAX_DIGITS} characters"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # a day 45, an int of no digits
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def load_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputError
        The file cannot be read, is larger than a megabyte, or is not YAML; names file and line.
    """
    try:
        raw = yaml_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    return parse_yaml(raw, str(path))


def yaml_bytes(path: str | Path) -> bytes:
    """Return the content of a YAML file; OSError where it cannot be read, InputError beyond a megabyte."""
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except ValueError as error:  # a name with a null byte
        raise OSError(errno.EINVAL, str(error)) from None
    if len(raw) > _MAX_BYTES:
        raise InputError(f"{path}: more than {_MAX_BYTES:,} bytes, which no file of this project has; check the path.")
    return raw


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Return what a YAML text holds; `where` names it in errors.

    Raises
    ------
    InputError
        It is not YAML, or holds what is not allowed here: aliases, deep nesting, other tags; names the line.
    """
    try:
        _check_events(text, where)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{where}, line {line}: not readable as YAML: {error.problem}.") from None
    except yaml.reader.ReaderError as error:
        raise InputError(f"{where}, line {_line(text, error)}: not readable as YAML: {error.reason}.") from None
    except UnicodeEncodeError:
        raise InputError(
            f"{where}: half of a character (a surrogate) is not text; write the character itself."
        ) from None
    except RecursionError:
        raise InputError(f"{where}, line 1: not readable as YAML: nested too deeply.") from None


def _check_events(text: str | bytes, where: str) -> None:
    """Refuse aliases, deep nesting and broken text while parsing, before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > _MAX_DEPTH:
            raise InputError(
                f"{where}, line {line}: nested more than {_MAX_DEPTH} deep, which no file of this project is; check the path."
            )
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{where}, line {line}: aliases (*name) are not allowed; repeat the value.")
        if isinstance(event, yaml.ScalarEvent) and any("\ud800" <= character <= "\udfff" for character in event.value):
            raise InputError(
                f"{where}, line {line}: half of a character (a surrogate) is not text; write the character itself."
            )


def _line(text: str | bytes, error: yaml.reader.ReaderError) -> int:
    """Return the line of what cannot be read; its position counts bytes, or characters of a text."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return raw[: max(0, error.position)].count(b"\n") + 1
