"""What a worker of the local pool does: it trains what its driver sends, and tells how that goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from threading import Event
from typing import Any

from arch.errors import InputError
from search.engines.task import Task, run
from search.record.files import WriteError
from search.training.fit import Control, Stopped

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

    def __init__(self, pipe: Connection, key: str, stopping: Event) -> None:
        super().__init__()
        self.pipe, self.key, self.stopping, self.said = pipe, key, stopping, 0.0

    def tick(self, done: int, steps: int) -> bool:
        now = time.monotonic()
        self.stop = self.stop or self.stopping.is_set()
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


def work(pipe: Connection, stopping: Event) -> None:
    """Run tasks from the pipe until it closes or a stop is asked for."""
    while not stopping.is_set():
        if pipe.poll(1.0):
            key, task = pipe.recv()
            reins = _Reins(pipe, key, stopping)
            pipe.send((key, *train(task, reins, reins.goes_on)))
