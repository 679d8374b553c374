"""The report of a run: one HTML page that opens offline, next to its tables and figures as files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from reports.figures.run_figures import explored_of, figures_of
from reports.figures.style import write as write_figure
from reports.page.render import render
from reports.page.reproduce import environment_of, steps
from reports.page.sections import (
    ShownFigure,
    differing,
    drawings,
    plotly,
    shared_notes,
    shown_figure,
    shown_table,
)
from reports.page.summary import summarised
from reports.runs.load import export, load
from reports.runs.progress import progress
from reports.runs.run import Run
from reports.tables.run_tables import tables_of
from reports.tables.table import Table
from search.record.files import write_text


def report(run: str | Path, folder: str | Path | None = None, *, static: bool = False, reload: float = 0) -> Path:
    """Write a run's report and return the page's path.

    `report/` in the run directory (or `folder`) gets `index.html`, `tables/*.{csv,md,tex}`,
    `figures/*.{svg,png}` and the frames that they are made of.

    Parameters
    ----------
    static : leave out plotly and what can be explored with it: a page of 1 MB instead of 3.
    reload : seconds after which the page reloads itself; 0: never.

    Raises
    ------
    InputError
        The folder is no run.
    """
    loaded = load(run)
    place = Path(folder) if folder else Path(run) / "report"
    tables = tables_of(loaded)
    for table in tables:
        table.write(place / "tables")
    explored = {} if static else explored_of(loaded, tables)
    figures = []
    for name, caption, figure in figures_of(loaded, tables):
        write_figure(figure, place / "figures", name)
        drawn = (place / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        figures.append(shown_figure(name, caption, drawn, explored.get(name)))
    export(loaded, place)
    write_text(place / "index.html", _page(loaded, tables, figures, reload))
    return place / "index.html"


def _page(run: Run, tables: Sequence[Table], figures: Sequence[ShownFigure], reload: float) -> str:
    notes = shared_notes(run, tables)
    facts = [table for table in tables if table.place == "summary"]
    return render(
        "run.html",
        library=plotly() if any(figure.data for figure in figures) else "",
        run=run,
        reload=reload,
        built=time.strftime("%H:%M:%S"),
        progress=progress(run),
        summary=summarised(run),
        facts_of=[line for table in facts for line in table.printed().itertuples(index=False, name=None)],
        changes=changed(run),
        tables=[shown_table(run, table, notes) for table in tables if table.place == "tables"],
        figures=figures,
        drawings=drawings(run),
        differing=differing(run),
        notes=notes,
        config=yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True, width=100),
        environment=environment_of(run),
        steps=steps(run),
    )


def changed(run: Run) -> list[str]:
    """Return a sentence for each change that was allowed while a study ran."""
    return [
        f"Changed before trial {c['trials']} ({c['time']}): {c['key']} was {c['old']!r} and is {c['new']!r}."
        for c in run.changes
    ]
