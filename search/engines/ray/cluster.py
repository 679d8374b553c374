"""The engine that runs trainings on the nodes of a Ray cluster."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from arch.errors import InputError
from search.engines.base import STOP_WITHIN, EngineConfig, Event
from search.engines.ray.mailbox import Mailbox, Message
from search.engines.task import Task
from search.record.files import replace_file, write_text
from search.record.layout import CHECKPOINT
from search.training.hardware import cores

_LONG_POLL = 10.0  # seconds that the mailbox waits for a message
_SIZE_EVERY = 5.0  # seconds between two looks at how large the cluster is
_END_WITHIN = 10.0  # seconds that killed trainings have to be gone
_OBJECTS = 100 << 20  # bytes of the object store of a cluster that is started here: hardly anything goes through it


@dataclass
class _Submission:
    """A training that was submitted to Ray: its task, its attempt, and from when on it counts as hanging."""

    key: str
    task: Task
    attempt: int = 0  # 0: waits for resources
    until: float = float("inf")
    killed: str = ""


class Cluster:
    """One Ray task a training; Ray starts it elsewhere when its node dies, at most `max_retries` times.

    Epochs, answers and the request to stop go through a mailbox on this driver's node. Where a node sees the
    run directory, the training writes there, and an attempt resumes from the last one's checkpoint. Where
    it does not, its files come back through Ray, and an attempt after a dead node begins from the first step.
    """

    attempts = 1  # of the supervisor's: Ray has restarted the training itself

    def __init__(self, config: EngineConfig, run: Path) -> None:
        self.config, self.run = config, run.absolute()
        self._ray, self._started_here = _connect(config.address)
        from search.engines.ray.node import driver_info, train_here

        # A node that reads this token from the marker file sees the driver's run directory.
        self._token = uuid.uuid4().hex
        self._marker = self.run / f".seen-{self._token}"
        self._driver = driver_info(self._marker, self._token, config.threads, config.max_retries + 1)
        reserved = {"num_cpus": config.cpus, "num_gpus": config.gpus, "max_retries": config.max_retries}
        self._train = self._ray.remote(**reserved)(train_here)
        self._mailbox = self._ray.remote(num_cpus=0)(Mailbox).options(**self._on_driver_node()).remote()
        try:  # a first call shows whether the cluster can import this package
            self._ray.get(self._mailbox.take.remote(0.0))
        except self._ray.exceptions.RayError as error:
            self._disconnect()
            reason = next((line for line in str(error).splitlines() if "No module" in line), type(error).__name__)
            raise InputError(f"engine ray: a node cannot start ({reason}); install inceptory on every node.") from None
        self._submissions: dict[Any, _Submission] = {}
        self._delivery: Any = None  # the mailbox's next delivery
        self._stop, self._stopping, self._stop_until = False, False, float("inf")
        self._size, self._sized = 1, float("-inf")

    def _on_driver_node(self) -> dict[str, Any]:
        """Return options that place the mailbox on the driver's node; Ray's client has no node, and leaves it to Ray."""
        from ray.util import client
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {"max_concurrency": 100_000}  # each training waits there for its answers
        if not client.ray.is_connected():
            node = self._ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        return options

    @property
    def slots(self) -> int:
        """How many trainings the cluster has resources for now, at least 1; or `workers`."""
        if self.config.workers:
            return self.config.workers
        if time.monotonic() - self._sized > _SIZE_EVERY:
            resources = self._ray.cluster_resources()
            fitting = resources.get("CPU", 0) / self.config.cpus
            if self.config.gpus:
                fitting = min(fitting, resources.get("GPU", 0) / self.config.gpus)
            self._size, self._sized = max(1, int(fitting)), time.monotonic()
        return self._size

    def start(self, key: str, task: Task) -> None:
        """Submit a task to Ray, which starts it where resources are free."""
        if not self._marker.exists():
            write_text(self._marker, self._token)
        self._submit(_Submission(key, replace(task, folder=str(Path(task.folder).absolute()))))

    def _submit(self, sent: _Submission) -> None:
        # The checkpoint goes as a reference: only a node that does not see the run directory fetches it.
        path = Path(sent.task.folder) / CHECKPOINT
        checkpoint = [self._ray.put(path.read_bytes())] if path.exists() else []
        self._submissions[self._train.remote(self._mailbox, sent.key, sent.task, checkpoint, self._driver)] = sent

    def events(self, timeout: float) -> list[Event]:
        """Return what the mailbox holds and which trainings have ended."""
        self._pass_on_stop()
        self._kill_hanging()
        if not self._submissions:
            return []
        # One wait covers both: the mailbox's next delivery, and the end of any training.
        self._delivery = self._delivery or self._mailbox.take.remote(_LONG_POLL)
        refs = [self._delivery, *self._submissions]
        self._ray.wait(refs, num_returns=1, timeout=timeout)
        # Then take all that is ready. Messages come first: an epoch precedes the end of its training.
        ready = self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]
        found = []
        if self._delivery in ready:
            found += self._read(self._ray.get(self._delivery))
            self._delivery = None
        return found + [event for ref in ready if ref in self._submissions for event in self._collected(ref)]

    def _read(self, messages: list[Message]) -> list[Event]:
        """Return the events in a delivery; messages of an attempt that another one has replaced are dropped."""
        by_key = {sent.key: sent for sent in self._submissions.values()}
        found = []
        # First find each training's newest attempt; a later attempt means that Ray restarted the training.
        for key, attempt, kind, payload in messages:
            if kind == "begun" and key in by_key:
                sent = by_key[key]
                sent.attempt = attempt
                sent.until = time.monotonic() + self.config.time_limit if self.config.time_limit else float("inf")
                if attempt > 1 and attempt <= self._driver.attempts:
                    why = sent.killed or "its worker or node died"
                    sent.killed = ""
                    text = f"{why}; attempt {attempt} of {self._driver.attempts}, on {payload}"
                    found.append(Event(key, "restarted", text))
        for key, attempt, kind, payload in messages:
            if kind != "begun" and key in by_key and by_key[key].attempt == attempt:
                found.append(Event(key, kind, payload))
        return found

    def _collected(self, ref: Any) -> list[Event]:
        """Return how a training ended, with its files in its folder."""
        from ray import exceptions

        sent = self._submissions.pop(ref)
        try:
            ended = self._ray.get(ref)
        except exceptions.TaskCancelledError:
            return self._without_result(sent, "it was cancelled")
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, BaseException) else error
            if isinstance(cause, ImportError):
                where = "a node lacks something; install inceptory and what it needs on every node"
                return [Event(sent.key, "refused", f"{where} ({cause}).")]
            return self._without_result(sent, f"{type(cause).__name__}: {cause}".splitlines()[0])
        except exceptions.RayError as error:
            return self._without_result(sent, f"its worker or node died ({type(error).__name__})")
        return [self._with_result(sent, ended)]

    def _with_result(self, sent: _Submission, ended: Any) -> Event:
        folder = Path(sent.task.folder)
        # The result comes last: it marks a complete folder.
        for name in sorted(ended.files, key=lambda name: name == "result.json"):
            _write(folder / name, ended.files[name])
        if ended.kind == "done":
            if not sent.task.pauses:  # a paused training needs it again
                (folder / CHECKPOINT).unlink(missing_ok=True)
            (folder / ".lock").unlink(missing_ok=True)
        return Event(sent.key, ended.kind, ended.payload)

    def _without_result(self, sent: _Submission, why: str) -> list[Event]:
        if self._stopping:
            return [Event(sent.key, "stopped")]
        # Ray does not restart a task that was cancelled, so a hanging training is submitted again here.
        if sent.killed and sent.attempt < self._driver.attempts:
            sent.until = float("inf")
            self._submit(sent)
            return []
        text = f"{sent.killed or why}, attempt {sent.attempt} of {self._driver.attempts}"
        return [Event(sent.key, "died", text)]

    def _kill_hanging(self) -> None:
        now = time.monotonic()
        for ref, sent in self._submissions.items():
            if not sent.killed and now > min(sent.until, self._stop_until):
                sent.killed = f"it took more than {self.config.time_limit:g} s"
                self._ray.cancel(ref, force=True)

    def answer(self, key: str, proceed: bool) -> None:
        """Put the answer into the mailbox."""
        attempt = next(sent.attempt for sent in self._submissions.values() if sent.key == key)
        self._mailbox.answer.remote(key, attempt, proceed)

    def stop(self) -> None:
        """Let the next call of `events` pass the request on; a signal's handler must not call Ray itself."""
        self._stop = True

    def _pass_on_stop(self) -> None:
        if not self._stop or self._stopping:
            return
        self._stopping, self._stop_until = True, time.monotonic() + STOP_WITHIN
        self._mailbox.stop.remote()
        for ref, sent in self._submissions.items():
            if not sent.attempt:  # it waits for resources, perhaps for ever
                self._ray.cancel(ref)

    def close(self) -> None:
        """Kill what still runs, and end the cluster if it was started here."""
        try:
            for ref in self._submissions:
                self._ray.cancel(ref, force=True)
            if self._submissions:
                self._ray.wait(list(self._submissions), num_returns=len(self._submissions), timeout=_END_WITHIN)
            self._ray.kill(self._mailbox)
        finally:
            self._marker.unlink(missing_ok=True)
            self._disconnect()

    def _disconnect(self) -> None:
        if self._started_here:
            self._ray.shutdown()


