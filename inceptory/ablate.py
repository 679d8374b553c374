"""The command that runs an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inceptory.app import app
from inceptory.options import (
    Format,
    FormatOption,
    Progress,
    ProgressOption,
    SeedsOption,
    SetOption,
    overridden,
    overrides,
    seeds_of,
)
from inceptory.printing import err, print_tables, stopped


@app.command()
def ablate(
    ablation: Annotated[str, typer.Argument(help="an ablation's YAML file")],
    run: Annotated[Path | None, typer.Option(help="the run directory; by default runs/NAME")] = None,
    seeds: SeedsOption = None,
    set: SetOption = None,
    format: FormatOption = Format.table,
    progress: ProgressOption = Progress.auto,
) -> None:
    """Train a base and named changes of it with the same seeds, and say which differences are ones.

    The same command goes on where it was stopped; with more seeds or changes it adds them.
    """
    import reports
    from reports.tables.run_tables import tables_of
    from search.comparison.ablation import load_ablation, run_ablation
    from search.progress import display

    changes = overrides(set, ("recipe", "data", "engine", "ablation"))
    values = overridden(load_ablation(ablation).model_dump(), changes, "ablation")
    if seeds is not None:
        values["seeds"] = seeds_of(seeds)
    config = load_ablation(values, ablation)
    folder = run or Path("runs") / config.name
    outcome = run_ablation(config, folder, show=display(err, progress.value))
    if outcome.signal:
        stopped(outcome.signal)
    tables = tables_of(reports.load(folder))
    print_tables(tables[:-1] if format is Format.table else tables, format)  # not every training, where people read
    if not outcome.complete:
        raise RuntimeError(f"{folder}: no training came to its end.")
