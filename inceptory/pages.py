"""Commands that show: a run's report, and the whole project in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inceptory.app import app
from inceptory.printing import err, say, stopped
from inceptory.studies import accuracies, best


@app.command()
def report(
    run: Path,
    to: Annotated[Path | None, typer.Option(help="another folder than report/ in the run directory")] = None,
    trace: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="TABLE ROW COLUMN", help="Write nothing: name the trainings behind a cell of a table."),
    ] = None,
) -> None:
    """Write a run's tables, figures and page.

    With --trace, name the folders of the trainings behind a cell. ROW is the text of the first column, or the row's
    number from 1; COLUMN is the header.
    """
    if trace is not None:
        _say_trace(run, *trace)
        return
    from reports.page import report as write_report

    say(str(write_report(run, to)))


def _say_trace(run: Path, table: str, row: str, column: str) -> None:
    import reports
    from reports.tables import tables_of
    from reports.trace import trace

    found = trace(tables_of(reports.load(run)), table, row, column)
    say(f"{found.table}, {found.row}, {found.column}: {found.cell}")
    for folder in found.folders:
        path = run / folder
        say(f"{path}{'' if path.exists() else ' (not here: this is a report, taken from its run)'}")


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="the run directory")] = Path("runs/demo"),
) -> None:
    """Run a small study on the embedded digits, and report it: the whole project in minutes."""
    import reports
    from reports.page import report as write_report
    from search.progress import display
    from search.study import DEMO, run_study

    outcome = run_study(DEMO, run, show=display(err))
    if outcome.ended == "interrupted":
        stopped(outcome.signal)
    page = write_report(run)
    best(run)
    say("")
    say(f"best split found: {accuracies(reports.load(run))}; held-out digits, one seed each: a demonstration, no proof")
    say(f"report: {page}")
