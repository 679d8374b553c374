"""Create a study's run directory and Optuna study, or reopen them and check that the study may resume."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.storages import BaseStorage

from arch.errors import InputError
from arch.specs.write import to_yaml
from search.record.differences import differing
from search.record.environment import environment
from search.record.files import append_line, read_json, sealed_yaml, write_sealed, write_text, write_yaml
from search.record.layout import BASE, allowed_changes, comparable_since, mend_training
from search.record.objectives import Objectives
from search.sampling.rungs import Rungs
from search.sampling.samplers import make_pruner
from search.storage.migrate import changed_choices, migrate
from search.storage.recover import open_consistent
from search.storage.urls import shown
from search.study import fingerprint
from search.study.config import Plan, StudyConfig
from search.study.proposer import parameters


@dataclass(frozen=True)
class Opened:
    """A study that may begin or resume.

    Attributes
    ----------
    rungs : this package's pruner; None where Optuna's prunes.
    since : the number of the first trial whose values may be compared with those to come.
    notes : a line for each change since the last start and each damaged file.
    """

    study: optuna.Study
    rungs: Rungs | None
    since: int
    notes: tuple[str, ...]


def open_study(plan: Plan, run: Path, allow: Collection[str], give_up: Callable[[], bool] = lambda: False) -> Opened:
    """Open a run directory and its Optuna study, and record what the study depends on.

    Parameters
    ----------
    allow : the keys that may have changed since the last start.
    give_up : called while waiting for a storage's server; true ends the wait.

    Raises
    ------
    InputError
        Something changed since the last start that may not, or the storage is another study's.
    """
    config = plan.config
    about = _about(plan)
    new = fingerprint.fingerprint(config, plan.base, plan.recipe, plan.data)
    storage = cache(lambda: _opened(config, run, give_up))
    # Damaged files are set aside first: nothing can be compared with them. The storage holds the fingerprint, too.
    damaged = [note for folder in (run / BASE, *(run / "trials").glob("[0-9]*")) for note in mend_training(folder)]
    damaged += fingerprint.mend_study(run, lambda: storage()[0].user_attrs.get("fingerprint"))
    # A start that differs from the last one is refused before its storage is touched.
    contract = fingerprint.check(run, new, about, allow)
    study, backend, rebuilt = storage()
    _check_storage(study, run, contract.old, new)
    # Allowed changes are recorded before the new fingerprint, with which the next start is compared.
    study = _with_changes(study, backend, plan, run, contract)
    study.set_user_attr("fingerprint", new)
    fingerprint.keep(run, new)
    _write_about(plan, run, about)
    changed = (f"changed, and recorded: {change}" for change in contract.allowed)
    notes = (*damaged, *rebuilt, *changed, *contract.warnings)
    return Opened(study, _set_pruner(study, config), comparable_since(allowed_changes(run)), notes)


def _about(plan: Plan) -> dict[str, Any]:
    """Return what a start depends on besides the study's file."""
    return environment(
        **plan.config.engine.described(),
        data=plan.data.fingerprint,
        split=plan.data.split,
        objectives=Objectives(plan.config.objective).described(),
        varies=[axis.title for axis in plan.config.space.axes if axis.decides],
    )


def _opened(config: StudyConfig, run: Path, give_up: Callable[[], bool]) -> tuple[optuna.Study, BaseStorage, list[str]]:
    """Open the Optuna study of a run; after a change of its choices it is a copy under another name."""
    name = next((c["optuna_study"] for c in reversed(allowed_changes(run))), config.name)
    return open_consistent(storage_of(config, run), run, name, Objectives(config.objective), config.max_macs, give_up)


def _with_changes(
    study: optuna.Study, storage: BaseStorage, plan: Plan, run: Path, contract: fingerprint.Contract
) -> optuna.Study:
    """Record what changed since the last start; return the study that continues: a copy where choices changed."""
    if contract.allowed:
        grown = changed_choices(study, parameters(plan.config.space, plan.base, plan.recipe)[0])
        study = migrate(study, storage, plan.config.name, grown) if grown else study
    if contract.allowed or contract.warnings:
        fingerprint.record(run, contract, len(study.get_trials(deepcopy=False)), study.study_name)
    return study


def _set_pruner(study: optuna.Study, config: StudyConfig) -> Rungs | None:
    """Let Optuna's pruner prune a study; return the rungs where these do."""
    pruner = make_pruner(config.pruner, len(Objectives(config.objective)))
    if isinstance(pruner, Rungs):
        study.pruner = NopPruner()
        return pruner
    study.pruner = pruner
    return None


def _write_about(plan: Plan, run: Path, about: Mapping[str, Any]) -> None:
    """Write what a run depends on, for its readers; without the storage's password."""
    shown_storage = {"storage": shown(plan.config.storage)}
    write_yaml(run / "study.yaml", plan.config.model_dump(mode="json") | shown_storage, sealed=True)
    write_text(run / "base.yaml", sealed_yaml(to_yaml(plan.base)))
    write_sealed(run / "environment.json", about)


def storage_of(config: StudyConfig, run: Path) -> str:
    """Return the URL of a study's storage: by default SQLite in its run directory."""
    return config.storage or f"sqlite:///{run / 'study.db'}"


def note_start(run: Path, finished: int, created: int) -> None:
    """Add this start to `attempts.jsonl`, with what its numbers depend on."""
    about = read_json(run / "environment.json")
    started = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "pid": os.getpid(),
        **{key: about[key] for key in ("commit", "versions", "device", "execution")},
        "finished": finished,
        "asked": created,
    }
    append_line(run / "attempts.jsonl", json.dumps(started))


def note_end(run: Path, ended: str) -> None:
    """Add to `attempts.jsonl` how this start ended."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    append_line(run / "attempts.jsonl", json.dumps({"time": now, "ended": ended}))


def _check_storage(study: optuna.Study, run: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse a storage that is not the one of this run directory."""
    trials = study.get_trials(deepcopy=False)
    known = study.user_attrs.get("fingerprint")
    if trials and known is not None and known != old and (differences := list(differing(known, new))):
        raise InputError(
            f"the storage holds another study called {study.study_name} ({'; '.join(differences)}); choose another name."
        )
    if trials and not (run / "fingerprint.json").exists():
        raise InputError(
            f"{run}: is new, but the storage holds {len(trials)} trials of a study called {study.study_name}; resume it "
            "in its run directory with --run, or choose another name."
        )
