"""What runs on a node of a Ray cluster: one training, in the run directory or in a temporary folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import torch

from search.data.dataset import data_root
from search.engines.task import Task
from search.engines.worker import train_task
from search.record.lock import locked
from search.training.fit import Control

_REPORT_EVERY = 1.0  # seconds between two reports of the current step
_FOLDER_FREE = 120.0  # seconds that an earlier attempt has to release the folder of its training


@dataclass(frozen=True)
class DriverInfo:
    """What a node needs from the driver: its marker file in the run directory, version and data root."""

    marker: str
    token: str
    version: str
    data: str
    threads: int
    attempts: int  # the most that a training has in all

    def shared(self) -> bool:
        """Return whether this node sees the driver's run directory."""
        try:
            return Path(self.marker).read_text() == self.token
        except OSError:
            return False


@dataclass(frozen=True)
class TaskEnd:
    """How a training ended: an event's kind and payload, and the files where the node has no shared run directory."""

    kind: str
    payload: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


class _Replaced(RuntimeError):
    """Another attempt at the same training has begun elsewhere."""


class _MailboxControl(Control):
    """Reports to the driver through the mailbox; where that has ended, the training stops at its checkpoint."""

    def __init__(self, mailbox: Any, key: str, attempt: int) -> None:
        super().__init__()
        self.mailbox, self.key, self.attempt = mailbox, key, attempt
        self.reply: Any = None
        self.reported_at = 0.0

    def tick(self, done: int, steps: int) -> bool:
        now = time.monotonic()
        try:  # a report does not wait for its reply: a later step reads it
            if self.reply is not None and ray.wait([self.reply], timeout=0)[0]:
                self.stop = not ray.get(self.reply)
                self.reply = None
            if self.reply is None and now - self.reported_at > _REPORT_EVERY:
                self.reported_at = now
                self.reply = self.mailbox.step.remote(self.key, self.attempt, (done, steps))
        except ray.exceptions.RayError:  # raised here, it would count as the training's own failure
            self.stop = True
        return not self.stop

    def continues(self, metrics: Mapping[str, Any]) -> bool:
        answer = ray.get(self.mailbox.epoch.remote(self.key, self.attempt, dict(metrics)))
        if answer is None:
            raise _Replaced(f"{self.key}: attempt {self.attempt} was replaced by another one")
        return bool(answer)


def train_here(mailbox: Any, key: str, task: Task, checkpoint: list[Any], driver: DriverInfo) -> TaskEnd:
    """Run a task on this node: in the run directory where the node sees it, else in a temporary folder.

    `checkpoint` holds a reference to the training's checkpoint, if there is one; it travels only where needed.
    """
    version = importlib.metadata.version("inceptory")
    node = platform.node()
    if version != driver.version:
        return TaskEnd(
            "refused", f"node {node} has inceptory {version}, the driver {driver.version}; install one version."
        )
    os.environ.setdefault("INCEPTORY_DATA", driver.data)
    torch.set_num_threads(driver.threads)
    attempt = ray.get(mailbox.begin.remote(key, node))
    if not attempt:
        return TaskEnd("stopped")
    if attempt > driver.attempts:  # Ray restarts what ran out of memory without counting
        return TaskEnd("died", f"its worker or node died {driver.attempts} times")
    control = _MailboxControl(mailbox, key, attempt)
    if driver.shared():
        folder = Path(task.folder)
        with locked(folder, "this training", _FOLDER_FREE):  # an attempt wrongly taken for dead may still hold it
            if (folder / "result.json").exists():  # the node died between writing and reporting
                return TaskEnd("done")
            return TaskEnd(*train_task(task, control, control.continues))
    with tempfile.TemporaryDirectory(prefix="inceptory-") as name:
        folder = Path(name)
        if checkpoint:
            (folder / "checkpoint.pt").write_bytes(ray.get(checkpoint[0]))
        kind, payload = train_task(replace(task, folder=name), control, control.continues)
        return TaskEnd(kind, payload, {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


def driver_info(marker: Path, token: str, threads: int, attempts: int) -> DriverInfo:
    """Return what a node needs from this driver."""
    version = importlib.metadata.version("inceptory")
    return DriverInfo(str(marker), token, version, str(data_root()), threads, attempts)
