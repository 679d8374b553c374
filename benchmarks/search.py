"""What the driver costs: seconds a trial beyond Optuna's own, with trainings that take no time.

The real driver runs a study of the splits and auxiliary weights of googlenet_cifar_small with an engine that answers
at once with a made-up accuracy. Beside it, turn by turn, plain Optuna asks for the same parameters under the same limit
and tells values, with the same kind of storage and the same earlier trials; `--count` trials after `--before` are timed. A
disk adds its own time to each commit, the same to both but for two more commits a trial here; `TMPDIR=/dev/shm` leaves
it out, and the record says so.

    python -m benchmarks.search --to docs/results/performance/search.json
    python -m benchmarks.search --of turn1.json turn2.json turn3.json --to docs/results/performance/search.json
                                                   # the medians of several turns, on a machine that others use
    python -m benchmarks.search --status 10000     # how long `status` takes on a study of so many trials
    taskset -c 0,1 python -m benchmarks.search --pool 8 --to docs/results/performance/pool.json
                                                   # trials an hour, side by side and one at a time, on CIFAR-10
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

import arch
import search.engines.supervisor
from search.engines.base import Event
from search.engines.task import Task
from search.recipes.load import load_recipe
from search.record.environment import environment
from search.record.files import read_json, write_json, write_text
from search.record.layout import trial_folder
from search.record.status import status
from search.sampling.samplers import make_sampler
from search.storage.urls import open_storage
from search.study.config import load_study
from search.study.proposer import parameters
from search.study.run import run_study
from search.training.hardware import cores

STUDY: dict[str, Any] = {
    "name": "overhead",
    "network": "googlenet_cifar_small",
    "data": "digits",
    "recipe": {"base": "default", "epochs": 1},
    "space": {"splits": {"reduce": [0.25, 1.0]}, "aux_weight": {"low": 0.0, "high": 0.6}},
    "max_macs": 1_000_000_000,
    "keep_weights": 0,
    "engine": {"workers": 1, "threads": 1},
}
"""`max_macs` is above all candidates: what is refused would cost Optuna's own time for another proposal."""

LIMIT = ("macs", -0.9)  # what every trial is held to, on both sides: Optuna's samplers look at it


