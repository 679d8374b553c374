"""The commands about studies: pilot, search, status, best, confirm, dashboard, demo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import arch
from arch.errors import InputError
from inceptory.app import STUDIES, app
from inceptory.options import (
    Format,
    FormatOption,
    ProgressOption,
    ProgressStyle,
    SetOption,
    ShowFormat,
    ShowFormatOption,
    StudyArgument,
    overridden,
    overrides,
    seeds_of,
)
from inceptory.printing import Rows, err, exit_stopped, print_rows, print_tables, records, say

if TYPE_CHECKING:
    from reports.runs.run import Run
    from search.study.config import StudyConfig
    from search.study.driver import StudyOutcome

LOOPBACK = "127.0.0.1"


_KEYS = ("recipe", "data", "sampler", "pruner", "engine", "race", "budget", "study")


@app.command(rich_help_panel=STUDIES)
def pilot(
    study: Annotated[str, typer.Argument(help="The YAML file of a study.")],
    run: Annotated[Path | None, typer.Option(help="Write into this run directory; without it runs/NAME.")] = None,
    set: SetOption = None,
    format: FormatOption = Format.table,
    progress: ProgressOption = ProgressStyle.auto,
) -> None:
    """Measure whether a search can pay before it is paid for.

    The base trains with several seeds, some candidates with two. Simulated
    races then say what each plan would gain. `search` takes the trainings over.
    """
    from search.study.config import load_study

    config = load_study(study)
    _pilot(load_study(overridden(config.model_dump(), overrides(set, _KEYS), "study"), study), run, format, progress)


def _pilot(config: StudyConfig, run: Path | None, format: Format, progress: ProgressStyle) -> None:
    """Run a study's pilot and print what it found."""
    from search.comparison.pilot import run_pilot
    from search.progress import display

    outcome = run_pilot(config, run, show=display(err, progress.value))
    found = outcome.found
    if found is None:
        return exit_stopped(outcome.tasks.signal)
    plans = found["plans"][:_PLANS]
    names = {"epochs": "epochs", "candidates": "candidates", "replicates": "further seeds", "pause": "pause after"}
    figures = {"expected_gain": "gain", "expected_low": "low", "expected_high": "high", "expected_chance": "chance"}
    rows = [{title: plan[key] for key, title in names.items()} | _rounded(plan, figures) for plan in plans]
    print_rows(rows, format, f"{found['text']}\n", note=_PLANS_NOTE)


_PLANS = 3  # so many are printed; pilot.json holds all
_PLANS_NOTE = (
    "epochs: of a training. further seeds: share of the work. pause after: epoch at which the worse half of the new\n"
    "candidates waits, 0: none. gain: expected true gain over the base, points of held-out accuracy, low to high: 80 %\n"
    "of what the pilot allows. Candidates are taken for normal: a space whose bad networks are far off promises too much."
)


def _rounded(plan: dict[str, Any], figures: dict[str, str]) -> dict[str, float | None]:
    return {title: plan[key] and round(plan[key], 2) for key, title in figures.items()}


@app.command(rich_help_panel=STUDIES)
def search(
    study: Annotated[str, typer.Argument(help="The YAML file of a study.")],
    run: Annotated[Path | None, typer.Option(help="Write into this run directory; without it runs/NAME.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Run so many trials in total.")] = None,
    engine: Annotated[str | None, typer.Option(help="Run the trials here: auto, inprocess, local or ray.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Use this Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for a new one."),
    ] = None,
    set: SetOption = None,
    allow_change: Annotated[
        list[str] | None,
        typer.Option("--allow-change", help="Accept that this key changed since the last start; may be repeated."),
    ] = None,
    progress: ProgressOption = ProgressStyle.auto,
) -> None:
    """Run a study up to its total number of trials, or its budget.

    A race begins with its pilot. The same command resumes a study that was
    stopped.
    """
    from search.comparison.pilot import pilot_is_due
    from search.progress import display
    from search.study.config import load_study
    from search.study.run import run_study

    config = load_study(study)
    changes = overrides(set, _KEYS)
    changes["engine"] |= {key: value for key, value in (("name", engine), ("address", address)) if value}
    config = load_study(overridden(config.model_dump(), changes, "study"), study)
    if pilot_is_due(config, run or Path("runs") / config.name):
        _pilot(config, run, Format.table, progress)
    outcome = run_study(config, run, trials=trials, allow=allow_change or (), show=display(err, progress.value))
    _say_outcome(outcome)


