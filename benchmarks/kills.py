"""SIGKILL at random moments of search, train, confirm, ablate and report: is anything lost that was recorded?

Each command runs on a network that trains in seconds, in one thread, again and again until it comes to its end, killed
by the clock on the way; then anew in another folder, until so many kills were injected. After each kill, every result and
every epoch that was recorded before must be there as it was. Whatever came to its end must equal a run that was never
killed: figures, metrics and weights bit for bit, without the times.

What is killed is the driver, with its training in it (`search`, `train`, `confirm`, `ablate`, `report`), a worker process under a
driver that lives on, or driver and worker with one blow (both of `search`). A driver is a fork of a process that has imported
everything, so that kills fall into its work and not into its imports; a worker is a process of its own.

    KILLS=200 make kills                    # or: python -m benchmarks.kills --kills 200 --minutes 45
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

import reports.page.report  # noqa: F401 - imported once, before the forks
import search.comparison.ablation
import search.comparison.confirm
import search.study.run  # noqa: F401
from inceptory.app import main as inceptory
from search.record.environment import environment
from search.record.files import checksum, read_json, read_lines, write_json

RECORDS = Path(__file__).parent.parent / "docs" / "results" / "reliability"
NETWORK = {
    "name": "tiny",
    "source": "the kills",
    "input": [3, 32, 32],
    "classes": 10,
    "style": {"norm": "batch", "init": "kaiming"},
    "rows": [
        {"name": "stem", "block": "conv", "out": 8, "kernel": 5, "stride": 4},
        {"name": "3a", "block": "inception_v1", "b1x1": 8, "b3x3": [4, 8], "b5x5": [4, 4], "pool": 4},
    ],
    "heads": {"final": {"head": "classifier", "dropout": 0.2}},
}
RECIPE = {"base": "default", "epochs": 4, "batch": 128, "precision": "fp32"}
_TIMES = ("seconds", "images_per_second", "time", "start")
_GRACE = 900.0  # seconds that a run may take at most to its end


@dataclass(frozen=True)
class Scene:
    """A command to be killed.

    Attributes
    ----------
    victim : `driver` (with the training in it), `worker`, or `group`: both with one blow.
    command : its arguments, for a folder.
    part : of the kills of all scenes.
    """

    name: str
    victim: str
    command: Callable[[Path], list[str]]
    part: float


@dataclass
class Tally:
    """What came of a scene's kills; `lost` says in words what was missing or other than before."""

    injected: int = 0
    ended: int = 0
    too_late: int = 0  # runs that had ended when the blow came; not counted as kills
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> None:
    """Kill at the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", "200")))
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "45")))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="scenes, as train:driver,search:worker")
    parser.add_argument("--to", type=Path, default=RECORDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = environment(threads=1, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        until = time.monotonic() + 60 * options.minutes
        chosen = prepare(Path(folder), options.only)
        for scene, tally in kill(chosen, Path(folder), options.kills, until, random.Random(options.seed)):
            told = f"SIGKILL of the {scene.victim} during {scene.name}"
            print(f"{told}: {tally}", flush=True)
            record = {
                "fault": told,
                "injected": tally.injected,
                "lost": len(tally.lost),
                "seconds": round(tally.seconds, 1),
                "completed runs, equal to one never killed": tally.ended,
                "what was lost": tally.lost,
                "asked for": share(scene, chosen, options.kills),
                "environment": about,
            }
            write_json(options.to / f"kills_{scene.name}_{scene.victim}.json", record)
            if tally.lost:
                sys.exit(1)


def kill(
    chosen: list[Scene], folder: Path, kills: int, until: float, moments: random.Random
) -> Iterator[tuple[Scene, Tally]]:
    """Yield what came of so many kills, shared out among the scenes; none begins after `until` (monotonic s).

    A scene that gets none of a few kills is left out, so that its record stays.
    """
    for number, scene in enumerate(chosen):
        now, amount = time.monotonic(), share(scene, chosen, kills)
        if amount:
            yield scene, torment(scene, folder, amount, now + (until - now) / (len(chosen) - number), moments)


def share(scene: Scene, chosen: list[Scene], kills: int) -> int:
    """Return how many of the kills are a scene's."""
    return round(kills * scene.part / sum(other.part for other in chosen))


