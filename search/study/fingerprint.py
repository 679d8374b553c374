"""What must not change between two starts of a study, and what happens where it does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arch.errors import InputError
from arch.specs.spec import Spec
from search.data.dataset import Data
from search.recipes.recipe import APART, Recipe
from search.record.differences import changes
from search.record.files import Damaged, append_line, read_json, read_lines, read_yaml, set_aside, write_sealed
from search.record.layout import CHANGES, OTHER_VALUES, read_study
from search.study.config import StudyConfig

FINGERPRINT = "fingerprint.json"
_NEVER = {"name": "it is the study's", "objective": "a study in Optuna keeps its objectives"}
_WATCHED = ("torch", "torchvision", "optuna", "inceptory")
_SEARCH_ALONE = ("max_macs", "sampler", "pruner")  # a change here leaves a running training as it is


@dataclass(frozen=True)
class Difference:
    """What differs between two starts; `key` is dotted."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key} was {self.old!r} and is {self.new!r}"

    @property
    def part(self) -> str:
        """The first word of the key."""
        return self.key.partition(".")[0]


def fingerprint(config: StudyConfig, base: Spec, recipe: Recipe, data: Data) -> dict[str, Any]:
    """Return what must not change between two starts of one study.

    The network enters as its expanded nodes, so a block that is written differently but builds the same is the same.
    """
    kept = config.model_dump(
        mode="json", include={"name", "space", "objective", "max_macs", "seed", "sampler", "pruner"}
    )
    found = kept | {
        "threads": config.engine.threads,
        "network": base.fingerprint,
        "recipe": recipe.model_dump(exclude=set(APART)),
        "data": data.fingerprint,
        "split": data.split,
    }
    references = {axis.key: axis.reference.fingerprint for axis in config.space.axes if axis.reference}
    found |= {"references": references} if references else {}
    return dict(json.loads(json.dumps(found)))  # as it is read back


@dataclass(frozen=True)
class Contract:
    """What changed since the last start: differences `allowed` by name, and those that only need a warning."""

    old: Mapping[str, Any]
    allowed: tuple[Difference, ...]
    warnings: tuple[str, ...]


def check(run: Path, new: Mapping[str, Any], about: Mapping[str, Any], allow: Collection[str]) -> Contract:
    """Compare a start with the last one of the same run directory.

    Parameters
    ----------
    new : the fingerprint.
    about : versions and execution of this start, as `environment.json` holds them.
    allow : the keys that may change; `space` allows `space.splits.round` too.

    Raises
    ------
    InputError
        Something changed and is not allowed to, or never is; names it all.
    """
    path = run / FINGERPRINT
    if not path.exists():
        return Contract(new, (), ())
    old = read_json(path)
    last: Mapping[str, Any] = next((a for a in reversed(read_lines(run / "attempts.jsonl")) if "versions" in a), {})
    # Versions come from the last start's line: of ours, only another major version is refused.
    found = [Difference(*change) for change in changes(old, new)]
    newer = [Difference(f"versions.{c[0]}", *c[1:]) for c in _versions(last, about)]
    found += [change for change in newer if _major(change.old) != _major(change.new)]
    # Some keys may never change, the others only by name.
    for change in found:
        if change.part in _NEVER:
            raise InputError(
                f"{run}: holds another study ({change}); {_NEVER[change.part]}: name a new folder with --run, and "
                f"take its best along with start: [{{run: {run}, top: 5}}]."
            )
    refused = [change for change in found if not _named(change.key, allow)]
    if refused:
        keys = " ".join(f"--allow-change {change.key}" for change in refused)
        raise InputError(
            f"{run}: holds another study ({'; '.join(map(str, refused))}); undo the change, name a new folder with "
            f"--run, or continue with {keys}, which is recorded."
        )
    # What may differ without being allowed still shows.
    warnings = [str(change) for change in newer if change not in found]
    warnings += [
        f"{key} was {last[key]} and is {about[key]}: the same networks, other roundings"
        for key in ("execution", "device")
        if key in last and last[key] != about[key]
    ]
    unused = [key for key in allow if not any(_named(change.key, [key]) for change in found)]
    warnings += [f"--allow-change {key}: nothing of that name has changed" for key in unused]
    return Contract(old, tuple(found), tuple(warnings))


def _versions(last: Mapping[str, Any], about: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    known = last.get("versions", {})
    return [c for c in changes(known, about["versions"]) if c[0] in _WATCHED and c[0] in known]


def _major(version: str) -> str:
    return str(version).partition(".")[0]


def _named(key: str, allow: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in allow)


def record(run: Path, contract: Contract, trials: int, optuna_study: str) -> None:
    """Record each allowed change with the number of trials before it, and set aside what it makes obsolete.

    A base network whose training is another one now is set aside as `base.1`, ...; nothing is deleted.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    for change in contract.allowed:
        line = {"time": now, "key": change.key, "old": change.old, "new": change.new, "trials": trials}
        append_line(run / CHANGES, json.dumps(line | {"optuna_study": optuna_study}))
    if (
        any(change.part in (*OTHER_VALUES, "network", "threads") for change in contract.allowed)
        and (run / "base").exists()
    ):
        number = next(n for n in range(1, trials + 1_000_000) if not (run / f"base.{n}").exists())
        os.replace(run / "base", run / f"base.{number}")
    # Checkpoints of unfinished trainings belong to the study before the change.
    if contract.warnings or any(change.part not in _SEARCH_ALONE for change in contract.allowed):
        for folder in (run / "base", *(run / "trials").glob("[0-9]*")):
            if (folder / "checkpoint.pt").exists() and not (folder / "result.json").exists():
                set_aside(folder / "checkpoint.pt", "the study was changed; this training begins again")


def keep(run: Path, new: Mapping[str, Any]) -> None:
    """Write the fingerprint with which the next start is compared."""
    write_sealed(run / FINGERPRINT, new)


def mend_study(run: Path, known: Callable[[], Mapping[str, Any] | None]) -> list[str]:
    """Set aside the damaged files of a run that can be written again; return a sentence for each.

    Parameters
    ----------
    known : returns the fingerprint that the storage holds.
    """
    notes = []
    for name, read in _OWN.items():
        try:
            read(run / name)
        except Damaged as error:
            notes.append(f"{run / name}: damaged, set aside as {set_aside(run / name, str(error)).name}")
            if name == FINGERPRINT and (kept := known()):
                keep(run, kept)
    return notes


def _if_there(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: read(path) if path.exists() else None


def _ranges(path: Path) -> None:
    if not all(isinstance(text, str) for text in read_json(path).values()):
        raise Damaged(f"{path}: damaged: holds no ranges of parameters")


# Files that can be written again, with how they are read. `changes.jsonl` cannot: a person has to repair it.
_OWN: dict[str, Callable[[Path], object]] = {
    FINGERPRINT: _if_there(lambda path: read_json(path, "network", "space")),
    "study.yaml": _if_there(lambda path: read_study(path.parent)),
    "base.yaml": _if_there(lambda path: read_yaml(path, "rows")),
    "environment.json": _if_there(lambda path: read_json(path, "versions")),
    "distributions.json": _if_there(_ranges),
    "attempts.jsonl": read_lines,
}
