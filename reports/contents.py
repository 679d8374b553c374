"""What a report holds: tables and figures are found in the modules that define them."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from arch.registry import load_modules

KINDS = ("study", "ablation", "training")  # of runs


@dataclass(frozen=True)
class Item:
    """A table or a figure: its place in the page's order, and the kinds of runs that may have it."""

    order: float
    of: Collection[str]


AnyItem = TypeVar("AnyItem", bound=Item)


@dataclass(frozen=True)
class Contents(Generic[AnyItem]):
    """All tables, or all figures; a new one is one object in a module of `reports.tables` or `reports.figures`."""

    items: list[AnyItem] = field(default_factory=list)

    def add(self, item: AnyItem) -> AnyItem:
        """Add an item, wherever it stands in the order."""
        unknown = set(item.of) - set(KINDS)
        if unknown:
            raise ValueError(f"{item}: runs are of the kinds {', '.join(KINDS)}, not {', '.join(sorted(unknown))}.")
        self.items.append(item)
        return item

    def for_kind(self, kind: str) -> list[AnyItem]:
        """Return what a run of that kind may have, in the order of the page."""
        _import_all()
        return sorted((item for item in self.items if kind in item.of), key=lambda item: item.order)


@functools.cache
def _import_all() -> None:
    for part in ("tables", "figures"):
        load_modules(f"reports.{part}", [str(Path(__file__).parent / part)])
