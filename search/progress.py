"""Progress displays: bars on a terminal, plain lines, JSON lines for batch jobs, or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

DisplayName = Literal["auto", "bars", "lines", "json", "quiet"]
_FIGURES = ("val_accuracy", "test_accuracy", "seconds", "reason")  # of a result, in a line of JSON


class Silent:
    """Shows nothing: the default of library calls, and the interface of every display."""

    def begin(self, title: str, total: int, done: int) -> None:
        """A study (or a single training) begins, with so many trials done already."""

    def started(self, key: str, recipe: Mapping[str, Any]) -> None:
        """A training begins or resumes."""

    def step(self, key: str, done: int, steps: int) -> None:
        """A training has done so many of all its steps."""

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """A training has done an epoch, or has read it back from its checkpoint (`restored`)."""

    def finished(self, key: str, text: str, done: int, result: Mapping[str, Any]) -> None:
        """A training has ended; `done` trials are now finished."""

    def rejected(self, key: str, reason: str) -> None:
        """A candidate is over the limit and not trained."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass
class Pace:
    """The speed of a training or a study; what was done before, such as a checkpoint's steps, does not count.

    `batch` is how many images a step has; 1 where trials are counted.
    """

    batch: int = 1
    first: int | None = None
    begun: float = 0.0
    done: int = 0
    total: int = 0
    now: float = 0.0

    def note(self, done: int, total: int) -> None:
        """Record the number of steps or trials done."""
        self.now, self.total = time.monotonic(), total
        if self.first is None or done < self.done:  # the first report, or a training that was restarted
            self.first, self.begun = done, self.now
        self.done = done

    @property
    def speed(self) -> float | None:
        """Images (or trials) a second, evaluation and waiting included; None before the second report."""
        if self.first is None or self.done <= self.first or self.now <= self.begun:
            return None
        return (self.done - self.first) * self.batch / (self.now - self.begun)

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at that speed."""
        return (self.total - self.done) * self.batch / self.speed if self.speed else None


class _Paced(Silent):
    """What all displays share: the pace of each training."""

    def __init__(self, console: Console) -> None:
        self.console, self.total = console, 0
        self.paces: dict[str, Pace] = {}

    def started(self, key: str, recipe: Mapping[str, Any]) -> None:
        """Begin to measure a training's pace."""
        self.paces[key] = Pace(int(recipe["batch"]))

    def step(self, key: str, done: int, steps: int) -> None:
        """Record a training's step."""
        self.paces[key].note(done, steps)

    def remaining(self, key: str) -> float | None:
        """Return the seconds that a training will still take; None where that is unknown."""
        return self.paces[key].remaining if key in self.paces else None


class TextLines(_Paced):
    """One line an event, for log files."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.start = time.monotonic()

    def begin(self, title: str, total: int, done: int) -> None:
        """Print the title and how much is done."""
        self.total = total
        self._print(f"{title}: {done} of {total} done")

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """Print an epoch's figures."""
        self._print(f"{key} {describe(metrics, self.remaining(key))}")

    def finished(self, key: str, text: str, done: int, result: Mapping[str, Any]) -> None:
        """Print how a training ended."""
        self._print(f"{key} {text} ({done} of {self.total})")

    def note(self, text: str) -> None:
        """Print it."""
        self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(
            f"[{time.monotonic() - self.start:7.1f} s] {text}", markup=False, highlight=False, soft_wrap=True
        )


