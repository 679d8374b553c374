"""A study's storage held against the records of its run directory, and built anew from them where it is damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.distributions import json_to_distribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from arch.errors import InputError
from search.record.files import Damaged, read_json, read_lines, set_aside
from search.record.layout import results, trial_folder
from search.record.objectives import Objectives
from search.storage.urls import file_of, open_storage, shown

# What Optuna hears of a result beside its values; little, for each is a commit of its storage, and the run directory
# holds everything. A pruned trial's last epoch is a value that it at least reached.
TOLD = ("macs", "spec_id", "duplicate_of", "reason")
CENSORED = ("epochs", "val_accuracy", "val_loss")
_SQLITE_BUSY = 60.0  # seconds that SQLite waits for another writer


def open_whole(
    url: str, run: Path, name: str, objectives: Objectives, max_macs: int, give_up: Callable[[], bool]
) -> tuple[optuna.Study, RDBStorage | JournalStorage, list[str]]:
    """Open an Optuna study, making it where it is not there yet, and see that it is what the run directory tells.

    A SQLite or journal file in the run directory that is damaged, or knows less than the records do, is set aside
    and built anew from them. The third of what is returned is a sentence about that, if it was so.

    Raises
    ------
    InputError
        The storage is damaged or lost, and lies elsewhere or is a server; names what is wrong.
    """
    path = file_of(url)
    broken = why_damaged(url, path, begun(run)) if path and path.exists() else ""
    if not broken:
        storage = open_storage(url, give_up=give_up)
        study = _made(storage, name, objectives)
        broken = _disagreement(study, run, objectives)
        if not broken:
            return study, storage, []
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()
    if path is None or run.resolve() not in path.resolve().parents:
        raise InputError(
            f"{run}: storage {shown(url)}: {broken}; bring the storage back, or name a new folder with --run."
        )
    aside = "lost"
    if path.exists():
        aside = f"damaged ({broken}), set aside as {set_aside(path, broken).name}"
        for suffix in ("-journal", "-wal"):  # SQLite would play it back into the new file
            if (beside := path.with_name(path.name + suffix)).exists():
                set_aside(beside, f"belongs to {path.name}")
    storage = open_storage(url, give_up=give_up)
    study = _made(storage, name, objectives)
    kept = rebuild(study, run, objectives, max_macs)
    return study, storage, [f"{path}: {aside}; built anew from the records of {kept} trials"]


def _made(storage: RDBStorage | JournalStorage, name: str, objectives: Objectives) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name=name, directions=objectives.directions, load_if_exists=True)


def begun(run: Path) -> int:
    """Return how many trials of a run directory were begun."""
    return sum(1 for _ in (run / "trials").glob("[0-9]*"))


def why_damaged(url: str, path: Path, trials: int) -> str:
    """Return what is wrong with the file of a storage that should know so many trials, or nothing."""
    if path.stat().st_size == 0:
        return "it is empty" if trials else ""
    return _broken_line(path) if url.startswith("journal") else _broken_database(path)


def _broken_database(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", timeout=_SQLITE_BUSY, uri=True)) as database:
            found = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return ""  # busy, or not to be opened: its opening says so
    except sqlite3.DatabaseError as error:
        return str(error)
    if found != "ok":
        return " ".join(found.split())
    return "it is a database, but not Optuna's" if tables and "studies" not in tables else ""


def _broken_line(path: Path) -> str:
    *lines, _ = path.read_bytes().split(b"\n")  # what is torn at the end is cut when it is opened
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
    except Exception as error:  # a cell that was changed shows in as many ways as there are columns
        return f"its trials cannot be read ({type(error).__name__})"
    if begun(run) > len(trials):
        return f"the run directory holds {begun(run)} trials, but the storage knows {len(trials)}"
    for result in results(run):
        trial = trials[result["trial"]]
        if "searched" in result and _as_read(trial.params) != result["searched"]:
            return f"trial {trial.number} has other parameters than its record"
        state, values = _outcome(result, objectives)
        if trial.state.is_finished() and (trial.state, trial.values) != (state, values):
            return f"trial {trial.number} is {trial.state.name} {trial.values}, and {state.name} {values} in its record"
    return ""


def _as_read(params: dict[str, Any]) -> Any:
    return json.loads(json.dumps(params))


def _outcome(result: dict[str, Any], objectives: Objectives) -> tuple[TrialState, list[float] | None]:
    """Return what Optuna is told of a result."""
    values = objectives.values(result)
    if values is not None:
        return TrialState.COMPLETE, values
    return (TrialState.FAIL if result["state"] in ("failed", "complete") else TrialState.PRUNED), None


def rebuild(study: optuna.Study, run: Path, objectives: Objectives, max_macs: int) -> int:
    """Give an empty study the trials that a run directory tells of, and return how many of them had ended.

    One that had not ended is drawn anew, and its training begins anew, as its parameters were in the storage alone.
    So was what a sampler notes of its own: NSGA and CMA-ES begin another generation.
    """
    path = run / "distributions.json"
    known = {name: json_to_distribution(text) for name, text in (read_json(path) if path.exists() else {}).items()}
    ended = {result["trial"]: result for result in results(run)}
    numbers = [int(folder.name) for folder in (run / "trials").glob("[0-9]*")]
    for number in range(max(numbers, default=-1) + 1):
        folder = trial_folder(run, number)
        if number not in ended:
            study.add_trial(create_trial(state=TrialState.RUNNING))
            if (folder / "checkpoint.pt").exists():
                set_aside(
                    folder / "checkpoint.pt", "the storage was lost, and with it what this training was drawn from"
                )
            continue
        lacking = set(ended[number].get("searched", {})) - set(known)
        if lacking:
            raise Damaged(f"{path}: says nothing of {', '.join(sorted(lacking))}; bring back it or the storage.")
        study.add_trial(_frozen(ended[number], folder, objectives, known, max_macs))
    return len(ended)


def _frozen(
    result: dict[str, Any], folder: Path, objectives: Objectives, known: dict[str, Any], max_macs: int
) -> FrozenTrial:
    state, values = _outcome(result, objectives)
    told: Sequence[str] = TOLD if result["state"] != "pruned" else TOLD + CENSORED
    attrs = {name: result[name] for name in (*told, "start") if result.get(name) is not None}
    over = result["macs"] / max_macs - 1 if max_macs and "macs" in result else None
    constraints = {} if over is None else {"macs": over}
    if result["state"] == "infeasible":
        attrs["outcome"] = result["state"]
        if over is None or over <= 0:
            constraints["space"] = 1.0  # by how much is not recorded
    searched = result.get("searched", {})
    steps = read_lines(folder / "metrics.jsonl") if len(objectives) == 1 else []
    return create_trial(
        state=state,
        values=values,
        params=searched,
        distributions={name: known[name] for name in searched},
        user_attrs=attrs,
        intermediate_values={step["epoch"]: step[objectives.judged] for step in steps},
        constraints=constraints,
    )