def prepare(folder: Path, only: str = "") -> list[Scene]:
    """Write what the commands need (a network, a study and an ablation of it, a finished study); return the scenes."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(NETWORK))
    common: dict[str, Any] = {"name": "killed", "network": "tiny.yaml", "data": {"name": "digits"}, "recipe": RECIPE}
    engine = {"name": "inprocess", "workers": 1, "threads": 1, "device": "cpu"}
    study = common | {"space": {"splits": {"round": 4, "minimum": 4}}, "sampler": {"name": "tpe"}, "trials": 5}
    (folder / "study.yaml").write_text(yaml.safe_dump(study | {"engine": engine}))
    local = engine | {"name": "local"}
    longer = RECIPE | {"epochs": 12}  # a worker is slow to start
    (folder / "local.yaml").write_text(yaml.safe_dump(study | {"engine": local, "recipe": longer, "trials": 3}))
    pausing = {"name": "rungs", "first": 1, "factor": 4.0, "better": 1, "keep": 0.5}
    race = {"pruner": pausing, "race": {"pilot": 0.4, "replicates": 0.4}, "budget": {"epochs": 80}, "trials": 0}
    (folder / "race.yaml").write_text(yaml.safe_dump(study | race | {"engine": engine}))
    changes = {"slow": {"recipe": {"lr": 0.01}}, "plain": {"recipe": {"label_smoothing": 0.2}}}
    ablation = common | {"network": str(folder / "tiny.yaml"), "seeds": 2, "changes": changes, "engine": engine}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(ablation))
    finish(["search", str(folder / "study.yaml"), "--run", str(folder / "done")], folder / "log")
    return [scene for scene in scenes(folder) if not only or f"{scene.name}:{scene.victim}" in only.split(",")]


def scenes(folder: Path) -> list[Scene]:
    """Return every command that is killed, and who of it."""

    def search_in(name: str) -> Callable[[Path], list[str]]:
        return lambda run: ["search", str(folder / name), "--run", str(run)]

    def train_in(run: Path) -> list[str]:
        values = [f"--set=recipe.{key}={value}" for key, value in RECIPE.items() if key != "base"]
        values[0] = "--set=recipe.epochs=12"
        return ["train", str(folder / "tiny.yaml"), "--data", "digits", "--run", str(run), "--threads", "1", *values]

    def confirm_in(run: Path) -> list[str]:
        copy(folder / "done", run)
        return ["confirm", str(run), "--top", "1", "--seeds", "2"]

    def report_in(run: Path) -> list[str]:
        return ["report", str(folder / "done"), "--to", str(run)]

    return [
        Scene("train", "driver", train_in, 0.14),
        Scene("confirm", "driver", confirm_in, 0.14),
        Scene("ablate", "driver", lambda run: ["ablate", str(folder / "ablation.yaml"), "--run", str(run)], 0.14),
        Scene("report", "driver", report_in, 0.05),
        Scene("search", "worker", search_in("local.yaml"), 0.04),
        Scene("search", "group", search_in("local.yaml"), 0.04),
        Scene("search", "driver", search_in("study.yaml"), 0.31),
        Scene("race", "driver", search_in("race.yaml"), 0.14),
    ]


def copy(run: Path, to: Path) -> None:
    """Copy a finished run once, to be gone on with."""
    import shutil

    if not to.exists():
        shutil.copytree(run, to)


def torment(scene: Scene, folder: Path, kills: int, until: float, moments: random.Random) -> Tally:
    """Kill a scene so many times, run after run, and hold all that is recorded against what was, and should be."""
    tally, began = Tally(), time.monotonic()
    log = folder / "log"
    whole = folder / f"{scene.name}-{scene.victim}-whole"
    started = time.monotonic()
    finish(scene.command(whole), log)
    takes, expected = time.monotonic() - started, recorded(whole)
    number = 0
    while tally.injected < kills and time.monotonic() < until:
        number += 1
        run = folder / f"{scene.name}-{scene.victim}-{number}"
        command, seen, ended = scene.command(run), recorded(run), False
        while not ended:
            enough = tally.injected >= kills or time.monotonic() >= until
            ended = enough or not strike(scene, command, log, moments.uniform(0.05, 0.7 * takes), tally)
            if enough:
                finish(command, log)
            now = recorded(run)
            tally.lost += [f"{run.name}, kill {tally.injected}: {what}" for what in missing(seen, now)]
            seen = now
        tally.ended += 1
        tally.lost += [f"{run.name}, at its end: {what}" for what in missing(expected, seen)]
        tally.lost += [f"{run.name}, at its end: {key} should not be there" for key in set(seen) - set(expected)]
    tally.seconds = time.monotonic() - began
    return tally


def strike(scene: Scene, command: list[str], log: Path, after: float, tally: Tally) -> bool:
    """Start a command and kill it after so many seconds; return whether it is yet to come to its end.

    Where a worker is the victim, its driver lives on, and comes to its end.
    """
    pid = fork(command, log)
    until = time.monotonic() + after
    if scene.victim != "driver":  # the clock starts when the worker trains
        while not (workers := children(pid)) or cpu_seconds(workers[0]) < 1.0:
            if gone(pid):
                return False
            time.sleep(0.02)
        until = time.monotonic() + after / 4
    while time.monotonic() < until:
        if gone(pid):
            tally.too_late += 1
            return False
        time.sleep(0.01)
    if scene.victim == "worker":
        for worker in children(pid):
            os.kill(worker, signal.SIGKILL)
            tally.injected += 1
        wait(pid, command, log)
        return False
    for victim in [pid, *(children(pid) if scene.victim == "group" else [])]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status)
    tally.injected += killed
    tally.too_late += not killed
    return killed


def fork(command: list[str], log: Path) -> int:
    """Run a command of Inceptory's in a fork of this process, in a session of its own; return its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        with open(log, "w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        sys.argv = ["inceptory", *command]
        inceptory()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def finish(command: list[str], log: Path) -> None:
    """Run a command to its end; RuntimeError with what it said where it fails."""
    wait(fork(command, log), command, log)


