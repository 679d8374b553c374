"""Commands about studies: search, how far it is, what is best, does it hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import arch
from arch.errors import InputError
from inceptory.app import app
from inceptory.options import (
    Format,
    FormatOption,
    Progress,
    ProgressOption,
    SetOption,
    ShowFormat,
    overridden,
    overrides,
    seeds_of,
)
from inceptory.printing import err, print_rows, print_tables, records, say, stopped


@app.command()
def search(
    study: Annotated[str, typer.Argument(help="a study's YAML file")],
    run: Annotated[Path | None, typer.Option(help="the run directory; by default runs/NAME")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="another total number of trials")] = None,
    engine: Annotated[str | None, typer.Option(help="where trials run: auto, inprocess, local or ray")] = None,
    address: Annotated[
        str | None, typer.Option(help="the Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for one of its own")
    ] = None,
    set: SetOption = None,
    allow_change: Annotated[
        list[str] | None,
        typer.Option("--allow-change", help="A key that may have changed since the last start; may be repeated."),
    ] = None,
    progress: ProgressOption = Progress.auto,
) -> None:
    """Run a study, or go on with it, until it has its total number of trials."""
    from search.progress import display
    from search.record.status import status as status_of
    from search.study.config import load_study
    from search.study.run import run_study

    config = load_study(study)
    changes = overrides(set, ("recipe", "data", "sampler", "pruner", "engine", "study"))
    changes["engine"] |= {key: value for key, value in (("name", engine), ("address", address)) if value}
    values = overridden(config.model_dump(), changes, "study")
    outcome = run_study(
        load_study(values, study), run, trials=trials, allow=allow_change or (), show=display(err, progress.value)
    )
    if outcome.ended == "interrupted":
        stopped(outcome.signal)
    if outcome.ended == "failing":
        raise RuntimeError(
            f"stopped after {outcome.finished} of {outcome.total} trials: the last trainings failed alike, as said above; "
            f"`inceptory report {outcome.run}` names the reasons."
        )
    done = f"{outcome.ended}: {outcome.finished} of {outcome.total} trials finished"
    if not status_of(outcome.run)["complete"]:
        raise RuntimeError(f"{done}, and none came to its end; `inceptory report {outcome.run}` names the reasons.")
    say(f"{done}; see `inceptory best {outcome.run}` and `inceptory report {outcome.run}`")


@app.command()
def status(run: Path, format: FormatOption = Format.table) -> None:
    """Say how far a run is."""
    from search.record.files import read_lines
    from search.record.status import status as status_of

    print_rows([status_of(run)], format)
    changes = read_lines(run / "changes.jsonl")
    if changes and format is Format.table:
        say("")
        for change in changes:
            say(
                f"{change['time']}, before trial {change['trials']}: {change['key']} was {change['old']!r} and is {change['new']!r}"
            )


@app.command()
def best(
    run: Path,
    format: Annotated[
        ShowFormat, typer.Option("--format", help="yaml prints the best network's file.")
    ] = ShowFormat.table,
    trial: Annotated[int | None, typer.Option(min=0, help="with --format yaml: this trial's network")] = None,
) -> None:
    """Show a study's best network beside the base; of several objectives the front, best first."""
    import reports
    from reports.tables.front import front_of_objectives
    from reports.tables.overview import best_and_base

    loaded = reports.load(run)
    table = front_of_objectives(loaded) if len(loaded.objectives) > 1 else best_and_base(loaded)
    if table is None:
        raise InputError(f"{run}: no trial has come to its end yet; `inceptory status {run}` says how far it is.")
    if trial is not None and format is not ShowFormat.yaml:
        raise InputError("--trial goes with --format yaml, which prints that trial's network.")
    if format is ShowFormat.yaml:
        print(arch.to_yaml(_trial_network(run, loaded, trial)), end="")
    elif format is ShowFormat.table:
        print_rows(records(table.printed()), Format.table, f"{table.caption}: {accuracies(loaded)}\n")
    else:
        print_rows(json.loads(table.plain().to_json(orient="records")), Format(format.value))


def _trial_network(run: Path, loaded: Any, trial: int | None) -> arch.Spec:
    """Return a trial's network, by default the best one's, under a name of its own."""
    from search.record.layout import trial_folder

    if trial is None:
        best: arch.Spec = loaded.specs["best"]
        return replace(best, name=f"{loaded.name}_best")
    path = trial_folder(run, trial) / "spec.yaml"
    if not path.exists():
        raise InputError(f"{run}: there is no trial {trial}; `inceptory report {run}` lists them all.")
    return replace(arch.load(path), name=f"{loaded.name}_{trial}")


def accuracies(run: Any) -> str:
    """Return the best and the base's figure as text."""
    top = run.ranked.iloc[0]
    text = f"{run.objective} {top[run.objective]:.4f} (trial {top['trial']})"
    return text + (f", base {run.base[run.objective]:.4f}" if run.base else "")


@app.command()
def confirm(
    run: Annotated[Path, typer.Argument(help="a study's run directory")],
    top: Annotated[int, typer.Option(min=1, help="So many of the best trials.")] = 3,
    trial: Annotated[list[int] | None, typer.Option(help="This trial, instead of the best; may be repeated.")] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="Another study's trial beside, as RUN2:5; may be repeated.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many fresh seeds, or which, as 11,12,13.")] = "6",
    recipe: Annotated[str | None, typer.Option(help="another recipe than the study's: a name or YAML file")] = None,
    set: SetOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Trainings side by side; 0: as in the study.")] = 0,
    format: FormatOption = Format.table,
    progress: ProgressOption = Progress.auto,
) -> None:
    """Train a study's best networks and its base anew with fresh seeds, and open the test set once for each.

    The same command goes on where it was stopped. RUN/confirm holds everything; `report` shows it.
    """
    import reports
    from reports.tables.confirmation import confirmation_tables
    from search.comparison.confirm import confirm_study
    from search.progress import display

    others = [_other_trial(given) for given in with_ or []]
    changes = overrides(set, ("recipe",))["recipe"]
    asked: dict[str, Any] = {"trials": trial or (), "others": others, "seeds": seeds_of(seeds)}
    outcome = confirm_study(
        run, top=top, **asked, recipe=recipe, changes=changes, workers=workers, show=display(err, progress.value)
    )
    if outcome.signal:
        stopped(outcome.signal)
    print_tables(confirmation_tables(reports.load(run)), format)
    if not outcome.complete:
        raise RuntimeError(f"{run}: no training of the confirmation came to its end.")


def _other_trial(given: str) -> tuple[str, int]:
    folder, colon, number = given.rpartition(":")
    if not colon or not folder or not number.isdigit():
        raise InputError(f"--with is '{given}', but it must be another study's run directory and a trial, as RUN2:5.")
    return folder, int(number)