def _write(path: Path, content: bytes) -> None:
    replace_file(path, lambda temporary: Path(temporary).write_bytes(content))


def _connect(address: str) -> tuple[Any, bool]:
    """Return the ray module, connected, and whether that was done here."""
    if not importlib.util.find_spec("ray"):
        raise InputError("engine ray needs Ray: pip install 'inceptory[ray]'.")
    with _environment(address):
        import ray

        if ray.is_initialized():
            return ray, False
        _start(ray, address)
        return ray, True


@contextmanager
def _environment(address: str) -> Iterator[None]:
    """Set the variables that Ray reads, unless the caller has; afterwards remove all that were added, by Ray too."""
    before = set(os.environ)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import, which reads it
    if address.startswith(("local", "127.0.0.1")):
        # By default Ray puts this machine's outer address in the place of a loopback one, and listens to the network.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


def _start(ray: Any, address: str) -> None:
    """Connect to a cluster, or start one here, and leave the caller's SIGTERM handler as it is."""
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if address == "local":
        options |= {"num_cpus": len(cores()), "object_store_memory": _OBJECTS, "include_dashboard": False}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"engine ray: no cluster answers at '{address}' ({reason}); start one with `ray start --head`, "
            "name its --address, or use --address local."
        ) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there, which ends this process