class AtOnce:
    """An engine whose trainings are done as soon as they are begun; their accuracy follows from the spec's id."""

    slots, attempts = 1, 1

    def __init__(self) -> None:
        self.done: list[str] = []

    def start(self, key: str, task: Task) -> None:
        """Write the result that a training would have written."""
        spec = arch.from_mapping(task.spec)
        value = int(spec.id, 16) % 10_000 / 10_000
        costs = arch.cost(spec)
        result = {"state": "complete", **task.about, "val_accuracy": value, "val_loss": 1 - value, "epochs": 1}
        figures = {"spec_id": spec.id, "macs": costs.macs, "params": costs.params}
        folder = Path(task.folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(
            json.dumps(result | figures)
        )  # the training's write, so not with the driver's care
        self.done.append(key)

    def events(self, timeout: float) -> list[Event]:
        """Return what has been started since the last call as done."""
        events, self.done = [Event(key, "done") for key in self.done], []
        return events

    def answer(self, key: str, proceed: bool) -> None:
        """Nothing trains."""

    def stop(self) -> None:
        """Nothing trains."""

    def close(self) -> None:
        """Nothing remains."""


def turns(
    run: Path, config: dict[str, Any], before: int, count: int, alone: Iterator[float]
) -> tuple[list[float], list[float]]:
    """Return the seconds of each of `count` trials after `before` by the real driver, and of `alone` between them.

    Turn by turn, so that what else the machine does falls on both alike.
    """
    ours: list[float] = []
    theirs: list[float] = []

    class Noting(AtOnce):
        begun = 0.0

        def start(self, key: str, task: Task) -> None:
            ours.append(time.perf_counter() - self.begun)
            if len(ours) > before:
                theirs.append(next(alone))
            self.begun = time.perf_counter()
            super().start(key, task)

    with mock.patch.object(search.engines.supervisor, "make_engine", side_effect=lambda *_, **__: Noting()):
        run_study(config | {"trials": before + count}, run)
    return ours[-count:], theirs[-count:]


def plain(config: dict[str, Any], asked: dict[str, BaseDistribution], url: str) -> Iterator[float]:
    """Yield the seconds of a trial of Optuna alone, after the trials that the driver's study has when this begins.

    The same trials, for how long TPE takes depends on them.
    """
    earlier = optuna.load_study(study_name=config["name"], storage=open_storage(config["storage"]))
    study = optuna.create_study(
        storage=open_storage(url),
        study_name=f"{config['name']}-alone",
        directions=earlier.directions,
        sampler=make_sampler(config["sampler"], 0, 0),
    )
    study.add_trials(earlier.get_trials(states=[TrialState.COMPLETE]))
    generator = np.random.default_rng(0)
    while True:
        start = time.perf_counter()
        trial = study.ask(asked)
        trial.set_constraint(*LIMIT)
        study.tell(trial, float(generator.random()))
        yield time.perf_counter() - start


def storages(folder: Path, postgres: str) -> dict[str, Callable[[str], str]]:
    """Return for each kind of storage a function from a name to a URL."""
    known: dict[str, Callable[[str], str]] = {
        "sqlite": lambda name: f"sqlite:///{folder / name}.db",
        "journal": lambda name: f"journal://{folder / name}.log",
    }
    if postgres:
        known["postgresql"] = lambda _: postgres
    return known


def compare(sampler: str, url: Callable[[str], str], before: int, count: int, folder: Path) -> dict[str, Any]:
    """Return medians in ms for the driver and for Optuna alone."""
    name = f"{sampler}-{before}"
    config = STUDY | {"sampler": {"name": sampler}, "storage": url(name), "name": name}
    asked, _ = parameters(load_study(config).space, arch.load(config["network"]), load_recipe(config["recipe"]))
    alone = plain(config, asked, url(f"{name}-alone"))
    ours, theirs = turns(folder / name, config, before, count, alone)
    ms = {"driver": 1e3 * statistics.median(ours), "optuna": 1e3 * statistics.median(theirs)}
    return (
        {"sampler": sampler, "trials before": before, "parameters": len(asked)}
        | ms
        | {"beyond": ms["driver"] - ms["optuna"]}
    )


def medians(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of several turns of the same comparison: each line's medians, with the last turn's environment."""
    every = pd.DataFrame([row for record in records for row in record["rows"]])
    rows = every.groupby(["storage", "sampler", "trials before", "parameters"], sort=False, as_index=False).median()
    return records[-1] | {"rows": rows.to_dict("records"), "turns": len(records)}


def time_status(trials: int, folder: Path) -> float:
    """Return the seconds that `status` takes on a study folder of so many finished trials."""
    write_text(folder / "study.yaml", f"name: many\nobjective: val_accuracy\ntrials: {trials}\n")
    for number in range(trials):
        result = {"state": "complete", "trial": number, "key": str(number), "val_accuracy": number / trials, "macs": 1}
        path = trial_folder(folder, number) / "result.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(result))
    start = time.perf_counter()
    assert status(folder)["finished"] == trials
    return time.perf_counter() - start


def filesystem(folder: Path) -> str:
    """Return the kind of file system that a folder lies on, such as `ext4` or `tmpfs`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((m for m in mounts if folder.resolve().is_relative_to(m[0])), key=lambda mount: len(mount[0]))[1]


def trials_an_hour(trials: int, steps: int, folder: Path) -> list[dict[str, Any]]:
    """Return what a study gets through in an hour: one training at a time on all cores, and one a core.

    The clock runs from the driver's start to its end, the start of worker processes and the base network's training
    in it, as a user waits for them.
    """
    recipe, found = {"base": "muon", "epochs": 1, "max_steps": steps}, []
    everywhere = {
        "one at a time": {"workers": 1, "threads": len(cores())},
        "one a core": {"workers": len(cores()), "threads": 1},
    }
    for way, engine in everywhere.items():
        config = STUDY | {
            "data": "cifar10",
            "recipe": recipe,
            "sampler": {"name": "random"},
            "engine": engine,
            "max_macs": 0,
        }
        start = time.perf_counter()
        run_study(config | {"trials": trials}, folder / way)
        seconds = time.perf_counter() - start
        found.append(
            {
                "way": way,
                **engine,
                "trials": trials + 1,
                "seconds": seconds,
                "trials an hour": 3600 * (trials + 1) / seconds,
            }
        )
    return found


def main() -> None:
    """Compare, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="random,tpe")
    parser.add_argument("--before", default="0,1000")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--postgres", default="", help="URL of an empty database, to be timed too")
    parser.add_argument("--status", type=int, default=0)
    parser.add_argument("--pool", type=int, default=0, help="so many trials, side by side and one at a time")
    parser.add_argument("--steps", type=int, default=150, help="of each of these trials")
    parser.add_argument("--of", nargs="+", type=Path, default=[], help="records to take the medians of")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    if options.of and not options.to:
        parser.error("--of needs --to")
    if options.of:
        write_json(options.to, medians([read_json(path) for path in options.of]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.status:
            print(f"status of {options.status} trials: {time_status(options.status, folder / 'many'):.2f} s")
            return
        if options.pool:
            found = trials_an_hour(options.pool, options.steps, folder)
            ratio = found[1]["trials an hour"] / found[0]["trials an hour"]
            print(pd.DataFrame(found).to_string(index=False), f"\nratio {ratio:.2f}")
            if options.to:
                write_json(
                    options.to, {"rows": found, "ratio": ratio, "steps": options.steps, "environment": environment()}
                )
            return
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        rows = []
        for kind, url in storages(folder, options.postgres).items():
            for sampler in options.samplers.split(","):
                for before in map(int, options.before.split(",")):
                    rows.append({"storage": kind} | compare(sampler, url, before, options.count, folder / kind))
                    print(rows[-1], flush=True)
    if options.to:
        about = environment(threads=1) | {"filesystem": filesystem(Path(tempfile.gettempdir()))}
        write_json(options.to, {"rows": rows, "count": options.count, "turns": 1, "environment": about})


if __name__ == "__main__":
    main()
