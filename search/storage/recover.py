"""Compare a study's storage with the records of its run directory, and rebuild it from them where it is damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from math import isnan, nan
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from arch.errors import InputError
from search.record.files import Damaged, read_lines, set_aside
from search.record.layout import results, trial_folder
from search.record.objectives import Objectives
from search.space.feasible import Limit
from search.storage.distributions import distributions
from search.storage.tell import REMADE, attributes, enqueued, known, outcome
from search.storage.urls import file_of, open_storage, shown

_SQLITE_BUSY = 60.0  # seconds that SQLite waits for another writer


def open_consistent(
    url: str, run: Path, name: str, objectives: Objectives, max_macs: int, give_up: Callable[[], bool]
) -> tuple[optuna.Study, BaseStorage, list[str]]:
    """Open an Optuna study, created where it does not exist, and check that it agrees with the run directory.

    A SQLite or journal file in the run directory that is damaged, or holds less than the records do, is set aside
    and rebuilt from them. The third value returned has a sentence about that, if it happened.

    Raises
    ------
    InputError
        The storage is damaged or missing, and lies elsewhere or is a server; or the records do not hold all that
        rebuilding needs. Names what is wrong; nothing was set aside.
    """
    # A damaged file is found before Optuna opens it, a disagreement with the records after.
    path = file_of(url)
    broken = _why_broken(url, path, trials_begun(run)) if path else ""
    if not broken:
        storage = open_storage(url, give_up=give_up)
        study = _create_or_load(storage, name, objectives)
        broken = _disagreement(study, run, objectives)
        if not broken:
            return study, storage, []
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()
    if path is None or run.resolve() not in path.resolve().parents:
        raise InputError(
            f"{run}: storage {shown(url)}: {broken}; restore the storage, or name a new folder with --run."
        )
    trials = recorded_trials(run, objectives, max_macs)  # may refuse, so it comes before anything is moved
    aside = _set_storage_aside(path, broken)
    _set_checkpoints_aside(run)  # before the trials exist: from then on their parameters are drawn again
    storage = open_storage(url, give_up=give_up)
    study = _create_or_load(storage, name, objectives)
    for trial in trials:
        study.add_trial(trial)
    ended = sum(trial.state.is_finished() for trial in trials)
    return study, storage, [f"{path}: {aside}; rebuilt from the records of {ended} trials"]


def _set_storage_aside(path: Path, broken: str) -> str:
    """Set a damaged storage aside, with the logs that SQLite would apply to a new one; return this in words."""
    if not path.exists():
        return "missing"
    name = set_aside(path, broken).name
    for suffix in ("-journal", "-wal"):
        if (other := path.with_name(path.name + suffix)).exists():
            set_aside(other, f"belongs to {path.name}")
    return f"damaged ({broken}), set aside as {name}"


def _set_checkpoints_aside(run: Path) -> None:
    """Set aside the checkpoints of unfinished trainings: their parameters were in the storage alone."""
    for path in (run / "trials").glob("[0-9]*/checkpoint.pt"):
        if not path.with_name("result.json").exists():
            set_aside(path, "the storage was missing or damaged, and with it the parameters of this training")


def _create_or_load(storage: BaseStorage, name: str, objectives: Objectives) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name=name, directions=objectives.directions, load_if_exists=True)


def trials_begun(run: Path) -> int:
    """Return how many trials of a run directory were begun."""
    return sum(1 for _ in (run / "trials").glob("[0-9]*"))


def _why_broken(url: str, path: Path, trials: int) -> str:
    """Return what is wrong with a storage's file, or nothing; before it is opened, which would create one."""
    if path.exists():
        return why_damaged(url, path, trials)
    return f"the run directory holds {trials} trials, but the storage holds 0" if trials else ""


def why_damaged(url: str, path: Path, trials: int) -> str:
    """Return what is wrong with the file of a storage that should hold so many trials, or nothing."""
    if path.stat().st_size == 0:
        return "it is empty" if trials else ""
    return _broken_line(path) if url.startswith("journal") else _broken_database(path)


