"""A long study of short trials under kills: does memory stay flat, and the storage whole?

So many one-epoch trials of googlenet_cifar_small (2 to 3 s each) on the embedded digits, with two workers, and every 20 to 40 seconds a SIGKILL of
the driver or of a worker. Meanwhile the memory and the open files of the driver and its workers are watched. At the end the
storage is held against the records, and the study's table against one that is computed from the records alone.

    make soak                               # or: python -m benchmarks.soak --trials 500 --minutes 45
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

import reports
from benchmarks.kills import RECIPE, RECORDS, children, fork, gone
from search.engines.memory import resident
from search.record.environment import environment
from search.record.files import read_lines, write_json
from search.record.layout import results
from search.record.objectives import Objectives
from search.storage.recover import why_damaged

_EVERY = 1.0  # seconds between two looks
_WARM = 30.0  # seconds that a process has to reach its size
_MOST_GROWTH, _MOST_FILES = 1.15, 8  # a process's last looks over its first ones, and open files more than then


@dataclass
class Watched:
    """What one process held at each look: MiB and open files, and when it was first seen."""

    began: float
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def growth(self) -> tuple[float, int] | None:
        """Return by what factor its memory and by how many its files grew; None where it did not live long enough."""
        third = len(self.memory) // 3
        if third < 5:
            return None
        grown = statistics.median(self.memory[-third:]) / statistics.median(self.memory[:third])
        return grown, round(statistics.median(self.files[-third:]) - statistics.median(self.files[:third]))


def main() -> None:
    """Soak at the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=int(os.environ.get("TRIALS", "500")))
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "45")))
    parser.add_argument("--kill-every", type=float, nargs=2, default=(20.0, 40.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--to", type=Path, default=RECORDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        record = soak(Path(folder), options.trials, 60 * options.minutes, options.kill_every, random.Random(0))
    write_json(options.to / "soak.json", record | {"environment": environment(threads=1, workers=2, device="cpu")})
    print({key: value for key, value in record.items() if key != "processes"})
    sys.exit(bool(record["lost"]))


def soak(folder: Path, trials: int, limit: float, every: tuple[float, float], moments: random.Random) -> dict[str, Any]:
    """Run a study under kills to its end, and return what was seen; `lost` counts what is wrong, `what` says it.

    After `limit` seconds nothing is killed any more, and the study's total is what it has come to.
    """
    study = {
        "name": "soak",
        "network": "googlenet_cifar_small",
        "data": {"name": "digits"},
        "recipe": RECIPE | {"epochs": 1},
        "space": {"splits": {"round": 4, "minimum": 4}, "recipe": {"lr": {"low": 0.01, "high": 0.2}}},
        "sampler": {"name": "random"},
        "trials": trials,
        "engine": {"name": "local", "workers": 2, "threads": 1, "device": "cpu"},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    run, log, began = folder / "run", folder / "log", time.monotonic()
    command = ["search", str(folder / "study.yaml"), "--run", str(run)]
    killed: Counter[str] = Counter()
    lives: dict[int, Watched] = {}
    wrong: list[str] = []
    seen: dict[int, Any] = {}
    pid, due = fork(command, log), time.monotonic() + moments.uniform(*every)
    while True:
        look(pid, lives)
        if gone(pid):
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code:
                raise RuntimeError(f"{' '.join(command)}: failed ({code}): {log.read_text()[-2000:]}")
            break
        if time.monotonic() - began > limit and "--trials" not in command:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            command += ["--trials", str(max(1, len(list(results(run)))))]
            pid = fork(command, log)
        elif time.monotonic() > due and "--trials" not in command:
            victim = moments.choice(["driver", "worker"])
            for process in [pid] if victim == "driver" else children(pid)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed[victim] += 1
            if victim == "driver":
                os.waitpid(pid, 0)
                now = {result["trial"]: result for result in results(run)}
                wrong += [f"trial {number} is gone or changed" for number in seen if now.get(number) != seen[number]]
                seen, pid = now, fork(command, log)
            due = time.monotonic() + moments.uniform(*every)
        time.sleep(_EVERY)
    wrong += inconsistent(run)
    grown = [growth for life in lives.values() if (growth := life.growth())]
    wrong += [f"a process grew by {factor:.2f}" for factor, _ in grown if factor > _MOST_GROWTH]
    wrong += [f"a process opened {more} files more" for _, more in grown if more > _MOST_FILES]
    states = Counter(result["state"] for result in results(run))
    return {
        "fault": "SIGKILL of driver or worker every few seconds of a long study",
        "injected": sum(killed.values()),
        "lost": len(wrong),
        "what was lost": wrong,
        "seconds": round(time.monotonic() - began, 1),
        "asked for": trials,
        "trials": states.total(),
        "states": dict(states),
        "killed": dict(killed),
        "starts": sum("pid" in line for line in read_lines(run / "attempts.jsonl")),
        "seconds between kills": list(every),
        "processes watched long enough": len(grown),
        "largest growth of memory": round(max((factor for factor, _ in grown), default=0.0), 3),
        "most files opened more": max((more for _, more in grown), default=0),
        "largest memory, MiB": round(max(max(life.memory, default=0.0) for life in lives.values()), 1),
    }


def look(pid: int, lives: dict[int, Watched]) -> None:
    """Note what the driver and its workers hold, once they are warm."""
    now = time.monotonic()
    for process in (pid, *children(pid)):
        life = lives.setdefault(process, Watched(now))
        if now - life.began < _WARM:
            continue
        with suppress(OSError):
            life.files.append(len(os.listdir(f"/proc/{process}/fd")))
            life.memory.append(resident(process) / 2**20)


def inconsistent(run: Path) -> list[str]:
    """Return in what the storage, the records and the table that is made of them differ."""
    import optuna

    broken = why_damaged("sqlite", run / "study.db", 1)
    found = {result["trial"]: result for result in results(run)}
    told = optuna.load_study(study_name="soak", storage=f"sqlite:///{run / 'study.db'}").trials
    wrong = [broken] if broken else []
    if [trial.number for trial in told] != sorted(found):
        wrong.append(f"the storage holds {len(told)} trials, the records {len(found)}")
    objectives = Objectives("val_accuracy")
    for trial in told:
        if trial.number in found and trial.values != objectives.values(found[trial.number]):
            wrong.append(
                f"trial {trial.number}: {trial.values} in the storage, {found[trial.number].get('val_accuracy')}"
            )
    with closing(sqlite3.connect(run / "study.db")) as database:
        if database.execute("SELECT COUNT(*) FROM trials WHERE state IN ('RUNNING', 'WAITING')").fetchone()[0]:
            wrong.append("the storage holds trials that have not ended")
    complete = [r for r in found.values() if r["state"] == "complete" and "duplicate_of" not in r]
    expected = [
        (str(r["trial"]), r["val_accuracy"]) for r in sorted(complete, key=lambda r: (-r["val_accuracy"], r["trial"]))
    ]
    table = reports.load(run).ranked[["trial", "val_accuracy"]].itertuples(index=False, name=None)
    if list(table) != expected:
        wrong.append("the table is not what the records give")
    return wrong


if __name__ == "__main__":
    main()
