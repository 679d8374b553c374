"""Engines on this machine: workers that are killed, run out of memory, hang, or would not fit."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import arch
import search
from search.engines import memory
from search.engines.base import EngineConfig, Event
from search.engines.local_pool import LocalPool, kill
from search.engines.task import Task
from search.record.files import read_json
from search.study.run import run_study
from search.training.hardware import cores
from tests.support import study


def task(folder: Path, micro: arch.Spec, **recipe: object) -> Task:
    values = {"epochs": 2, "batch": 64, "precision": "fp32"} | recipe
    return Task(
        str(folder), arch.to_mapping(micro), search.load_recipe("default", values).model_dump(), {"name": "digits"}
    )


@pytest.fixture
def pools() -> Iterator[list[LocalPool]]:
    """Pools that are closed whatever happens."""
    made: list[LocalPool] = []
    yield made
    for pool in made:
        pool.close()


def until(pool: LocalPool, wanted: Callable[[Event], bool]) -> Event:
    """Let trainings go on until something happens."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for event in pool.events(0.2):
            if event.kind == "epoch":
                pool.answer(event.key, True)
            if wanted(event):
                return event
    raise AssertionError("it did not happen")


@pytest.mark.fault("a worker is killed")
def test_a_worker_that_is_killed_is_lost_and_its_training_goes_on(
    tmp_path: Path, micro: arch.Spec, pools: list[LocalPool]
) -> None:
    pools.append(pool := LocalPool(1))
    asked = task(tmp_path, micro, epochs=5)
    pool.start("a", asked)
    until(pool, lambda event: event.kind == "epoch" and event.payload["epoch"] == 2)
    os.kill(pool._workers[0].process.pid, signal.SIGKILL)
    assert until(pool, lambda event: event.kind == "died") == Event(
        "a", "died", "its process ended with signal SIGKILL"
    )
    assert not (tmp_path / "result.json").exists()
    pool.start("a", asked)
    until(pool, lambda event: event.kind == "done")
    assert read_json(tmp_path / "result.json")["state"] == "complete"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 5


