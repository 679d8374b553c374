"""Where trainings run: in this process, or in a pool of pinned local processes.

An engine is started with tasks and asked for events. After each `epoch` event it waits for `answer`;
everything else needs none. Results are in the tasks' folders before `done` is said.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Protocol

import torch

from arch.errors import InputError
from search.hardware import cores
from search.training import Control, Epoch, Stopped
from search.trial import Task, run

Kind = Literal["step", "epoch", "done", "stopped", "refused", "lost"]


@dataclass(frozen=True)
class Event:
    """Something that happened to the training called `key`.

    `epoch` carries an epoch's metrics, `step` (epoch, step, steps), `refused` what is wrong with the
    task, `lost` how its process ended.
    """

    key: str
    kind: Kind
    payload: Any = None


class Engine(Protocol):
    """Runs up to `slots` tasks at a time."""

    slots: int

    def start(self, key: str, task: Task) -> None:
        """Begin a task; only while fewer than `slots` run."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """Return what has happened, waiting up to `timeout` s for something."""
        ...

    def answer(self, key: str, go_on: bool) -> None:
        """After an epoch: go on, or end the training there as pruned."""
        ...

    def stop(self) -> None:
        """Ask every training to write a checkpoint and stop."""
        ...

    def close(self) -> None:
        """End the engine; nothing of it remains."""
        ...


class _Noted(Control):
    """Passes each step on."""

    def __init__(self, note: Callable[[Event], None]) -> None:
        super().__init__()
        self.note, self.key = note, ""

    def tick(self, epoch: int, step: int, steps: int) -> bool:
        self.note(Event(self.key, "step", (epoch, step, steps)))
        return not self.stop


class InProcess:
    """One training at a time in this process."""

    slots = 1

    def __init__(self, threads: int, note: Callable[[Event], None]) -> None:
        torch.set_num_threads(threads)
        self._running: tuple[str, Iterator[Epoch]] | None = None
        self._control = _Noted(note)

    def start(self, key: str, task: Task) -> None:
        """Take a task; it advances while events are asked for."""
        self._control.key = key
        self._running = (key, run(task, self._control))

    def events(self, timeout: float) -> list[Event]:
        """Train one epoch and return it."""
        if not self._running:
            return []
        key, epochs = self._running
        try:
            return [Event(key, "epoch", next(epochs).metrics())]
        except StopIteration:
            self._running = None
            return [Event(key, "done")]
        except Stopped:
            self._running = None
            return [Event(key, "stopped")]
        except InputError as error:
            self._running = None
            return [Event(key, "refused", str(error))]

    def answer(self, key: str, go_on: bool) -> None:
        """Go on with the next call for events, or end the training now."""
        if not go_on and self._running:
            self._control.prune = True
            self._running[1].close()  # type: ignore[attr-defined]
            self._control.prune = False

    def stop(self) -> None:
        """Stop after the step under way."""
        self._control.stop = True

    def close(self) -> None:
        """Nothing remains to be ended."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    cpu: int
    key: str | None = None


@dataclass
class LocalPool:
    """Worker processes on this machine, each pinned to cores of its own.

    One thread a training is the default: on a shared machine two one-thread trainings side by side
    do more together than one with two threads.
    """

    slots: int
    threads: int = 1
    _workers: list[_Worker] = field(default_factory=list)

    def start(self, key: str, task: Task) -> None:
        """Give a task to a free worker, starting one if there is none."""
        for worker in [w for w in self._workers if w.key is None]:
            try:
                worker.pipe.send((key, task))
            except OSError:
                self._lost(worker)  # it died while it was idle
            else:
                worker.key = key
                return
        worker = self._hire()
        worker.key = key
        worker.pipe.send((key, task))

    def _hire(self) -> _Worker:
        taken = {worker.cpu for worker in self._workers}
        slot = next(slot for slot in range(self.slots) if slot not in taken)
        usable = cores()
        pinned = [usable[(slot * self.threads + i) % len(usable)] for i in range(self.threads)]
        ours, theirs = socket.socketpair()
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": str(self.threads),
        }
        command = [sys.executable, "-m", "search.worker", str(theirs.fileno()), ",".join(map(str, pinned))]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=env, start_new_session=True)
        theirs.close()
        worker = _Worker(process, Connection(ours.detach()), slot)
        self._workers.append(worker)
        return worker

    def events(self, timeout: float) -> list[Event]:
        """Return what the workers have said; a worker that is gone is replaced when next needed."""
        found = []
        for pipe in wait([worker.pipe for worker in self._workers], timeout):
            worker = next(w for w in self._workers if w.pipe is pipe)
            try:
                event = Event(*worker.pipe.recv())
            except (EOFError, OSError):
                event = self._lost(worker)
            if event.kind in ("done", "stopped", "refused", "lost"):
                worker.key = None
            if event.key:
                found.append(event)
        return found

    def _lost(self, worker: _Worker) -> Event:
        self._workers.remove(worker)
        worker.pipe.close()
        code = worker.process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Event(worker.key or "", "lost", f"its process ended with {how}")

    def answer(self, key: str, go_on: bool) -> None:
        """Tell the worker of that task."""
        for worker in self._workers:
            if worker.key == key:
                try:
                    worker.pipe.send(go_on)
                except OSError:
                    pass  # it died meanwhile; its end shows as an event

    def stop(self) -> None:
        """Send each worker SIGTERM, which makes it write a checkpoint and stop."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.terminate()

    def close(self) -> None:
        """End the workers, by force where they do not leave by themselves within 10 s."""
        for worker in self._workers:
            worker.pipe.close()
        deadline = time.monotonic() + 10
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()


def make_engine(workers: int, threads: int, note: Callable[[Event], None]) -> Engine:
    """Return the engine for so many trainings side by side.

    `note` hears of steps where trainings run in this process, and events cannot be asked for meanwhile.
    """
    return LocalPool(workers, threads) if workers > 1 else InProcess(threads, note)
