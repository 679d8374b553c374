"""Commands that show: a run's report, and the whole project in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inceptory.app import app
from inceptory.options import Progress, ProgressOption
from inceptory.printing import err, say, stopped
from inceptory.studies import accuracies, best

LOOPBACK = "127.0.0.1"


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="a study, an ablation, a training, or a folder of runs")],
    to: Annotated[Path | None, typer.Option(help="another folder than report/ in the run directory")] = None,
    trace: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="TABLE ROW COLUMN", help="Write nothing: name the trainings behind a cell of a table."),
    ] = None,
    static: Annotated[bool, typer.Option("--static", help="Without figures to explore: a smaller page.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again while the run goes on; the page reloads itself.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="With --watch: at most every so many seconds.")] = 5,
) -> None:
    """Write a run's tables, figures and page; of a folder of runs, a page with a row for each.

    With --trace, name the folders of the trainings behind a cell. ROW is the text of the first column, or the row's
    number from 1; COLUMN is the header.
    """
    if trace is not None:
        _say_trace(run, *trace)
        return
    from reports.page.watch import write

    if watch:
        _watch(run, to, static, every)
    else:
        say(str(write(run, to, static=static)))


def _watch(run: Path, to: Path | None, static: bool, every: float) -> None:
    from reports.page.watch import watch

    page = None
    try:
        for written in watch(run, to, static=static, every=every):
            if written != page:
                say(f"{written}: written again while {run} goes on; Ctrl-C ends that")
            page = written
    except KeyboardInterrupt:
        say("not watched any more; the page stays as it is now")
        raise
    say(f"{run} is complete")


def _say_trace(run: Path, table: str, row: str, column: str) -> None:
    import reports
    from reports.tables.run_tables import tables_of
    from reports.tables.trace import trace

    found = trace(tables_of(reports.load(run)), table, row, column)
    say(f"{found.table}, {found.row}, {found.column}: {found.cell}")
    for folder in found.folders:
        path = run / folder
        say(f"{path}{'' if path.exists() else ' (not here: this is a report, taken from its run)'}")


@app.command()
def dashboard(
    run: Annotated[Path, typer.Argument(help="a study's run directory")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0: every one of this machine.")] = LOOPBACK,
    storage: Annotated[
        str | None, typer.Option(help="the study's storage, where it is not the recorded one (it has no password)")
    ] = None,
) -> None:
    """Open a study in optuna-dashboard, on this machine alone unless told otherwise. Ctrl-C ends it."""
    from search.study.dashboard import Dashboard

    with Dashboard(run, host=host, port=port, storage=storage) as served:
        say(f"{served.study} at {served.url}")
        if served.loopback:
            say("Only this machine can open it; --host shows it to others. Ctrl-C ends it.")
        else:
            err.print(
                f"Whoever reaches {host} can see and change the study: there is no password. Ctrl-C ends it.",
                markup=False,
                highlight=False,
            )
        served.serve()


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="the run directory")] = Path("runs/demo"),
    progress: ProgressOption = Progress.auto,
) -> None:
    """Run a small study on the embedded digits, and report it: the whole project in minutes."""
    import reports
    from reports.page.report import report as write_report
    from search.progress import display
    from search.study.config import DEMO
    from search.study.run import run_study

    outcome = run_study(DEMO, run, show=display(err, progress.value))
    if outcome.ended == "interrupted":
        stopped(outcome.signal)
    page = write_report(run)
    best(run)
    say("")
    say(f"best split found: {accuracies(reports.load(run))}; held-out digits, one seed each: a demonstration, no proof")
    say(f"report: {page}")
