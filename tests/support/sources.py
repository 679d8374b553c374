"""The modules of the project."""

from __future__ import annotations

from pathlib import Path

ROOMS = ("arch", "search", "reports", "inceptory")


def modules(root: Path) -> dict[str, Path]:
    """Return every module of the rooms and the command line by its dotted name."""
    found = {}
    for room in ROOMS:
        for path in (root / room).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found