def _say_outcome(outcome: StudyOutcome) -> None:
    """Say how a study ended; an interruption, or no complete trial, is an exit code."""
    from search.record.status import status as status_of

    if outcome.ended == "interrupted":
        exit_stopped(outcome.signal)
    if outcome.ended == "failing":
        raise RuntimeError(
            f"stopped after {outcome.finished} of {outcome.total} trials: the last trainings failed alike, as printed "
            f"above; `inceptory report {outcome.run}` names the reasons."
        )
    summary = f"{outcome.ended}: {outcome.finished} of {outcome.total} trials finished"
    if not status_of(outcome.run)["complete"]:
        raise RuntimeError(f"{summary}, but none is complete; `inceptory report {outcome.run}` names the reasons.")
    say(f"{summary}; see `inceptory best {outcome.run}` and `inceptory report {outcome.run}`")


@app.command(rich_help_panel=STUDIES)
def status(
    run: Annotated[Path, typer.Argument(help="The run directory of a study, an ablation or a training.")],
    format: FormatOption = Format.table,
) -> None:
    """Show how many trials of a run are finished."""
    from search.record.files import read_lines
    from search.record.status import status as status_of

    found = status_of(run)
    # What people read stands one below the other: side by side it is wider than a terminal.
    rows = [{"what": what, "value": value} for what, value in found.items()] if format is Format.table else [found]
    print_rows(rows, format)
    changes = read_lines(run / "changes.jsonl")
    if changes and format is Format.table:
        say("")
        for change in changes:
            say(
                f"{change['time']}, before trial {change['trials']}: "
                f"{change['key']} was {change['old']!r} and is {change['new']!r}"
            )


@app.command(rich_help_panel=STUDIES)
def best(
    run: StudyArgument,
    format: ShowFormatOption = ShowFormat.table,
    trial: Annotated[
        int | None, typer.Option(min=0, help="With --format yaml, print the network of this trial.")
    ] = None,
) -> None:
    """Show a study's best network next to its base.

    A study of several objectives shows its front, best first. A race also
    shows what was seen of its best candidates, and what is to be expected.
    """
    import reports
    from reports.tables.candidates import answer, leaders
    from reports.tables.front import front_of_objectives
    from reports.tables.overview import best_and_base

    loaded = reports.load(run)
    table = front_of_objectives(loaded) if len(loaded.objectives) > 1 else best_and_base(loaded)
    if table is None:
        raise InputError(f"{run}: no trial is complete yet; `inceptory status {run}` shows how many are finished.")
    if trial is not None and format is not ShowFormat.yaml:
        raise InputError("--trial goes with --format yaml, which prints that trial's network.")
    if format is ShowFormat.yaml:
        print(arch.to_yaml(_trial_network(run, loaded, trial)), end="")
    elif format is ShowFormat.table:
        if leading := leaders(loaded):
            print_rows(records(leading.printed()), Format.table, f"{answer(loaded)}\n", fold=True)
            say("")
        print_rows(records(table.printed()), Format.table, f"{table.caption}: {_accuracies(loaded)}\n")
    else:
        rows: Rows = json.loads(table.plain().to_json(orient="records"))
        print_rows(rows, Format(format.value))


def _trial_network(run: Path, loaded: Run, trial: int | None) -> arch.Spec:
    """Return a trial's network, by default the best one's, under a name of its own."""
    from search.record.layout import trial_folder

    if trial is None:
        return replace(loaded.specs["best"], name=f"{loaded.name}_best")
    path = trial_folder(run, trial) / "spec.yaml"
    if not path.exists():
        raise InputError(f"{run}: there is no trial {trial}; `inceptory report {run}` lists them all.")
    return replace(arch.load(path), name=f"{loaded.name}_{trial}")


