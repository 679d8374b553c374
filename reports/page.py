"""The report of a run: one HTML page that opens offline, beside its tables and figures as files."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.ablation import answer
from reports.confirmation import verdicts
from reports.figures import figures_of, svg
from reports.figures import write as write_figure
from reports.front import front_table
from reports.load import Run, export, load
from reports.table import Table
from reports.tables import tables_of
from search.record import write_text

_HERE = Path(__file__).parent


def report(run: str | Path, folder: str | Path | None = None) -> Path:
    """Write a run's report and return the page's path.

    `report/` in the run directory (or `folder`) gets `index.html`, `tables/*.{csv,md,tex}`,
    `figures/*.{svg,png}` and the frames that they are made of.

    Raises
    ------
    InputError
        The folder is no run.
    """
    loaded = load(run)
    place = Path(folder) if folder else Path(run) / "report"
    tables = tables_of(loaded)
    if len(loaded.objectives) > 1 and (table := front_table(loaded)):
        tables.append(table)
    for table in tables:
        table.write(place / "tables")
    drawn = []
    for name, caption, figure in figures_of(loaded, tables):
        write_figure(figure, place / "figures", name)
        drawn.append((caption, Markup(svg(figure))))
    export(loaded, place)
    page = _template().render(
        run=loaded,
        tables=[(table, _cells(table)) for table in tables],
        figures=drawn,
        sentence=sentence(loaded),
        changes=changed(loaded),
    )
    write_text(place / "index.html", page)
    return place / "index.html"


def sentence(run: Run) -> str:
    """Return what was asked and what came out, in the reader's words."""
    if run.kind == "training":
        return f"{run.name} was trained once; n = 1, so nothing here says how much a random seed changes."
    if run.kind == "ablation":
        return answer(run)
    if run.ranked.empty:
        return f"No trial of {run.name} has come to its end yet."
    best, base, found = run.ranked.iloc[0], run.base, verdicts(run)
    text = f"Of {len(run.ranked)} trained networks, trial {best['trial']} is the best on the held-out images"
    if base:
        text += (
            f", beside {run.config['network']} as the base. Both were trained once (n = 1) and the best was picked out of "
            f"{len(run.ranked)}, so the difference is inconclusive"
        )
        text += "" if found else " until both are trained again with fresh seeds"
    return f"{text}. {found}".rstrip()


def changed(run: Run) -> list[str]:
    """Return a sentence for each change that was allowed while a study ran."""
    return [
        f"Changed before trial {c['trials']} ({c['time']}): {c['key']} was {c['old']!r} and is {c['new']!r}."
        for c in run.changes
    ]


def _cells(table: Table) -> list[list[tuple[str, str]]]:
    """Return each cell as (text, value to sort by)."""
    printed = table.printed()
    return [
        [(str(printed.iat[i, j]), str(table.frame.iat[i, j])) for j in range(len(printed.columns))]
        for i in range(len(printed))
    ]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
