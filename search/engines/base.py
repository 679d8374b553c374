"""Where trainings run: what an engine is, the choice of one, and the one in this process.

An engine is started with tasks and asked for events. After each `epoch` event it waits for `answer`;
everything else needs none. Results are in the tasks' folders before `done` is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError
from arch.modules.fused.fused import runs_as
from search.engines.task import Task
from search.training.hardware import cores, pick_device, pick_execution

Kind = Literal["step", "epoch", "again", "done", "stopped", "refused", "unwritable", "lost"]
STOP_WITHIN = 120.0  # seconds that a training has to stop in when it is asked to, before it is killed


class EngineConfig(BaseModel):
    """Where trainings run, how many side by side, and with how many threads each; 0 chooses.

    Attributes
    ----------
    name : `inprocess` (one at a time, in this process), `local` (worker processes on this machine) or
        `ray` (a Ray cluster, extra `ray`); `auto` takes `local` for several workers or a time limit,
        else `inprocess`.
    workers : trainings side by side; 0: one a core (`local`; one on a GPU), all that the cluster has room for (`ray`).
    threads : of each training; 0: all cores for one worker, else one (`local`), or as many as `cpus` (`ray`).
    execution : that of `search.fit`.
    time_limit : seconds after which an attempt is taken for hanging, killed and counted as lost; 0: none.
    address : of the Ray cluster: `auto` (the one that this machine belongs to), `host:port`, `ray://host:port`,
        or `local` (one of its own, on this machine).
    cpus, gpus : what Ray reserves for each training.
    max_retries : how often Ray starts a training again whose worker or node was lost.
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
        """Return the same with everything chosen that can be chosen here; a cluster's size shows as it runs.

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
            asked = f"workers is {workers}" if workers > 1 else f"time_limit is {self.time_limit:g}"
            raise InputError(f"engine inprocess runs one training and cannot kill it, but {asked}; use engine local.")
        name = ("local" if workers > 1 or self.time_limit else "inprocess") if self.name == "auto" else self.name
        threads = self.threads or (1 if workers > 1 else len(cores()))
        return self.model_copy(update={"name": name, "workers": workers, "threads": threads})

    def described(self) -> dict[str, Any]:
        """Return what a run's record says of where it runs; a cluster's devices are in each trial's record."""
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
    task, `unwritable` why its files cannot be written (the disk is full), `lost` how its process ended,
    `again` the same where the engine has started it anew by itself.
    """

    key: str
    kind: Kind
    payload: Any = None


class Engine(Protocol):
    """Runs up to `slots` tasks at a time; a task that was lost is worth starting `attempts` times in all."""

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

    def answer(self, key: str, go_on: bool) -> None:
        """After an epoch: go on, or end the training there as pruned."""
        ...

    def stop(self) -> None:
        """Ask every training to write a checkpoint and stop; may be called by a signal's handler."""
        ...

    def close(self) -> None:
        """End the engine; nothing of it remains."""
        ...
