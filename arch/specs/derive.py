"""Deriving: a network file that gives a base network and edits of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arch.errors import SpecError, near

_KEYS = ("name", "source", "note", "base", "edits")
_EDITS = ("input", "classes", "style", "rows", "heads")
REMOVE = "remove"


def derive(base: Mapping[str, Any], file: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the complete network file: the mapping `base` with the edits that `file` declares.

    `edits` may hold `input`, `classes`, `style` (keys that change), `rows` and `heads`. A row or head
    is followed by `remove`, or by the arguments that change; a `block` or `head` among them replaces it
    completely.

    Raises
    ------
    SpecError
        An edit names a row, head or key that the base does not have.
    """
    for key in file:
        if key not in _KEYS:
            raise SpecError(
                f"{where}: unknown key '{key}' next to 'base'.{near(key, _KEYS)} Known: {', '.join(_KEYS)}."
            )
    edits = _mapping(file.get("edits"), f"{where}: 'edits'")
    for key in edits:
        if key not in _EDITS:
            raise SpecError(f"{where}, edits: unknown key '{key}'.{near(key, _EDITS)} Known: {', '.join(_EDITS)}.")
    result: dict[str, Any] = dict(base) | {"name": file.get("name"), "source": file.get("source", base["source"])}
    result["note"] = file.get("note", "")
    result |= {key: edits[key] for key in ("input", "classes") if key in edits}
    result["style"] = {**base["style"], **_mapping(edits.get("style"), f"{where}, edits: 'style'")}
    rows = {row["name"]: row for row in base["rows"]}
    changed = _edited(rows, _mapping(edits.get("rows"), f"{where}, edits: 'rows'"), "block", f"{where}, edits, row")
    result["rows"] = [{"name": name, **row} for name, row in changed.items()]
    heads = _mapping(edits.get("heads"), f"{where}, edits: 'heads'")
    result["heads"] = _edited(base["heads"], heads, "head", f"{where}, edits, head")
    return result


def _edited(items: Mapping[str, Any], edits: Mapping[str, Any], kind: str, where: str) -> dict[str, Any]:
    """Return items with each edit applied: removed, replaced where it names a new `kind`, else updated."""
    result = dict(items)
    for name, edit in edits.items():
        if name not in result:
            raise SpecError(
                f"{where} {name}: the base has no such one.{near(name, result)} It has: {', '.join(result)}."
            )
        if edit == REMOVE:
            del result[name]
        elif not isinstance(edit, Mapping):
            raise SpecError(f"{where} {name}: is {edit!r}, but it must be '{REMOVE}' or the arguments that change.")
        else:
            result[name] = dict(edit) if kind in edit else {**result[name], **edit}
    return result


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise SpecError(f"{what} is {value!r}, but it must be a mapping.")
    return value or {}