@pytest.mark.fault("a training runs out of memory (RLIMIT_AS)")
@pytest.mark.slow
def test_a_training_without_memory_fails_with_its_reason(
    tmp_path: Path, micro: arch.Spec, pools: list[LocalPool]
) -> None:
    """The system's own limit, put on a worker that has trained before; another training's worker is not hurt."""
    pools.append(pool := LocalPool(1))
    pool.start("small", task(tmp_path / "small", micro, epochs=1))
    until(pool, lambda event: event.kind == "done")
    worker = pool._workers[0].process.pid
    used = 4096 * int(Path(f"/proc/{worker}/statm").read_text().split()[0])
    resource.prlimit(worker, resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    wide = arch.from_mapping(
        arch.to_mapping(micro) | {"rows": [{**row, **({"out": 4096} if row["name"] == "stem" else {})} for row in arch.to_mapping(micro)["rows"]]}
    )  # fmt: skip
    pool.start("wide", task(tmp_path / "wide", wide, batch=512))
    ended = until(pool, lambda event: event.kind in ("done", "died"))
    if ended.kind == "done":
        result = read_json(tmp_path / "wide" / "result.json")
        assert result["state"] == "failed"
        assert "memory" in result["reason"].lower() or "alloc" in result["reason"].lower(), result["reason"]
    else:  # where the allocation that failed was not one that Python hears of
        assert "its process ended" in ended.payload
    for left in pool._workers:
        left.process.kill()
        left.process.wait()
    pool.start("next", task(tmp_path / "next", micro, epochs=1))
    until(pool, lambda event: event.key == "next" and event.kind == "done")


def test_a_worker_ends_with_its_driver_and_not_before(tmp_path: Path, micro: arch.Spec, pools: list[LocalPool]) -> None:
    """Its standard input ends when the driver does, however that ends; what the worker started is killed with it."""
    pools.append(pool := LocalPool(1))
    pool.start("a", task(tmp_path, micro, epochs=100_000))
    until(pool, lambda event: event.kind == "epoch")
    process = pool._workers[0].process
    assert process.stdin is not None
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 1


def test_a_worker_that_cannot_begin_is_lost(
    tmp_path: Path, micro: arch.Spec, pools: list[LocalPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    pools.append(pool := LocalPool(1))
    pool.start("a", task(tmp_path, micro))
    assert until(pool, lambda event: True) == Event("a", "died", "its process ended with exit code 1")


@pytest.mark.skipif(sys.platform == "win32", reason="the shell's")
def test_what_a_worker_started_is_killed_with_it() -> None:
    parent = subprocess.Popen(["sh", "-c", "sleep 300 & echo $!; wait"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    kill(parent)
    assert parent.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill(parent)  # it is gone


@pytest.mark.fault("a training hangs")
def test_a_training_that_hangs_is_killed_at_its_time_limit(
    tmp_path: Path, micro: arch.Spec, pools: list[LocalPool]
) -> None:
    pools.append(pool := LocalPool(1))
    pool.start("a", task(tmp_path, micro, epochs=100_000))
    until(pool, lambda event: event.kind == "epoch")
    worker = pool._workers[0]
    pool.time_limit, worker.until = 1.0, time.monotonic() + 1
    os.kill(worker.process.pid, signal.SIGSTOP)
    assert until(pool, lambda event: event.kind == "died").payload == "it took more than 1 s"
    assert worker.process.returncode == -signal.SIGKILL
    assert (tmp_path / "checkpoint.pt").exists()


@pytest.mark.fault("a training hangs")
def test_a_time_limit_that_nothing_meets_fails_the_trial_not_the_study(tmp_path: Path) -> None:
    engine = {"workers": 1, "threads": 1, "time_limit": 0.01}
    assert run_study(study(trials=1, engine=engine), tmp_path).finished == 1
    result = read_json(tmp_path / "trials" / "00000" / "result.json")
    assert (result["state"], result["reason"]) == ("failed", "it took more than 0.01 s, 3 times")


@pytest.mark.slow
def test_no_training_is_started_that_does_not_fit_into_memory(
    tmp_path: Path, micro: arch.Spec, pools: list[LocalPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 100 << 20
    monkeypatch.setattr("search.engines.local_pool.free_memory", lambda: left)
    pools.append(pool := LocalPool(2))
    pool.start("a", task(tmp_path / "a", micro, epochs=100_000))  # until it is stopped
    pool.start("b", task(tmp_path / "b", micro))
    until(pool, lambda event: event.kind == "epoch" and event.payload["epoch"] == 2)
    assert [worker.key for worker in pool._workers] == ["a"]
    assert pool._need > 100 << 20  # what the first was seen to need is more than what is left
    left = 2 * pool._need
    until(pool, lambda event: event.key == "b" and event.kind == "done")
    left = 0
    pool.start("c", task(tmp_path / "c", micro))
    pool.stop()
    stopped = {until(pool, lambda event: event.kind == "stopped").key for _ in range(2)}
    assert stopped == {"a", "c"}
    assert not (tmp_path / "c").exists()


def test_memory_that_is_free_is_the_least_of_machine_and_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = memory.free_memory()
    assert machine is not None
    assert machine < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.resident(os.getpid()) <= memory.peak(os.getpid())
    (tmp_path / "max").write_text("1000000\n")
    (tmp_path / "current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 50000\n")
    controllers = [line.split(":")[1] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    monkeypatch.setattr(memory, "_FILES", dict.fromkeys(controllers, (tmp_path, "max", "current", "inactive_file")))
    assert memory.free_memory() == 650000
    (tmp_path / "max").write_text("max\n")
    assert memory.free_memory() > 650000


def test_engines_are_chosen_by_name_and_need() -> None:
    def chosen(**values: object) -> tuple[str, int, int]:
        engine = EngineConfig.model_validate({"device": "cpu"} | values).settled()
        return engine.name, engine.workers, engine.threads

    several = len(cores())
    assert chosen(workers=1) == ("inprocess", 1, several)
    assert chosen(workers=2) == ("local", 2, 1)
    assert chosen(workers=1, time_limit=60) == ("local", 1, several)
    assert chosen(name="inprocess") == ("inprocess", 1, several)
    assert chosen(name="local") == ("local", several, 1 if several > 1 else several)
    assert chosen(name="ray", cpus=2.5) == ("ray", 0, 2)
    for values in ({"workers": 2}, {"time_limit": 1.0}):
        with pytest.raises(arch.InputError, match="use engine local"):
            chosen(name="inprocess", **values)
