"""One training at a time in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from arch.errors import InputError
from search.engines.base import Event
from search.engines.task import Task, run
from search.training.fit import Control, Epoch, Stopped


class _StepReporter(Control):
    """Reports each step."""

    def __init__(self, note: Callable[[Event], None]) -> None:
        super().__init__()
        self.note, self.key = note, ""

    def tick(self, done: int, steps: int) -> bool:
        self.note(Event(self.key, "step", (done, steps)))
        return not self.stop


class InProcess:
    """One training at a time in this process."""

    slots = 1
    attempts = 1

    def __init__(self, threads: int, note: Callable[[Event], None]) -> None:
        self.threads, self._before = threads, torch.get_num_threads()
        self._running: tuple[str, Iterator[Epoch]] | None = None
        self._control = _StepReporter(note)

    def start(self, key: str, task: Task) -> None:
        """Take a task; each call of `events` trains one epoch of it."""
        torch.set_num_threads(self.threads)
        self._control.key = key
        self._running = (key, run(task, self._control))

    def events(self, timeout: float) -> list[Event]:
        """Train one epoch and return it."""
        if not self._running:
            return []
        key, epochs = self._running
        try:
            return [Event(key, "epoch", next(epochs).payload())]
        except StopIteration:
            self._running = None
            return [Event(key, "done")]
        except Stopped:
            self._running = None
            return [Event(key, "stopped")]
        except InputError as error:
            self._running = None
            return [Event(key, "refused", str(error))]

    def answer(self, key: str, proceed: bool) -> None:
        """Continue with the next call of `events`, or end the training now as pruned."""
        if not proceed and self._running:
            self._control.prune = True
            self._running[1].close()  # type: ignore[attr-defined]
            self._control.prune = False

    def stop(self) -> None:
        """Stop after the step under way."""
        self._control.stop = True

    def close(self) -> None:
        """Give the caller's process its own number of threads back."""
        torch.set_num_threads(self._before)
