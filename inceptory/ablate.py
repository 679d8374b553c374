"""The command that runs an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inceptory.app import STUDIES, app
from inceptory.options import (
    Format,
    FormatOption,
    ProgressOption,
    ProgressStyle,
    SeedsOption,
    SetOption,
    overridden,
    overrides,
    seeds_of,
)
from inceptory.printing import err, exit_stopped, print_tables


@app.command(rich_help_panel=STUDIES)
def ablate(
    ablation: Annotated[str, typer.Argument(help="The YAML file of an ablation.")],
    run: Annotated[Path | None, typer.Option(help="Write into this run directory; without it runs/NAME.")] = None,
    seeds: SeedsOption = None,
    set: SetOption = None,
    format: FormatOption = Format.table,
    progress: ProgressOption = ProgressStyle.auto,
) -> None:
    """Compare a base with named changes, over the same seeds.

    The same command resumes an ablation that was stopped. It also adds seeds or
    changes to a finished one.
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
        exit_stopped(outcome.signal)
    tables = tables_of(reports.load(folder))
    print_tables(tables[:-1] if format is Format.table else tables, format)  # the last one lists every training
    if not outcome.complete:
        raise RuntimeError(f"{folder}: no training is complete; `inceptory report {folder}` shows why.")
