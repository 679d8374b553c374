"""A worker process of the local pool: `python -m search.engines.worker FD CPUS [MODULE ...]`. It ends when its driver does.

The modules and scripts register blocks, optimizers and the like of a user's own (`search.engines.user_modules`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from arch.errors import InputError
from search.engines.task import Task, run
from search.engines.user_modules import import_user_module
from search.record.files import WriteError
from search.training.fit import Control, Stopped

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_SAY_EVERY = 0.5  # seconds between two notes about the step under way


def train(task: Task, reins: Control, goes_on: Callable[[Mapping[str, Any]], bool]) -> tuple[str, str | None]:
    """Run a task, asking after each epoch whether it goes on; return how it ended and why, as an event says it."""
    try:
        epochs = run(task, reins)
        for epoch in epochs:
            if not goes_on(epoch.told()):
                reins.prune = True
                epochs.close()  # type: ignore[attr-defined]
    except Stopped:
        return "stopped", None
    except InputError as error:
        return "refused", str(error)
    except WriteError as error:
        return "unwritable", str(error)
    return "done", None


class _Reins(Control):
    """Tells the driver about steps; where it is gone, the training stops at its checkpoint."""

    def __init__(self, pipe: Connection, key: str) -> None:
        super().__init__()
        self.pipe, self.key, self.said = pipe, key, 0.0

    def tick(self, done: int, steps: int) -> bool:
        now = time.monotonic()
        if now - self.said > _SAY_EVERY:
            self.said = now
            try:
                self.pipe.send((self.key, "step", (done, steps)))
            except OSError:  # raised here it would be taken for the training's own failure
                self.stop = True
        return not self.stop

    def goes_on(self, metrics: Mapping[str, Any]) -> bool:
        self.pipe.send((self.key, "epoch", metrics))
        return bool(self.pipe.recv())


def work(pipe: Connection) -> None:
    """Run tasks from the pipe until it closes or SIGTERM comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    asked_to_stop = False
    reins: _Reins | None = None

    def on_term(*_: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        if reins:
            reins.stop = True

    signal.signal(signal.SIGTERM, on_term)
    while not asked_to_stop:
        if not pipe.poll(1.0):
            continue
        key, task = pipe.recv()
        reins = _Reins(pipe, key)
        reins.stop = asked_to_stop
        pipe.send((key, *train(task, reins, reins.goes_on)))


def main() -> None:
    """Pin the process and work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # elsewhere the closed pipe does it, a step later
        Path("/proc/self/oom_score_adj").write_text("500")  # where memory runs out, a training goes, not its driver
    cpus = [int(cpu) for cpu in sys.argv[2].split(",")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    torch.set_num_threads(len(cpus))
    for module in sys.argv[3:]:
        import_user_module(module)
    try:
        work(Connection(int(sys.argv[1])))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)


if __name__ == "__main__":
    main()
