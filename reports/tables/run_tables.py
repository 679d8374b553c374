"""The tables of a run: each is a function in a module of this package, and adding one takes no other edit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from reports.contents import KINDS, Contents, Item
from reports.runs.run import Run
from reports.tables.table import Table

Make = Callable[[Run], Table | None]


@dataclass(frozen=True)
class RunTable(Item):
    """A table that a run may have."""

    make: Make


TABLES: Contents[RunTable] = Contents()


def run_table(*, order: float, of: Collection[str] = KINDS) -> Callable[[Make], Make]:
    """Add a function to the tables of a run; it returns nothing where the run has nothing for it.

    Parameters
    ----------
    order : its place: tables stand in the page from the lowest order to the highest.
    of : the kinds of runs that may have it.
    """

    def add(make: Make) -> Make:
        TABLES.add(RunTable(order, of, make))
        return make

    return add


def tables_of(run: Run) -> list[Table]:
    """Return the tables that a run has something for, in the order of the page.

    Raises
    ------
    ValueError
        Two tables have one name, under which both would be written.
    """
    made = [table for entry in TABLES.for_kind(run.kind) if (table := entry.make(run)) is not None]
    twice = [name for name, times in Counter(table.name for table in made).items() if times > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)}: two tables have this name; give one of them another.")
    return made
