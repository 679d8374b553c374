"""YAML by safe load, with doubled keys, aliases and syntax errors refused by file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from arch.errors import InputError

_MOST_BYTES = 1_000_000
_MOST_NESTED = 20


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, strict about keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no plain text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def load_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputError
        The file cannot be read, is larger than a megabyte, or is not YAML; names file and line.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{path}: more than {_MOST_BYTES:,} bytes; this is no file of ours.")
    return parse_yaml(raw, str(path))


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Return what a YAML text holds; `where` names it in errors."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_NESTED:
                raise InputError(f"{where}: nested more than {_MOST_NESTED} deep; this is no file of ours.")
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else "?"
                raise InputError(f"{where}, line {line}: aliases (*name) are not read; write the value out.")
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{where}{line}: not readable as YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not readable as YAML: {error}.") from None
