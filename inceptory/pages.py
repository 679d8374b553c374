"""Commands that show: a run's report, and the whole project in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inceptory.app import app
from inceptory.options import Progress, ProgressOption
from inceptory.printing import err, say, stopped
from inceptory.studies import accuracies, best


@app.command()
def report(
    run: Path,
    to: Annotated[Path | None, typer.Option(help="another folder than report/ in the run directory")] = None,
) -> None:
    """Write a run's tables, figures and page."""
    from reports.page import report as write_report

    say(str(write_report(run, to)))


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="the run directory")] = Path("runs/demo"),
    progress: ProgressOption = Progress.auto,
) -> None:
    """Run a small study on the embedded digits, and report it: the whole project in minutes."""
    import reports
    from reports.page import report as write_report
    from search.progress import display
    from search.study import DEMO, run_study

    outcome = run_study(DEMO, run, show=display(err, progress.value))
    if outcome.ended == "interrupted":
        stopped(outcome.signal)
    page = write_report(run)
    best(run)
    say("")
    say(f"best split found: {accuracies(reports.load(run))}; held-out digits, one seed each: a demonstration, no proof")
    say(f"report: {page}")
