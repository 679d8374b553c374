"""Live progress: one line for each running training and one for the study; plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Silent:
    """Shows nothing; what a library call uses unless told otherwise."""

    def begin(self, title: str, total: int, done: int) -> None:
        """A study (or a single training) begins, with so many trials done already."""

    def started(self, key: str, epochs: int) -> None:
        """A training begins or goes on."""

    def step(self, key: str, epoch: int, step: int, steps: int) -> None:
        """A training has done a step of an epoch."""

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """A training has done an epoch."""

    def finished(self, key: str, text: str, done: int) -> None:
        """A training has ended; `done` trials are now finished."""

    def rejected(self, key: str, reason: str) -> None:
        """A candidate was over the limit and is not trained."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def close(self) -> None:
        """Nothing more comes."""


class Plain(Silent):
    """One line an event, for log files."""

    def __init__(self, console: Console) -> None:
        self.console, self.total, self.start = console, 0, time.monotonic()

    def begin(self, title: str, total: int, done: int) -> None:
        """Say what begins."""
        self.total = total
        self._say(f"{title}: {done} of {total} done")

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """Say how the epoch went."""
        self._say(f"{key} {describe(metrics)}")

    def finished(self, key: str, text: str, done: int) -> None:
        """Say how the training ended."""
        self._say(f"{key} {text} ({done} of {self.total})")

    def note(self, text: str) -> None:
        """Say it."""
        self._say(text)

    def _say(self, text: str) -> None:
        self.console.print(
            f"[{time.monotonic() - self.start:7.1f} s] {text}", markup=False, highlight=False, soft_wrap=True
        )


class Live(Silent):
    """Bars that move, on a terminal."""

    def __init__(self, console: Console) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self.study: TaskID | None = None
        self.over = 0
        self.tasks: dict[str, TaskID] = {}
        self.epochs: dict[str, int] = {}

    def begin(self, title: str, total: int, done: int) -> None:
        """Open the study's bar."""
        self.bars.start()
        self.study = self.bars.add_task(title, total=total, completed=done, text="")

    def started(self, key: str, epochs: int) -> None:
        """Open a training's bar."""
        self.epochs[key] = epochs
        self.tasks[key] = self.bars.add_task(f"  {key}", total=None, text="starting")

    def step(self, key: str, epoch: int, step: int, steps: int) -> None:
        """Move a training's bar."""
        done = (epoch - 1) * steps + step
        self.bars.update(self.tasks[key], total=self.epochs[key] * steps, completed=done)

    def epoch(self, key: str, metrics: Mapping[str, Any]) -> None:
        """Write the accuracy beside a training's bar."""
        self.bars.update(self.tasks[key], text=describe(metrics))

    def finished(self, key: str, text: str, done: int) -> None:
        """Close a training's bar and move the study's."""
        task = self.tasks.pop(key, None)
        if task is not None:
            self.bars.remove_task(task)
        self.bars.console.print(f"{key} {text}", markup=False, highlight=False)
        if self.study is not None:
            self.bars.update(self.study, completed=done)

    def rejected(self, key: str, reason: str) -> None:
        """Count it beside the study's bar."""
        self.over += 1
        if self.study is not None:
            self.bars.update(self.study, text=f"{self.over} over the limit, not trained")

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bars as they are."""
        self.bars.stop()


def describe(metrics: Mapping[str, Any]) -> str:
    """Return an epoch in a few words."""
    judged = metrics.get("val_accuracy")
    accuracy = (
        f"held-out accuracy {judged:.2%}"
        if judged is not None
        else f"training accuracy {metrics['train_accuracy']:.2%}"
    )
    return (
        f"epoch {metrics['epoch']}/{metrics['epochs']}: loss {metrics['train_loss']:.4f}, {accuracy}, "
        f"{metrics['images_per_second']:.0f} img/s"
    )


def display(console: Console) -> Silent:
    """Return bars on a terminal, plain lines elsewhere."""
    return Live(console) if console.is_terminal else Plain(console)
