"""The loop of a worker of the local pool: it trains the tasks that the driver sends, and reports steps and epochs."""

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

_REPORT_EVERY = 0.5  # seconds between two reports of the current step


def train_task(task: Task, control: Control, continues: Callable[[Mapping[str, Any]], bool]) -> tuple[str, str | None]:
    """Run a task; `continues` decides after each epoch. Return how it ended and why: an event's kind and payload."""
    try:
        epochs = run(task, control)
        for epoch in epochs:
            if not continues(epoch.payload()):
                control.prune = True
                epochs.close()  # type: ignore[attr-defined]  # writes the result of a pruned training
    except Stopped:
        return "stopped", None
    except InputError as error:
        return "refused", str(error)
    except WriteError as error:
        return "unwritable", str(error)
    return "done", None


class _PipeControl(Control):
    """Reports to the driver through a pipe; where the driver has ended, the training stops at its checkpoint."""

    def __init__(self, pipe: Connection, key: str, stopping: Event) -> None:
        super().__init__()
        self.pipe, self.key, self.stopping, self.reported_at = pipe, key, stopping, 0.0

    def tick(self, done: int, steps: int) -> bool:
        now = time.monotonic()
        self.stop = self.stop or self.stopping.is_set()
        if now - self.reported_at > _REPORT_EVERY:
            self.reported_at = now
            try:
                self.pipe.send((self.key, "step", (done, steps)))
            except OSError:  # raised here, it would count as the training's own failure
                self.stop = True
        return not self.stop

    def continues(self, metrics: Mapping[str, Any]) -> bool:
        self.pipe.send((self.key, "epoch", metrics))
        return bool(self.pipe.recv())


def work(pipe: Connection, stopping: Event) -> None:
    """Run tasks from the pipe until it closes or a stop is requested."""
    while not stopping.is_set():
        if pipe.poll(1.0):  # at most a second, so that an idle worker notices a stop
            key, task = pipe.recv()
            control = _PipeControl(pipe, key, stopping)
            pipe.send((key, *train_task(task, control, control.continues)))
