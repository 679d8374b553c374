"""The commands that write pages: the report of a run, and the gallery of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inceptory.app import REPORTS, app
from inceptory.printing import check_folder, say


@app.command(rich_help_panel=REPORTS)
def report(
    run: Annotated[
        Path, typer.Argument(help="The directory of a study, an ablation or a training, or a folder of runs.")
    ],
    to: Annotated[Path | None, typer.Option(help="Write into this folder instead of report/ in the run.")] = None,
    trace: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            metavar="TABLE ROW COLUMN", help="Write nothing, but name the trainings behind a cell of a table."
        ),
    ] = None,
    static: Annotated[
        bool, typer.Option("--static", help="Write a smaller page, without interactive figures.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the report again while the run continues; the page reloads itself.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="With --watch, wait at least so many seconds.")
    ] = 5,
) -> None:
    """Write a run's tables, figures and page.

    A folder of runs gets a page with a row for each run.

    With --trace, the command names the folders of the trainings behind a cell.
    ROW is the text of the first column, or the row's number from 1; COLUMN is
    the header.
    """
    if trace is not None:
        _print_trace(run, *trace)
    elif watch:
        _watch(run, to, static, every)
    else:
        from reports.page.watch import write

        say(str(write(run, to, static=static)))


def _watch(run: Path, to: Path | None, static: bool, every: float) -> None:
    from reports.page.watch import watch

    page = None
    try:
        for written in watch(run, to, static=static, every=every):
            if written != page:
                say(f"{written}: written again while {run} continues; Ctrl-C ends that")
            page = written
    except KeyboardInterrupt:
        say("no longer watched; the page stays as it is now")
        raise
    say(f"{run} is complete")


def _print_trace(run: Path, table: str, row: str, column: str) -> None:
    import reports
    from reports.tables.run_tables import tables_of
    from reports.tables.trace import trace

    found = trace(tables_of(reports.load(run)), table, row, column)
    say(f"{found.table}, {found.row}, {found.column}: {found.cell}")
    for folder in found.folders:
        path = run / folder
        say(f"{path}{'' if path.exists() else ' (missing here: this report was copied from its run)'}")


@app.command(rich_help_panel=REPORTS)
def gallery(to: Annotated[Path, typer.Argument(help="Write the page into this folder.")] = Path("docs")) -> None:
    """Write a page of all networks with drawings of their blocks."""
    from reports.drawings.gallery import gallery as write_gallery

    check_folder(to)
    say(str(write_gallery(to)))
