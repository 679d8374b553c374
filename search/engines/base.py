"""What an engine is: it runs trainings and reports events; and which engine a study or ablation configures.

The driver starts tasks and collects events. After each `epoch` event the engine waits for `answer`;
no other event needs one. A result is in its task's folder before the event `done` comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError
from arch.modules.fused.fused import runs_as
from search.engines.task import Task
from search.training.hardware import cores, pick_device, pick_execution

EventKind = Literal["step", "epoch", "restarted", "done", "stopped", "refused", "unwritable", "died"]
STOP_WITHIN = 120.0  # seconds that a training has for its checkpoint after a request to stop; then it is killed


class EngineConfig(BaseModel):
    """Where trainings run, how many side by side, and with how many threads each; 0 chooses.

    Attributes
    ----------
    name : `inprocess` (one at a time, in this process), `local` (worker processes on this machine) or
        `ray` (a Ray cluster, extra `ray`); `auto` takes `local` for several workers or a time limit,
        else `inprocess`.
    workers : trainings side by side; 0: one a core (`local`; one on a GPU), or all that fit the cluster (`ray`).
    threads : of each training; 0: all cores for one worker, else one (`local`), or as many as `cpus` (`ray`).
    execution : that of `search.fit`.
    time_limit : seconds after which an attempt counts as hanging: it is killed, and fails or is tried again; 0: none.
    address : of the Ray cluster: `auto` (the one that this machine belongs to), `host:port`, `ray://host:port`,
        or `local` (one of its own, on this machine).
    cpus, gpus : what Ray reserves for each training.
    max_retries : how often Ray restarts a training whose worker or node died.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Literal["auto", "inprocess", "local", "ray"] = "auto"
    workers: int = Field(0, ge=0, le=100_000)
    threads: int = Field(0, ge=0, le=1024)
    device: str = "auto"
    execution: Literal["auto", "plain", "fused", "compiled"] = "auto"
    time_limit: float = Field(0.0, ge=0)
    address: str = "auto"
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)
    max_retries: int = Field(3, ge=0, le=1000)

    def settled(self) -> EngineConfig:
        """Return the same with every choice made that this machine decides; a cluster's size is known only as it runs.

        Raises
        ------
        InputError
            `inprocess` with several workers or a time limit, or a device that is not at hand.
        """
        if self.name == "ray":
            return self.model_copy(update={"threads": self.threads or max(1, int(self.cpus))})
        workers = self.workers
        if not workers:
            alone = self.name == "inprocess" or pick_device(self.device).type != "cpu"
            workers = 1 if alone else len(cores())
        if self.name == "inprocess" and (workers > 1 or self.time_limit):
            given = f"workers is {workers}" if workers > 1 else f"time_limit is {self.time_limit:g}"
            raise InputError(f"engine inprocess runs one training and cannot kill it, but {given}; use engine local.")
        name = ("local" if workers > 1 or self.time_limit else "inprocess") if self.name == "auto" else self.name
        threads = self.threads or (1 if workers > 1 else len(cores()))
        return self.model_copy(update={"name": name, "workers": workers, "threads": threads})

    def described(self) -> dict[str, Any]:
        """Return where trainings run, for the record of a run; a cluster's devices are in each trial's record."""
        about: dict[str, Any] = {"engine": self.name, "workers": self.workers, "threads": self.threads}
        if self.name == "ray":
            return about | {"device": self.device, "execution": self.execution}
        device = pick_device(self.device)
        execution = runs_as(pick_execution(self.execution, device), device.type)
        return about | {"device": str(device), "execution": execution}


@dataclass(frozen=True)
class Event:
    """Something that happened to the training called `key`.

    `epoch` carries an epoch's metrics, `step` (steps done, all steps), `refused` what is wrong with the
    task, `unwritable` why its files cannot be written (the disk is full), `died` how its process ended,
    `restarted` the same where the engine itself has already started the task again.
    """

    key: str
    kind: EventKind
    payload: Any = None


class Engine(Protocol):
    """Runs up to `slots` tasks at a time; the driver starts a task whose process died up to `attempts` times in all."""

    attempts: int

    @property
    def slots(self) -> int:
        """How many tasks can run now; a cluster grows and shrinks."""
        ...

    def start(self, key: str, task: Task) -> None:
        """Begin a task; only while fewer than `slots` run."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """Return what has happened, waiting up to `timeout` s for something."""
        ...

    def answer(self, key: str, proceed: bool) -> None:
        """After an epoch: let the training proceed, or end it there as pruned."""
        ...

    def stop(self) -> None:
        """Ask every training to write a checkpoint and stop; may be called by a signal's handler."""
        ...

    def close(self) -> None:
        """End the engine; nothing of it remains."""
        ...