def _broken_database(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", timeout=_SQLITE_BUSY, uri=True)) as database:
            found = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return ""  # busy, or it cannot be opened: opening it raises the error
    except sqlite3.DatabaseError as error:
        return str(error)
    if found != "ok":
        return " ".join(found.split())
    return "it is a database, but not Optuna's" if tables and "studies" not in tables else ""


def _broken_line(path: Path) -> str:
    *lines, _ = path.read_bytes().split(b"\n")  # an incomplete last line is cut when it is opened
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or "op_code" not in entry:
            return f"line {number} is broken"
    return ""


def _disagreement(study: optuna.Study, run: Path, objectives: Objectives) -> str:
    """Return in what a storage and the records differ, or nothing."""
    try:
        trials = study.get_trials(deepcopy=False)
    except Exception as error:  # a changed cell raises as many kinds of errors as there are columns
        return f"its trials cannot be read ({type(error).__name__})"
    recorded = list(results(run))
    there = max(trials_begun(run), *(result["trial"] + 1 for result in recorded), 0)
    if there > len(trials):
        return f"the run directory holds {there} trials, but the storage holds {len(trials)}"
    # Parameters must agree always; states and values unless the trial still runs, or ran again because its record was missing.
    for result in recorded:
        trial = trials[result["trial"]]
        if "searched" in result and _through_json(trial.params) != result["searched"]:
            return f"trial {trial.number} has other parameters than its record"
        (state, values), (known_state, known_values) = outcome(result, objectives), known(trial)
        ended = trial.state.is_finished() and not result.get(REMADE, False)
        if ended and (known_state, known_values) != (state, values):
            was, says = f"{known_state.name} {known_values}", f"{state.name} {values}"
            return f"trial {trial.number} is {was}, and {says} in its record"
    return ""


def _through_json(params: dict[str, Any]) -> Any:
    return json.loads(json.dumps(params))


def recorded_trials(run: Path, objectives: Objectives, max_macs: int) -> list[FrozenTrial]:
    """Return the trials that a run directory records, as Optuna had them.

    An unfinished one is drawn and trained again, as its parameters were in the storage alone. So was the state that
    samplers and pruners store: NSGA and CMA-ES begin another generation.

    Raises
    ------
    Damaged
        The records do not hold the range that a parameter was drawn from; names it.
    """
    ranges, limit = distributions(run), Limit(max_macs)
    ended = {result["trial"]: result for result in results(run)}
    lacking = {name for result in ended.values() for name in result.get("searched", {})} - set(ranges)
    if lacking:
        where = run / "distributions.json"
        raise Damaged(f"{where}: lacks the range of {', '.join(sorted(lacking))}; restore it or the storage.")
    numbers = [int(folder.name) for folder in (run / "trials").glob("[0-9]*")]
    return [
        _frozen(ended[number], trial_folder(run, number), objectives, ranges, limit)
        if number in ended
        else create_trial(state=TrialState.RUNNING)
        for number in range(max(numbers, default=-1) + 1)
    ]


def _frozen(
    result: dict[str, Any],
    folder: Path,
    objectives: Objectives,
    ranges: Mapping[str, BaseDistribution],
    limit: Limit,
) -> FrozenTrial:
    state, values = outcome(result, objectives)
    steps = read_lines(folder / "metrics.jsonl") if len(objectives) == 1 else []
    reported = {step["epoch"]: _number(step[objectives.judged]) for step in steps}
    if state is TrialState.PRUNED and reported and not isnan(last := reported[max(reported)]):
        values = [last]  # Optuna gives a pruned trial the value of its last epoch
    searched = result.get("searched", {})
    return create_trial(
        state=state,
        values=values,
        params=searched,
        distributions={name: ranges[name] for name in searched},
        user_attrs=attributes(result) | enqueued(result),
        intermediate_values=reported,
        constraints=_constraints(result, limit),
    )


def _number(value: float | None) -> float:
    """Return a figure with NaN in place of null: JSON has no NaN."""
    return nan if value is None else value


def _constraints(result: Mapping[str, Any], limit: Limit) -> dict[str, float]:
    found = {"macs": limit.over(result["macs"])} if limit.max_macs and "macs" in result else {}
    if result["state"] == "infeasible" and found.get("macs", 0.0) <= 0:
        found["space"] = 1.0  # by how much is not recorded
    return found
