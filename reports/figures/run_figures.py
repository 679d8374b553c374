"""The figures of a run: each is an object in a module of this package, and adding one takes no other edit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reports.contents import KINDS, Contents, Item
from reports.figures.style import TEXT, footnote
from reports.runs.run import Run
from reports.tables.paired import comparison_protocol
from reports.tables.protocol import protocol
from reports.tables.table import Table

Drawn = tuple[str, str, Figure]
Tables = Mapping[str, Table]
Data = Callable[[Run, Tables], tuple[Any, ...] | None]


@dataclass(frozen=True)
class RunFigure(Item):
    """A figure that a run may have.

    Attributes
    ----------
    data : what it is drawn from, of a run and its tables by name; None where the run has nothing for it.
    draw : makes the figure from the data and a width in inches.
    explore : makes plotly's figure from the data, for the page; None where a figure is only drawn.
    notes : what stands under it: n, seeds, data, recipe and hardware.
    """

    name: str
    caption: str | Callable[[Run], str]
    data: Data
    draw: Callable[..., Figure]
    explore: Callable[..., Any] | None
    notes: Callable[[Run], Sequence[str]]

    def caption_of(self, run: Run) -> str:
        """Return what stands above the figure of a run."""
        return self.caption if isinstance(self.caption, str) else self.caption(run)


FIGURES: Contents[RunFigure] = Contents()


def notes_of(run: Run) -> Sequence[str]:
    """Return the protocol of a run's trainings."""
    return comparison_protocol(run.ablation) if run.ablation else protocol(run)


def notes_of_confirmation(run: Run) -> Sequence[str]:
    """Return the protocol of a run's confirmation."""
    return comparison_protocol(run.confirmation) if run.confirmation else ()


def run_figure(
    name: str,
    caption: str | Callable[[Run], str],
    draw: Callable[..., Figure],
    *,
    order: float,
    of: Collection[str] = KINDS,
    explore: Callable[..., Any] | None = None,
    notes: Callable[[Run], Sequence[str]] = notes_of,
) -> Callable[[Data], Data]:
    """Add a figure to those of a run; the function under the decorator returns its data. See `RunFigure`.

    Parameters
    ----------
    order : its place: figures stand in the page from the lowest order to the highest.
    of : the kinds of runs that may have it.

    Raises
    ------
    ValueError
        There is a figure of this name, whose files it would overwrite.
    """

    def add(data: Data) -> Data:
        if name in (figure.name for figure in FIGURES.items):
            raise ValueError(f"{name}: there is a figure of this name; give the new one another.")
        FIGURES.add(RunFigure(order, of, name, caption, data, draw, explore, notes))
        return data

    return add


def figures_of(run: Run, tables: Sequence[Table], width: float = TEXT) -> Iterator[Drawn]:
    """Yield (name, caption, figure) for everything that a run with these tables has to show.

    `width` is in inches: `reports.figures.style.TEXT` is the text of most papers, `COLUMN` a column of two.
    """
    for entry, data in _with_data(run, tables):
        figure = entry.draw(*data, width=width)
        footnote(figure, entry.notes(run))
        yield entry.name, entry.caption_of(run), figure


def explored_of(run: Run, tables: Sequence[Table]) -> dict[str, Any]:
    """Return plotly's versions of a run's figures, by the names that `figures_of` gives; not all have one."""
    return {entry.name: entry.explore(*data) for entry, data in _with_data(run, tables) if entry.explore}


def _with_data(run: Run, tables: Sequence[Table]) -> Iterator[tuple[RunFigure, tuple[Any, ...]]]:
    by_name = {table.name: table for table in tables}
    for entry in FIGURES.for_kind(run.kind):
        data = entry.data(run, by_name)
        if data is not None:
            yield entry, data
