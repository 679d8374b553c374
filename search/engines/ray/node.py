"""What runs on a node of a Ray cluster: one training, wherever its files end up."""

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
from search.engines.worker import train
from search.record.lock import locked
from search.training.fit import Control

_SAY_EVERY = 1.0  # seconds between two notes about the step under way
_FOLDER_FREE = 120.0  # seconds that an earlier attempt is given to leave the folder of its training


@dataclass(frozen=True)
class Place:
    """What a node must know of the driver: its marker file in the run directory, version and data root."""

    marker: str
    token: str
    version: str
    data: str
    threads: int
    attempts: int  # most that a training has in all

    def shared(self) -> bool:
        """Return whether this node sees the driver's run directory."""
        try:
            return Path(self.marker).read_text() == self.token
        except OSError:
            return False


@dataclass(frozen=True)
class Ended:
    """How a training ended, as an event says it, and its files where the node does not share the driver's."""

    kind: str
    payload: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


class _Replaced(RuntimeError):
    """Another attempt at the same training has begun elsewhere."""


class _Reins(Control):
    """Talks with the driver through the mailbox; where that is gone, the training stops at its checkpoint."""

    def __init__(self, mailbox: Any, key: str, attempt: int) -> None:
        super().__init__()
        self.mailbox, self.key, self.attempt = mailbox, key, attempt
        self.asked: Any = None
        self.said = 0.0

    def tick(self, done: int, steps: int) -> bool:
        now = time.monotonic()
        try:
            if self.asked is not None and ray.wait([self.asked], timeout=0)[0]:
                self.stop = not ray.get(self.asked)
                self.asked = None
            if self.asked is None and now - self.said > _SAY_EVERY:
                self.said = now
                self.asked = self.mailbox.step.remote(self.key, self.attempt, (done, steps))
        except ray.exceptions.RayError:  # raised here it would be taken for the training's own failure
            self.stop = True
        return not self.stop

    def goes_on(self, metrics: Mapping[str, Any]) -> bool:
        answer = ray.get(self.mailbox.epoch.remote(self.key, self.attempt, dict(metrics)))
        if answer is None:
            raise _Replaced(f"{self.key}: attempt {self.attempt} was replaced by another one")
        return bool(answer)


def train_here(mailbox: Any, key: str, task: Task, checkpoint: list[Any], place: Place) -> Ended:
    """Run a task on this node: in the run directory where the node sees it, else in a folder of its own.

    `checkpoint` holds a reference to the training's checkpoint, if there is one; it travels only where needed.
    """
    version = importlib.metadata.version("inceptory")
    node = platform.node()
    if version != place.version:
        return Ended(
            "refused", f"node {node} has inceptory {version}, the driver {place.version}; install one version."
        )
    os.environ.setdefault("INCEPTORY_DATA", place.data)
    torch.set_num_threads(place.threads)
    attempt = ray.get(mailbox.begin.remote(key, node))
    if not attempt:
        return Ended("stopped")
    if attempt > place.attempts:  # Ray starts what ran out of memory anew without counting
        return Ended("lost", f"its worker or node was lost {place.attempts} times")
    reins = _Reins(mailbox, key, attempt)
    if place.shared():
        folder = Path(task.folder)
        with locked(folder, "this training", _FOLDER_FREE):  # one that was only thought dead may still be leaving it
            if (folder / "result.json").exists():  # the node was lost between writing and saying so
                return Ended("done")
            return Ended(*train(task, reins, reins.goes_on))
    with tempfile.TemporaryDirectory(prefix="inceptory-") as name:
        folder = Path(name)
        if checkpoint:
            (folder / "checkpoint.pt").write_bytes(ray.get(checkpoint[0]))
        kind, payload = train(replace(task, folder=name), reins, reins.goes_on)
        return Ended(kind, payload, {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


def default_place(marker: Path, token: str, threads: int, attempts: int) -> Place:
    """Return what a node must know of this driver."""
    version = importlib.metadata.version("inceptory")
    return Place(str(marker), token, version, str(data_root()), threads, attempts)
