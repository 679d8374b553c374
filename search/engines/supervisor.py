"""The supervisor keeps an engine busy: it starts trainings, handles their events, and restarts dead ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from arch.errors import InputError
from arch.files.html_table import table
from search.engines.base import EngineConfig, Event
from search.engines.choose import make_engine
from search.engines.task import Task, answered, in_words, write_failed
from search.progress import Silent
from search.record.files import WriteError, read_json
from search.signals import caught


class Work(Protocol):
    """What a supervisor trains: it supplies the next training, and receives the epochs and the end of each."""

    def next(self) -> tuple[str, Task] | None:
        """Return the next training's name and task; None where there is none until another one ends."""
        ...

    def continues(self, key: str, metrics: Mapping[str, Any]) -> bool:
        """Record an epoch; return whether the training continues, or ends there as pruned."""
        ...

    def ended(self, key: str) -> None:
        """Record a training whose folder now holds its result."""
        ...


@dataclass
class _Attempt:
    """A running training, and how often it was started."""

    task: Task
    number: int = 1


class Supervisor:
    """Fills an engine's slots until its work is done or a signal comes; `signal` is that signal's number, or 0."""

    def __init__(self, config: EngineConfig, run: Path, show: Silent, check: Callable[[], None]) -> None:
        self.engine = make_engine(config, run, self._handle)  # receives the steps of a training in this process
        self.show, self.check = show, check
        self.signal = 0
        self._running: dict[str, _Attempt] = {}
        self._work: Work

    def stop(self, number: int) -> None:
        """Start nothing more, and request a checkpoint and a stop of every training: a signal has come."""
        self.signal = number
        self.engine.stop()

    def close(self) -> None:
        """End the engine and the progress display."""
        self.engine.close()
        self.show.close()

    def train(self, work: Work) -> None:
        """Train until the work supplies nothing more.

        Raises
        ------
        InputError
            A task cannot be trained; names it.
        WriteError
            The disk is full, or the run's folder was removed.
        """
        self._work = work
        while True:
            # Fill free slots first. After a signal they stay free, and the running trainings write their checkpoints.
            self._fill()
            # Work that is left always waits for a running training. So where none runs, nothing is left.
            if not self._running:
                return
            # Half a second at most, so that a new signal and a cluster that grows are noticed soon.
            for event in self.engine.events(0.5):
                self._handle(event)

    def _fill(self) -> None:
        while not self.signal and len(self._running) < self.engine.slots and (following := self._work.next()):
            key, task = following
            self._running[key] = _Attempt(task)
            self.show.started(key, task.recipe)
            self.engine.start(key, task)

    def _handle(self, event: Event) -> None:
        key = event.key
        if event.kind == "step":  # many a second, and none writes a file: no check
            self.show.step(key, *event.payload)
            return
        self.check()
        if event.kind == "epoch":
            self.show.epoch(key, event.payload)
            self.engine.answer(key, self._work.continues(key, event.payload))
        elif event.kind == "restarted":
            self.show.note(f"{key}: {event.payload}")
        elif event.kind == "died" and not self.signal:
            self._died(key, str(event.payload))
        else:
            self._over(event)

    def _over(self, event: Event) -> None:
        """Remove a training that no longer runs; one that was stopped resumes with the next start of the run."""
        del self._running[event.key]
        if event.kind == "done":
            self._work.ended(event.key)
        elif event.kind == "refused":
            raise InputError(f"{event.key}: {event.payload}")
        elif event.kind == "unwritable":
            raise WriteError(event.payload)

    def _died(self, key: str, how: str) -> None:
        """Restart a training whose process died; after the engine's last attempt record it as failed."""
        attempt, most = self._running[key], self.engine.attempts
        if attempt.number < most:
            attempt.number += 1
            self.show.note(f"{key}: {how}; attempt {attempt.number} of {most}")
            self.engine.start(key, attempt.task)
            return
        write_failed(attempt.task, f"{how}, {most} times" if most > 1 else how)
        self._over(Event(key, "done"))


@contextmanager
def supervised(
    config: EngineConfig, run: Path, show: Silent, check: Callable[[], None] = lambda: None
) -> Iterator[Supervisor]:
    """Give a supervisor of trainings in folders below `run`, stopped by SIGINT and SIGTERM; close it at the end.

    `check` is called before anything is written, and may raise.
    """
    supervisor = Supervisor(config, run, show, check)
    with caught(supervisor.stop):
        try:
            yield supervisor
        finally:
            supervisor.close()


@dataclass(frozen=True)
class TaskResults:
    """The results of the tasks that have ended, by name, and the signal that stopped the call or 0."""

    results: dict[str, dict[str, Any]]
    total: int
    signal: int = 0

    def _repr_html_(self) -> str:
        """Return how each training ended, for a notebook."""
        rows = [{"training": name, "outcome": in_words(result)} for name, result in self.results.items()]
        return table(f"{self.complete} of {self.total} trainings complete", rows)

    @property
    def complete(self) -> int:
        """How many trainings are complete."""
        return sum(result["state"] == "complete" for result in self.results.values())

    @property
    def failed(self) -> dict[str, str]:
        """Why each training that failed did, by name."""
        return {name: r.get("reason", "") for name, r in self.results.items() if r["state"] == "failed"}


class _Named:
    """Named tasks as a supervisor's work; none is pruned."""

    def __init__(self, tasks: Mapping[str, Task], show: Silent) -> None:
        self.tasks, self.show = tasks, show
        self.results = {name: result for name, task in tasks.items() if (result := answered(task))}
        self.waiting = deque(name for name in tasks if name not in self.results)

    def next(self) -> tuple[str, Task] | None:
        if not self.waiting:
            return None
        name = self.waiting.popleft()
        return name, self.tasks[name]

    def continues(self, key: str, metrics: Mapping[str, Any]) -> bool:
        return True

    def ended(self, key: str) -> None:
        result = self.results[key] = read_json(Path(self.tasks[key].folder) / "result.json")
        self.show.finished(key, in_words(result), len(self.results), result)


def run_tasks(
    title: str,
    tasks: Mapping[str, Task],
    engine: EngineConfig,
    show: Silent | None = None,
    check: Callable[[], None] = lambda: None,
) -> TaskResults:
    """Run named tasks, as many at a time as the engine has slots, and return their results.

    A task whose folder holds its result is answered from there, a failed one too; one that was stopped resumes
    from its checkpoint. A training whose process dies is started again from its checkpoint, three times in all, and
    then recorded as failed. SIGINT and SIGTERM let every training write a checkpoint and stop. `check` is called
    before anything is written, and may raise.

    Raises
    ------
    InputError
        A folder holds another training than its task, or a task cannot be trained; names it.
    """
    show = show or Silent()
    named = _Named(tasks, show)
    show.begin(title, len(tasks), len(named.results))
    with supervised(engine.settled(), Path(), show, check) as supervisor:
        supervisor.train(named)
    results = {name: named.results[name] for name in tasks if name in named.results}
    return TaskResults(results, len(tasks), supervisor.signal if len(results) < len(tasks) else 0)
