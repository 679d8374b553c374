"""Trainings in a pool of pinned processes on this machine."""

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

_UNSEEN = 1 << 30  # bytes that a training is taken to need before one was seen


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    cpu: int
    key: str | None = None
    until: float = float("inf")  # when it is taken for hanging
    killed: str = ""  # why it was killed, where it was

    def release(self) -> None:
        """Close what led to a process that has ended."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


@dataclass
class LocalPool:
    """Worker processes on this machine, each pinned to cores of its own.

    One thread a training is the default: on a shared machine two one-thread trainings side by side
    do more together than one with two threads. While there is less memory than a training was seen
    to need, beside what those under way may still take, no other one is started.
    """

    slots: int
    threads: int = 1
    time_limit: float = 0.0
    attempts: int = 3
    _workers: list[_Worker] = field(default_factory=list)
    _held: deque[tuple[str, Task]] = field(default_factory=deque)  # tasks that wait for memory
    _need: int = 0  # the most bytes that a worker has held
    _seen: bool = False  # a training has come as far as its first epoch's end
    _stop_until: float = float("inf")  # when those that were asked to stop must have

    def start(self, key: str, task: Task) -> None:
        """Give a task to a free worker, starting one if there is none, as soon as there is memory for it."""
        self._held.append((key, task))
        self._start_held()

    def _start_held(self) -> None:
        while self._held and self._room():
            self._send(*self._held.popleft())

    def _room(self) -> bool:
        """Return whether memory suffices for one more; one at a time always runs."""
        busy = [worker for worker in self._workers if worker.key is not None]
        free = free_memory()
        if not busy:
            return True
        self._need = max(self._need, *(peak(worker.process.pid) for worker in self._workers))
        need = max(self._need, 0 if self._seen else _UNSEEN)
        idle = max((resident(w.process.pid) for w in self._workers if w.key is None), default=0)
        to_come = sum(max(0, need - resident(worker.process.pid)) for worker in busy)
        return free - to_come >= need - idle

    def _send(self, key: str, task: Task) -> None:
        for dead in [w for w in self._workers if w.key is None and w.process.poll() is not None]:
            self._lost(dead)  # while it was idle
        worker = next((w for w in self._workers if w.key is None), None) or self._hire()
        worker.key = key
        with suppress(OSError):  # it has just died; its end shows as an event
            worker.pipe.send((key, task))
        worker.until = time.monotonic() + self.time_limit if self.time_limit else float("inf")

    def _hire(self) -> _Worker:
        taken = {worker.cpu for worker in self._workers}
        slot = next(slot for slot in range(self.slots) if slot not in taken)
        usable = cores()
        pinned = [usable[(slot * self.threads + i) % len(usable)] for i in range(self.threads)]
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": str(self.threads),
        }
        command = [sys.executable, "-m", "search.engines.worker_process", ",".join(map(str, pinned)), *user_modules()]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env, bufsize=0, start_new_session=True)
        worker = _Worker(process, _connected(process), slot)
        self._workers.append(worker)
        return worker

    def events(self, timeout: float) -> list[Event]:
        """Return what the workers have said; a worker that is gone is replaced when next needed."""
        if self._stop_until < float("inf"):
            found = [Event(key, "stopped") for key, _ in self._held]
            self._held.clear()
        else:
            found = []
            self._start_held()
        self._kill_hanging()
        for pipe in wait([worker.pipe for worker in self._workers], 0 if found else timeout):
            worker = next(w for w in self._workers if w.pipe is pipe)
            try:
                event = Event(*worker.pipe.recv())
            except (EOFError, OSError):
                event = self._lost(worker)
            self._seen = self._seen or event.kind == "epoch"
            if event.kind in ("done", "stopped", "refused", "unwritable", "lost"):
                worker.key = None
            if event.key:
                found.append(event)
        return found

    def _kill_hanging(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.key is not None and not worker.killed and now > min(worker.until, self._stop_until):
                in_vain = f"it did not stop within {STOP_WITHIN:g} s"
                worker.killed = in_vain if now > self._stop_until else f"it took more than {self.time_limit:g} s"
                kill(worker.process)

    def _lost(self, worker: _Worker) -> Event:
        self._workers.remove(worker)
        worker.pipe.close()
        code = worker.process.wait()
        worker.release()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Event(worker.key or "", "lost", worker.killed or f"its process ended with {how}")

    def answer(self, key: str, go_on: bool) -> None:
        """Tell the worker of that task."""
        for worker in self._workers:
            if worker.key == key:
                try:
                    worker.pipe.send(go_on)
                except OSError:
                    pass  # it died meanwhile; its end shows as an event

    def stop(self) -> None:
        """Ask each worker to write a checkpoint and stop; one that does not is killed."""
        self._stop_until = time.monotonic() + STOP_WITHIN
        for worker in self._workers:
            assert worker.process.stdin
            with suppress(OSError):  # it is gone already
                worker.process.stdin.write(b"s")

    def close(self) -> None:
        """End the workers, by force where they do not leave by themselves within 10 s."""
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
    """Return the connection to a worker that was just started; where that fails, one whose other end is closed."""
    assert process.stdin
    assert process.stdout
    key = os.urandom(KEY)
    try:
        process.stdin.write(key)
        return Client((HOST, int(process.stdout.readline())), authkey=key)
    except (OSError, EOFError, ValueError, AuthenticationError):  # the second and third: it died before it could answer
        kill(process)
        ours, theirs = Pipe()
        theirs.close()
        return ours


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and those that it started."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
