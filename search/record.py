"""The run directory: the one contract between those who train and those who report.

    runs/<study>/
      study.yaml          as resolved: every default written out
      environment.json    versions, device, threads, git commit
      study.db            Optuna's storage (the default; any storage URL serves)
      attempts.jsonl      one line for each start of the driver
      changes.jsonl       what was changed between two starts and allowed by name; base.1/ ... a base before that
      trials/00017/       spec.yaml  recipe.yaml  metrics.jsonl  result.json  checkpoint.pt | weights.safetensors
      confirm/            plan.json, and a folder a network with a folder a seed in it, of the same shape
      report/

    runs/<ablation>/      ablation.yaml, and what is in confirm/: plan.json, <change>/<seed>/

Everything is readable by a person and while the run goes on. Writes are atomic: a crash leaves the
old file or the new one. Importing this module does not import torch.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arch.errors import InputError
from search.files import Damaged as Damaged
from search.files import WriteError as WriteError
from search.files import append_line as append_line
from search.files import checksum as checksum
from search.files import clear_leftovers as clear_leftovers
from search.files import read_json as read_json
from search.files import read_lines as read_lines
from search.files import read_yaml as read_yaml
from search.files import replace_file as replace_file
from search.files import sealed_files as sealed_files
from search.files import sealed_yaml as sealed_yaml
from search.files import set_aside as set_aside
from search.files import write_json as write_json
from search.files import write_lines as write_lines
from search.files import write_sealed as write_sealed
from search.files import write_text as write_text
from search.files import write_yaml as write_yaml

# what `objective` in study.yaml means is part of the contract
from search.objectives import Losses as Losses
from search.objectives import Objectives as Objectives
from search.objectives import best_first as best_first
from search.objectives import front as front

BASE = "base"  # the folder of a study's base network, and what its training is called
# what makes a training's record: a result, and the files that its seal speaks for
RESULT = "result.json"
_KINDS = {"study.yaml": "a study", "ablation.yaml": "an ablation", "spec.yaml": "a training"}  # by their own file
_SEALED = ("spec.yaml", "recipe.yaml", "metrics.jsonl", "weights.safetensors")


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write how a training ended, sealed together with the other files of its folder; the last file to be written."""
    write_sealed(folder / RESULT, result, _SEALED)


def mend(folder: Path) -> list[str]:
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
    told = [f"{folder / name}: damaged, set aside as {set_aside(folder / name, broken[name]).name}" for name in broken]
    if broken and (folder / RESULT).exists():
        set_aside(folder / RESULT, f"{', '.join(broken)} beside it: damaged")
    return told


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


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, old, new) for each value in which two nested mappings differ."""
    for key in sorted(set(old) | set(new), key=str):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from changes(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key}", a, b


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each value in which two nested mappings differ."""
    for key, a, b in changes(old, new):
        yield f"{key} was {a!r} and is {b!r}"


def read_study(run: Path) -> dict[str, Any]:
    """Return the study of a run directory as it was begun; InputError where it is not whole."""
    return read_yaml(run / "study.yaml", "name", "objective", "trials", "space")


def status(run: Path) -> dict[str, Any]:
    """Return how far a run is, from its folders alone.

    Raises
    ------
    InputError
        The folder is no run.
    """
    if (run / "study.yaml").exists():
        config = read_study(run)
        objectives, total = Objectives(config["objective"]), config["trials"]
        found = list(results(run))
        states = Counter(result["state"] for result in found)
        begun = sum(1 for _ in (run / "trials").glob("[0-9]*"))
        ended = {r["key"]: values for r in found if (values := objectives.values(r))}
        losses = [objectives.losses(values) for values in ended.values()]
        best = [list(ended.values())[i] for i in front(losses)]
        return {
            "run": config["name"],
            "finished": len(found) - states["infeasible"],
            "of": total,
            "complete": states["complete"],
            "pruned": states["pruned"],
            "failed": states["failed"],
            "over the limit": states["infeasible"],
            "begun": begun - len(found),
            **({"on the front": len(best)} if len(objectives) > 1 else {}),
            f"best {objectives.judged}": best[0][0] if best else None,
            "changed": len(read_lines(run / "changes.jsonl")),
            **_confirmed(run / "confirm"),
        }
    if (run / "ablation.yaml").exists():
        plan, states = read_json(run / "plan.json"), _states(run)
        return {
            "run": read_yaml(run / "ablation.yaml")["name"],
            "finished": states.total(),
            "of": len(plan["networks"]) * len(plan["seeds"]),
            "complete": states["complete"],
            "failed": states["failed"],
            "changes": len(plan["networks"]) - 1,
            "seeds": len(plan["seeds"]),
        }
    if (run / "spec.yaml").exists():
        done = read_lines(run / "metrics.jsonl")
        last = done[-1] if done else {}
        over = (run / "result.json").exists()
        state = read_json(run / "result.json")["state"] if over else "begun"
        return {
            "run": run.name,
            "state": state,
            "epoch": last.get("epoch", 0),
            "of": last.get("epochs"),
            "val_accuracy": last.get("val_accuracy"),
        }
    raise InputError(
        f"{run}: no run is here; it would hold study.yaml (a study), ablation.yaml or spec.yaml (a training)."
    )


def _states(comparison: Path) -> Counter[str]:
    """Return how many trainings of a comparison ended how."""
    return Counter(read_json(path)["state"] for path in comparison.glob("*/*/result.json"))


def _confirmed(folder: Path) -> dict[str, str]:
    """Return how far a confirmation is, where one was begun."""
    if not (folder / "plan.json").exists():
        return {}
    plan = read_json(folder / "plan.json")
    return {"confirmed": f"{_states(folder).total()} of {len(plan['networks']) * len(plan['seeds'])}"}


def environment(**more: Any) -> dict[str, Any]:
    """Return what the numbers of a run depend on: versions, processor, commit; `more` is added."""
    packages = ("inceptory", "torch", "torchvision", "optuna", "fvcore", "pandas", "numpy", "scipy", "scikit-learn")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "commit": _commit(),
        "versions": versions,
        **more,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{name}, AMX bf16" if "amx_bf16" in flags else name


def _commit() -> str | None:
    try:
        here = Path(__file__).parent
        ours = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(
            ours, capture_output=True, timeout=10, check=True
        )  # installed, it may lie in another's repository
        asked = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None
