"""A worker process of the local pool: `python -m search.worker FD CPUS`. It ends when its driver does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from multiprocessing.connection import Connection

import torch

from arch.errors import InputError
from search.training import Control, Stopped
from search.trial import Task, run

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_SAY_EVERY = 0.5  # seconds between two notes about the step under way


class _Reins(Control):
    """Tells the driver about steps; a driver that is gone ends the process."""

    def __init__(self, pipe: Connection, key: str) -> None:
        super().__init__()
        self.pipe, self.key, self.said = pipe, key, 0.0

    def tick(self, epoch: int, step: int, steps: int) -> bool:
        now = time.monotonic()
        if now - self.said > _SAY_EVERY:
            self.said = now
            self.pipe.send((self.key, "step", (epoch, step, steps)))
        return not self.stop


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
        pipe.send((key, *_train(pipe, key, task, reins)))


def _train(pipe: Connection, key: str, task: Task, reins: _Reins) -> tuple[str, str | None]:
    try:
        epochs = run(task, reins)
        for epoch in epochs:
            pipe.send((key, "epoch", epoch.metrics()))
            if not pipe.recv():
                reins.prune = True
                epochs.close()  # type: ignore[attr-defined]
    except Stopped:
        return "stopped", None
    except InputError as error:
        return "refused", str(error)
    return "done", None


def main() -> None:
    """Pin the process and work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # elsewhere the closed pipe does it, a step later
    cpus = [int(cpu) for cpu in sys.argv[2].split(",")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    torch.set_num_threads(len(cpus))
    try:
        work(Connection(int(sys.argv[1])))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)


if __name__ == "__main__":
    main()
