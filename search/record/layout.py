"""The layout of a run directory: names of files and folders, sealed results, and which kind of run a folder holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from arch.errors import InputError
from search.record.files import (
    Damaged,
    checksum,
    read_json,
    read_lines,
    read_yaml,
    sealed_files,
    set_aside,
    write_sealed,
)
from search.record.objectives import Objectives

CHANGES = "changes.jsonl"
OTHER_VALUES = ("data", "split", "seed", "recipe")  # after a change of these, earlier values cannot be compared
BASE = "base"  # the folder of a study's base network, and the name of its training
# a training's record: its result, and the files that the result's seal covers
RESULT = "result.json"
CHECKPOINT = "checkpoint.pt"  # the state of a training that has not finished, or pauses
CONTINUED = "continued.json"  # in the folder of a trial that continues a paused one: which, and after how many epochs
PILOT = "pilot"  # the folder of a study's pilot
_KINDS = {"study.yaml": "a study", "ablation.yaml": "an ablation", "spec.yaml": "a training"}  # by their own file
_SEALED = ("spec.yaml", "recipe.yaml", "metrics.jsonl", "weights.safetensors")


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write how a training ended, sealed together with the other files of its folder; the last file to be written."""
    write_sealed(folder / RESULT, result, _SEALED)


def mend_training(folder: Path) -> list[str]:
    """Set aside what is damaged in a training's folder, and its result with it, so that it is trained again.

    Returns a sentence for each damaged file. Nothing is deleted, and what is missing stays so.
    """
    broken: dict[str, str] = {}
    try:
        for name, known in _sealed_by(folder / RESULT).items():
            if (folder / name).exists() and checksum(folder / name) != known:
                broken[name] = "its checksum does not match"
    except Damaged as error:
        broken[RESULT] = str(error)
    try:
        read_lines(folder / "metrics.jsonl")
    except Damaged as error:
        broken["metrics.jsonl"] = str(error)
    notes = [f"{folder / name}: damaged, set aside as {set_aside(folder / name, broken[name]).name}" for name in broken]
    if broken and (folder / RESULT).exists():
        set_aside(folder / RESULT, f"{', '.join(broken)} next to it: damaged")
    return notes


def _sealed_by(result: Path) -> dict[str, str]:
    if not result.exists():
        return {}
    read_json(result)
    return sealed_files(result)


def check_kind(folder: Path, own: str) -> None:
    """Raise InputError where a folder is a run of another kind than that of the file `own`: their files would mix."""
    for name, kind in _KINDS.items():
        if name != own and (folder / name).exists():
            raise InputError(f"{folder}: holds {kind} already ({name}); name another folder with --run.")


def trial_folder(run: Path, number: int) -> Path:
    """Return the folder of a trial, `trials/00017`."""
    return run / "trials" / f"{number:05d}"


def results(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the result of every trial that has one, by number; Damaged where one is not its folder's."""
    for path in sorted((run / "trials").glob("[0-9]*/result.json")):
        result = read_json(path, "trial")
        if not isinstance(result["trial"], int) or trial_folder(run, result["trial"]) != path.parent:
            raise Damaged(f"{path}: says that it is of trial {result['trial']!r}; move that folder out of trials/.")
        yield result


def allowed_changes(run: Path) -> list[dict[str, Any]]:
    """Return what was changed between two starts of a study, and allowed by name."""
    return read_lines(run / CHANGES)


def comparable_since(changes: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of the first trial whose values may be compared with those of the newest ones.

    Trials before it were trained by another recipe or seed, or on other images: no ranking may mix the two.
    """
    parts = ((change["key"].partition(".")[0], change["trials"]) for change in changes)
    return max((trials for part, trials in parts if part in OTHER_VALUES), default=0)


def objectives_of(run: Path) -> Objectives:
    """Return what a study is judged by, as its record describes it."""
    path = run / "environment.json"
    recorded = read_json(path).get("objectives") if path.exists() else None
    return Objectives(read_study(run)["objective"], recorded)


def read_study(run: Path) -> dict[str, Any]:
    """Return the study of a run directory as it was begun; InputError where a key is missing."""
    return read_yaml(run / "study.yaml", "name", "objective", "trials", "space")