def wait(pid: int, command: list[str], log: Path) -> None:
    """Wait for a command's end; RuntimeError with what it said where it failed."""
    deadline = time.monotonic() + _GRACE
    while (status := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    if status[1]:
        raise RuntimeError(f"{' '.join(command)}: failed ({status[1]}): {log.read_text()[-2000:]}")


def gone(pid: int) -> bool:
    """Say whether a child has ended, without burying it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def children(pid: int) -> list[int]:
    """Return the processes that one has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """Return how long a process has computed: importing takes a worker more than a second."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def recorded(run: Path) -> dict[str, Any]:
    """Return all that is recorded in a folder, without times: each result, epoch, weights, page and table."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name == "result.json":
            found[name] = _timeless(read_json(path))
        elif path.name == "metrics.jsonl":
            for row in read_lines(path):
                found[f"{name}, epoch {row['epoch']}"] = _timeless(row)
        elif path.name == "weights.safetensors":
            found[name] = _weights(path)
        elif path.suffix in (".csv", ".md", ".tex", ".svg", ".png", ".html"):
            found[name] = checksum(path)
    found |= _told(run / "study.db")
    return found


def _weights(path: Path) -> str:
    """Return a digest of a safetensors file, which holds its metadata in no fixed order."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    return hashlib.sha256(json.dumps(json.loads(raw[8:end]), sort_keys=True).encode() + raw[end:]).hexdigest()


def _told(path: Path) -> dict[str, Any]:
    """Return what a study's storage holds of the trials that have ended."""
    if not path.exists() or not path.stat().st_size:
        return {}
    import sqlite3

    query = (
        "SELECT number, state, (SELECT group_concat(value) FROM trial_values v WHERE v.trial_id = t.trial_id) "
        "FROM trials t WHERE state NOT IN ('RUNNING', 'WAITING')"
    )
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            return {f"storage, trial {number}": [state, value] for number, state, value in database.execute(query)}
        except sqlite3.OperationalError:  # killed while the tables were being made
            return {}


def _timeless(value: Any) -> Any:
    return json.loads(json.dumps({key: v for key, v in value.items() if key not in _TIMES}))


def missing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what was recorded before and is not there now, or is another; weights of what is not the best may go."""
    gone = [key for key in before if key not in now and not key.endswith("weights.safetensors")]
    other = [key for key in before if key in now and now[key] != before[key]]
    return [f"{key} is gone" for key in gone] + [f"{key} is not what it was" for key in other]


if __name__ == "__main__":
    main()
