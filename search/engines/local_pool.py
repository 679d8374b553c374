"""Trainings in a pool of worker processes on this machine, each pinned to its own cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Pipe, wait

import psutil

from search.engines.base import STOP_WITHIN, Event
from search.engines.memory import free_memory, peak, resident
from search.engines.task import Task
from search.engines.user_modules import user_modules
from search.engines.worker_process import HOST, KEY
from search.training.hardware import cores

_ASSUMED_NEED = 1 << 30  # bytes that a training counts for until one has been measured


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    slot: int
    key: str | None = None
    until: float = float("inf")  # from when on it counts as hanging
    killed: str = ""  # why it was killed, where it was

    def release(self) -> None:
        """Close the streams of a process that has ended."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


@dataclass
class LocalPool:
    """Worker processes on this machine, each pinned to its own cores.

    One thread a training is the default: on a shared machine two one-thread trainings side by side
    do more together than one with two threads. A training starts only while there is enough memory for it
    and for what the running ones may still take.
    """

    slots: int
    threads: int = 1
    time_limit: float = 0.0
    attempts: int = 3
    _workers: list[_Worker] = field(default_factory=list)
    _queued: deque[tuple[str, Task]] = field(default_factory=deque)  # tasks that wait for memory
    _need: int = 0  # the most bytes that any worker has held
    _need_measured: bool = False  # whether a training has finished its first epoch, so that `_need` says what one takes
    _stop_until: float = float("inf")  # deadline of a request to stop

    def start(self, key: str, task: Task) -> None:
        """Give a task to a free worker, starting one if there is none, as soon as there is memory for it."""
        self._queued.append((key, task))
        self._start_queued()

    def _start_queued(self) -> None:
        while self._queued and self._memory_suffices():
            self._send(*self._queued.popleft())

    def _memory_suffices(self) -> bool:
        """Return whether memory suffices for one more training; one at a time always runs."""
        busy = [worker for worker in self._workers if worker.key is not None]
        free = free_memory()
        if not busy:
            return True
        self._need = max(self._need, *(peak(worker.process.pid) for worker in self._workers))
        need = max(self._need, 0 if self._need_measured else _ASSUMED_NEED)
        idle = max((resident(w.process.pid) for w in self._workers if w.key is None), default=0)
        # Running trainings may still grow to the peak; an idle worker's memory serves the new one.
        to_come = sum(max(0, need - resident(worker.process.pid)) for worker in busy)
        return free - to_come >= need - idle

    def _send(self, key: str, task: Task) -> None:
        for dead in [w for w in self._workers if w.key is None and w.process.poll() is not None]:
            self._died(dead)  # while it was idle
        # Idle workers are used again: they have torch imported and the data set loaded.
        worker = next((w for w in self._workers if w.key is None), None) or self._start_worker()
        worker.key = key
        with suppress(OSError):  # it has just died; `events` reports that
            worker.pipe.send((key, task))
        worker.until = time.monotonic() + self.time_limit if self.time_limit else float("inf")

    def _start_worker(self) -> _Worker:
        # A free slot decides the cores; where slots exceed cores, several workers share one.
        taken = {worker.slot for worker in self._workers}
        slot = next(slot for slot in range(self.slots) if slot not in taken)
        usable = cores()
        pinned = [usable[(slot * self.threads + i) % len(usable)] for i in range(self.threads)]
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": str(self.threads),
        }
        command = [sys.executable, "-m", "search.engines.worker_process", ",".join(map(str, pinned)), *user_modules()]
        pipe = subprocess.PIPE
        # In a session of its own, a worker does not receive the terminal's Ctrl-C: the driver decides.
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env, bufsize=0, start_new_session=True)
        worker = _Worker(process, _connected(process), slot)
        self._workers.append(worker)
        return worker

    def events(self, timeout: float) -> list[Event]:
        """Return what the workers have reported; a worker that died is replaced when next needed."""
        # After a request to stop, tasks that wait for memory never start.
        if self._stop_until < float("inf"):
            found = [Event(key, "stopped") for key, _ in self._queued]
            self._queued.clear()
        else:
            found = []
            self._start_queued()
        self._kill_hanging()
        for pipe in wait([worker.pipe for worker in self._workers], 0 if found else timeout):
            worker = next(w for w in self._workers if w.pipe is pipe)
            try:  # a closed pipe means that the process has ended
                event = Event(*worker.pipe.recv())
            except (EOFError, OSError):
                event = self._died(worker)
            self._need_measured = self._need_measured or event.kind == "epoch"
            if event.kind in ("done", "stopped", "refused", "unwritable", "died"):
                worker.key = None
            if event.key:  # an idle worker's death concerns no task
                found.append(event)
        return found

    def _kill_hanging(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.key is not None and not worker.killed and now > min(worker.until, self._stop_until):
                too_late = f"it did not stop within {STOP_WITHIN:g} s"
                worker.killed = too_late if now > self._stop_until else f"it took more than {self.time_limit:g} s"
                kill(worker.process)

    def _died(self, worker: _Worker) -> Event:
        self._workers.remove(worker)
        worker.pipe.close()
        code = worker.process.wait()
        worker.release()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Event(worker.key or "", "died", worker.killed or f"its process ended with {how}")

    def answer(self, key: str, proceed: bool) -> None:
        """Send the answer to the worker of that task."""
        for worker in self._workers:
            if worker.key == key:
                try:
                    worker.pipe.send(proceed)
                except OSError:
                    pass  # it died meanwhile; `events` reports that

    def stop(self) -> None:
        """Request a checkpoint and a stop of each worker; one that does not stop in time is killed."""
        self._stop_until = time.monotonic() + STOP_WITHIN
        for worker in self._workers:
            assert worker.process.stdin
            with suppress(OSError):  # it has already ended
                worker.process.stdin.write(b"s")

    def close(self) -> None:
        """End the workers, by force where they do not end by themselves within 10 s."""
        # A worker without a task ends when its pipe closes. All get the same 10 s, not 10 s each.
        for worker in self._workers:
            worker.pipe.close()
        deadline = time.monotonic() + 10
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                kill(worker.process)
                worker.process.wait()
            worker.release()
        self._workers.clear()


def _connected(process: subprocess.Popen[bytes]) -> Connection:
    """Return the connection to a worker that was just started.

    Where that fails, return one whose other end is closed: `events` then reports the worker as died.
    """
    assert process.stdin
    assert process.stdout
    key = os.urandom(KEY)
    try:
        process.stdin.write(key)
        return Client((HOST, int(process.stdout.readline())), authkey=key)
    except (OSError, EOFError, ValueError, AuthenticationError):  # EOFError, ValueError: it died before it could answer
        kill(process)
        ours, theirs = Pipe()
        theirs.close()
        return ours


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its child processes."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
