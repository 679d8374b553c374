"""The values in which two nested mappings differ: the one comparison behind every "is it the same run?"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from search.record.files import Damaged as Damaged
from search.record.files import WriteError as WriteError
from search.record.files import append_line as append_line
from search.record.files import checksum as checksum
from search.record.files import clear_leftovers as clear_leftovers
from search.record.files import read_json as read_json
from search.record.files import read_lines as read_lines
from search.record.files import read_yaml as read_yaml
from search.record.files import replace_file as replace_file
from search.record.files import sealed_files as sealed_files
from search.record.files import sealed_yaml as sealed_yaml
from search.record.files import set_aside as set_aside
from search.record.files import write_json as write_json
from search.record.files import write_lines as write_lines
from search.record.files import write_sealed as write_sealed
from search.record.files import write_text as write_text
from search.record.files import write_yaml as write_yaml
from search.record.objectives import Losses as Losses
from search.record.objectives import Objectives as Objectives
from search.record.objectives import best_first as best_first
from search.record.objectives import front as front


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
