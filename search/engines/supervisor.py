"""Many trainings through an engine: named tasks, attempts, progress, interruption, going on where it was left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arch.errors import InputError
from arch.files.html_table import table
from search.engines.base import EngineConfig, Event
from search.engines.choose import make_engine
from search.engines.task import Task, answered, identity, in_words
from search.progress import Silent
from search.record.files import WriteError, read_json
from search.record.layout import write_result
from search.signals import caught


@dataclass(frozen=True)
class Outcome:
    """The results of the tasks that have ended, by name, and the signal that stopped the batch or 0."""

    results: dict[str, dict[str, Any]]
    total: int
    signal: int = 0

    def _repr_html_(self) -> str:
        """Return how each training ended, for a notebook."""
        rows = [{"training": name, "outcome": in_words(result)} for name, result in self.results.items()]
        return table(f"{self.complete} of {self.total} trainings complete", rows)

    @property
    def complete(self) -> int:
        """How many trainings came to their end."""
        return sum(result["state"] == "complete" for result in self.results.values())

    @property
    def failed(self) -> dict[str, str]:
        """Why each training that failed did, by name."""
        return {name: r.get("reason", "") for name, r in self.results.items() if r["state"] == "failed"}


def run_tasks(
    title: str,
    tasks: Mapping[str, Task],
    engine: EngineConfig,
    show: Silent | None = None,
    check: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run named tasks, as many side by side as the engine has room for, and return what came of them.

    A task whose folder holds its result is answered from there, a failed one too; one that was stopped goes on
    from its checkpoint. A training whose process dies is started anew from its checkpoint, three times in all, and
    then recorded as failed. SIGINT and SIGTERM let every training write a checkpoint and stop. `check` is called
    after each epoch, and may raise.

    Raises
    ------
    InputError
        A folder holds another training than its task, or a task cannot be trained; names it.
    """
    known = {name: result for name, task in tasks.items() if (result := answered(task))}
    return _Batch(title, tasks, known, engine.settled(), show or Silent(), check).run()


@dataclass
class _Batch:
    title: str
    tasks: Mapping[str, Task]
    results: dict[str, dict[str, Any]]
    config: EngineConfig
    show: Silent
    check: Callable[[], None]
    attempts: dict[str, int] = field(default_factory=dict)  # of the trainings under way
    caught: int = 0

    def run(self) -> Outcome:
        self.show.begin(self.title, len(self.tasks), len(self.results))
        waiting = deque(name for name in self.tasks if name not in self.results)
        self.engine = make_engine(self.config, Path(), self._handle)
        with caught(self._catch):
            try:
                while self.attempts or (waiting and not self.caught):
                    while waiting and not self.caught and len(self.attempts) < self.engine.slots:
                        self._start(waiting.popleft())
                    for event in self.engine.events(0.5):
                        self._handle(event)
            finally:
                self.engine.close()
                self.show.close()
        stopped = self.caught if len(self.results) < len(self.tasks) else 0
        return Outcome(
            {name: self.results[name] for name in self.tasks if name in self.results}, len(self.tasks), stopped
        )

    def _catch(self, number: int) -> None:
        self.caught = number
        self.engine.stop()

    def _start(self, name: str) -> None:
        task = self.tasks[name]
        self.attempts[name] = 1
        self.show.started(name, task.recipe)
        self.engine.start(name, task)

    def _handle(self, event: Event) -> None:
        name = event.key
        if event.kind == "step":
            self.show.step(name, *event.payload)
        elif event.kind == "epoch":
            self.check()
            self.show.epoch(name, event.payload)
            self.engine.answer(name, True)
        elif event.kind == "again":
            self.show.note(f"{name}: {event.payload}")
        elif event.kind == "lost" and not self.caught:
            self._lost(name, str(event.payload))
        else:
            del self.attempts[name]
            if event.kind == "done":
                self._ended(name)
            elif event.kind == "refused":
                raise InputError(f"{name}: {event.payload}")
            elif event.kind == "unwritable":
                raise WriteError(event.payload)

    def _lost(self, name: str, how: str) -> None:
        most = self.engine.attempts
        if self.attempts[name] < most:
            self.attempts[name] += 1
            self.show.note(f"{name}: {how}; attempt {self.attempts[name]} of {most}")
            self.engine.start(name, self.tasks[name])
            return
        task = self.tasks[name]
        failed = {"state": "failed", "reason": f"{how}, {most} times" if most > 1 else how}
        write_result(Path(task.folder), {**task.about, **identity(task), **failed})
        del self.attempts[name]
        self._ended(name)

    def _ended(self, name: str) -> None:
        self.results[name] = read_json(Path(self.tasks[name].folder) / "result.json")
        self.show.finished(name, in_words(self.results[name]), len(self.results), self.results[name])