def _accuracies(run: Run) -> str:
    """Return the best trial's and the base's value of the objective as text."""
    top, first = run.ranked.iloc[0], run.objectives.first
    text = f"{first.title} {first.text(top[first.name])} (trial {top['trial']})"
    return text + (f", base {first.text(run.base[first.name])}" if run.base else "")


@app.command(rich_help_panel=STUDIES)
def confirm(
    run: StudyArgument,
    top: Annotated[int, typer.Option(min=1, help="Confirm so many of the best trials.")] = 3,
    trial: Annotated[
        list[int] | None, typer.Option(help="Confirm this trial instead of the best ones; may be repeated.")
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="Confirm a trial of another study too, such as RUN2:5; may be repeated."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Train with so many fresh seeds, or with these, such as 11,12,13.")] = "6",
    recipe: Annotated[
        str | None, typer.Option(help="Train by this recipe (a name or a YAML file) instead of the study's.")
    ] = None,
    set: SetOption = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Run so many trainings at a time; 0 takes the study's number.")
    ] = 0,
    format: FormatOption = Format.table,
    progress: ProgressOption = ProgressStyle.auto,
) -> None:
    """Retrain a study's best networks and test them once.

    Each network and the base train again with the same fresh seeds, on all
    training images; then each opens the test set once. The same command
    resumes a confirmation that was stopped. RUN/confirm holds the results, and
    `report` shows them.
    """
    import reports
    from reports.tables.confirmation import confirmation_tables
    from search.comparison.confirm import confirm_study
    from search.progress import display

    others = [_other_trial(text) for text in with_ or []]
    changes = overrides(set, ("recipe",))["recipe"]
    chosen: dict[str, Any] = {"trials": trial or (), "others": others, "seeds": seeds_of(seeds)}
    outcome = confirm_study(
        run, top=top, **chosen, recipe=recipe, changes=changes, workers=workers, show=display(err, progress.value)
    )
    if outcome.signal:
        exit_stopped(outcome.signal)
    print_tables(confirmation_tables(reports.load(run)), format)
    if not outcome.complete:
        raise RuntimeError(f"{run}: no training of the confirmation is complete; `inceptory report {run}` shows why.")


def _other_trial(text: str) -> tuple[str, int]:
    folder, colon, number = text.rpartition(":")
    if not colon or not folder or not number.isdigit():
        raise InputError(f"--with is '{text}', but it must be another study's run directory and a trial, as RUN2:5.")
    return folder, int(number)


@app.command(rich_help_panel=STUDIES)
def dashboard(
    run: StudyArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes any free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Listen on this address; 0.0.0.0 lets other machines in.")] = LOOPBACK,
    storage: Annotated[
        str | None, typer.Option(help="Read the study from this storage; the recorded one has no password.")
    ] = None,
) -> None:
    """Open a study in optuna-dashboard until Ctrl-C.

    Only this machine can open it, unless --host says otherwise.
    """
    from search.study.dashboard import Dashboard

    with Dashboard(run, host=host, port=port, storage=storage) as server:
        say(f"{server.study} at {server.url}")
        if server.loopback:
            say("Only this machine can open it; --host shows it to others. Ctrl-C ends it.")
        else:
            text = f"Whoever reaches {host} can see and change the study: there is no password. Ctrl-C ends it."
            err.print(text, markup=False, highlight=False)
        server.serve()


@app.command(rich_help_panel=STUDIES)
def demo(
    run: Annotated[Path, typer.Option(help="Write into this run directory.")] = Path("runs/demo"),
    progress: ProgressOption = ProgressStyle.auto,
) -> None:
    """Run a pilot, a race and a confirmation on embedded digits.

    Minutes on two cores. The report is that of any study.
    """
    from reports.page.report import report as write_report
    from search.study.config import DEMO

    search(str(DEMO), run, progress=progress)
    best(run)
    say("")
    confirm(run, top=1, seeds="2", progress=progress)
    say("\na demonstration, no proof: a pilot of two candidates knows little of a space, and two seeds confirm nothing")
    say(f"report: {write_report(run)}")