class JsonLines(_Paced):
    """One JSON object an event, a line each; the keys of each event are those of `docs/batch_jobs.md`."""

    def begin(self, title: str, total: int, done: int) -> None:
        """Print the title and how much is done."""
        self.total = total
        self._print("begin", run=title, done=done, total=total)

    def started(self, key: str, recipe: Mapping[str, Any]) -> None:
        """Print that a training begins or resumes."""
        super().started(key, recipe)
        self._print("started", training=key, epochs=recipe["epochs"], batch=recipe["batch"])

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """Print an epoch's figures."""
        left = self.remaining(key)
        values = {"restored": False, **metrics, "remaining_seconds": None if left is None else round(left, 1)}
        self._print("epoch", training=key, **values)

    def finished(self, key: str, text: str, done: int, result: Mapping[str, Any]) -> None:
        """Print how a training ended."""
        figures = {name: result.get(name) for name in _FIGURES}
        self._print("finished", training=key, state=result["state"], **figures, done=done, total=self.total)

    def rejected(self, key: str, reason: str) -> None:
        """Print which candidate is not trained, and why."""
        self._print("rejected", training=key, reason=reason)

    def note(self, text: str) -> None:
        """Print it."""
        self._print("note", text=text)

    def close(self) -> None:
        """Print the last event."""
        self._print("end")

    def _print(self, event: str, **what: Any) -> None:
        line = {"event": event, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **what}
        print(json.dumps(line), file=self.console.file, flush=True)


class Bars(_Paced):
    """Bars that move, on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", justify="right"),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self.study: TaskID | None = None
        self.pace = Pace()
        self.over = 0
        self.tasks: dict[str, TaskID] = {}
        self.figures: dict[str, str] = {}

    def begin(self, title: str, total: int, done: int) -> None:
        """Open the study's bar."""
        self.bars.start()
        self.study = self.bars.add_task(title, total=total, completed=done, left="", text="")
        self.total = total
        self.pace.note(done, total)

    def started(self, key: str, recipe: Mapping[str, Any]) -> None:
        """Open a training's bar."""
        super().started(key, recipe)
        self.tasks[key] = self.bars.add_task(f"  {key}", total=None, left="", text="starting")

    def step(self, key: str, done: int, steps: int) -> None:
        """Move a training's bar."""
        super().step(key, done, steps)
        pace = self.paces[key]
        speed = f"{pace.speed:.0f} img/s" if pace.speed else ""
        text = ", ".join(filter(None, (self.figures.get(key), speed)))
        self.bars.update(self.tasks[key], total=steps, completed=done, left=left(pace.remaining), text=text)

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """Write loss and accuracy next to a training's bar."""
        self.figures[key] = _figures(metrics)
        self.bars.update(self.tasks[key], text=describe(metrics))

    def finished(self, key: str, text: str, done: int, result: Mapping[str, Any]) -> None:
        """Close a training's bar and move the study's."""
        task = self.tasks.pop(key, None)
        if task is not None:
            self.bars.remove_task(task)
        self.bars.console.print(f"{key} {text}", markup=False, highlight=False)
        if self.study is not None:
            self.pace.note(done, self.total)
            self.bars.update(self.study, completed=done, left=left(self.pace.remaining))

    def rejected(self, key: str, reason: str) -> None:
        """Count it next to the study's bar."""
        self.over += 1
        if self.study is not None:
            self.bars.update(self.study, text=f"{self.over} over the limit, not trained")

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bars as they are."""
        self.bars.stop()


def left(seconds: float | None) -> str:
    """Return a remaining time as `1:02:03 left`; empty where it is unknown."""
    if seconds is None:
        return ""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} left"


def describe(metrics: Mapping[str, Any], remaining: float | None = None) -> str:
    """Return an epoch in a few words."""
    parts = [_figures(metrics), f"{metrics['images_per_second']:.0f} img/s"]
    parts += ["restored" if metrics.get("restored") else left(remaining)]
    return ", ".join(filter(None, parts))


def _figures(metrics: Mapping[str, Any]) -> str:
    judged = metrics.get("val_accuracy")
    accuracy = (
        f"held-out accuracy {judged:.2%}"
        if judged is not None
        else f"training accuracy {metrics['train_accuracy']:.2%}"
    )
    return f"epoch {metrics['epoch']}/{metrics['epochs']}: loss {metrics['train_loss']:.4f}, {accuracy}"


def display(console: Console, kind: DisplayName = "auto") -> Silent:
    """Return what shows progress on a console; `auto` is bars on a terminal, plain lines elsewhere."""
    if kind == "auto":
        kind = "bars" if console.is_terminal else "lines"
    kinds: dict[str, Any] = {"bars": Bars, "lines": TextLines, "json": JsonLines}
    return kinds[kind](console) if kind in kinds else Silent()
