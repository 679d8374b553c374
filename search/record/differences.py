"""The values in which two nested mappings differ: every check for the same run uses this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, old, new) for each value in which two nested mappings differ."""
    for key in sorted(set(old) | set(new), key=str):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from changes(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key}", a, b


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each value in which two nested mappings differ."""
    for key, a, b in changes(old, new):
        yield f"{key} was {a!r} and is {b!r}"
