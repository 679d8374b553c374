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
import json
import os
import platform
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from arch.errors import InputError
from arch.strict import load_yaml
from search.contract import checked

# what `objective` in study.yaml means is part of the contract
from search.objectives import Losses as Losses
from search.objectives import Objectives as Objectives
from search.objectives import best_first as best_first
from search.objectives import front as front

BASE = "base"  # the folder of a study's base network, and what its training is called
_PART = ".inceptory-part"  # the ending of files that are still being written


def clear_leftovers(folder: Path) -> None:
    """Remove what writes left behind that a kill cut short; nothing else, whatever the folder is."""
    for leftover in folder.glob(f".*{_PART}"):
        leftover.unlink()


def replace_file(path: Path, write: Callable[[str], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in its place at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    replace_file(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented; NaN and infinities become null."""
    write_text(path, json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n")


def write_yaml(path: Path, value: Any) -> None:
    """Write a YAML file atomically, keys in the order given."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a JSON-lines file atomically."""
    write_text(path, "".join(json.dumps(_finite(row)) + "\n" for row in rows))


def append_line(path: Path, line: str) -> None:
    """Append one line, and have it on the disk before returning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> Any:
    """Return what a JSON file of a run holds.

    Raises
    ------
    InputError
        The file is missing or damaged; names it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); is this the folder of a run?") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}); set it aside and run the command again.") from None
    return checked(path, value)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file of a run holds; InputError where it is missing or damaged."""
    return checked(path, load_yaml(path))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file; a half-written last line is left out, one inside is an error."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line and number == len(lines):
            break
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise InputError(f"{path}, line {number}: damaged; set the file aside.") from None
        rows.append(checked(path, row, number))
    return rows


def set_aside(path: Path, reason: str) -> Path:
    """Rename a damaged file, never delete it, and return its new name."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    os.replace(path, aside)
    append_line(path.parent / "damaged.txt", f"{aside.name}: {reason}")
    return aside


def trial_folder(run: Path, number: int) -> Path:
    """Return the folder of a trial, `trials/00017`."""
    return run / "trials" / f"{number:05d}"


def results(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the result of every trial that has one, by number."""
    for path in sorted((run / "trials").glob("[0-9]*/result.json")):
        yield read_json(path)


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


def status(run: Path) -> dict[str, Any]:
    """Return how far a run is, from its folders alone.

    Raises
    ------
    InputError
        The folder is no run.
    """
    if (run / "study.yaml").exists():
        config = read_yaml(run / "study.yaml")
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


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
