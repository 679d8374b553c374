"""Trainings on the nodes of a Ray cluster, asked and told by this driver."""

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
from search.engines.ray.mailbox import Letter, Mailbox
from search.engines.task import Task
from search.record.files import replace_file, write_text
from search.training.hardware import cores

_LONG_POLL = 10.0  # seconds that the mailbox waits for something to say
_SIZE_EVERY = 5.0  # seconds between two looks at how large the cluster is
_LEAVE_WITHIN = 10.0  # seconds that killed trainings have to be gone
_OBJECTS = 100 << 20  # bytes of the object store of a cluster of our own: hardly anything goes through it


@dataclass
class _Sent:
    """A training that Ray has: what it is, its attempt, and when it is taken for hanging."""

    key: str
    task: Task
    attempt: int = 0  # 0: waits for room
    until: float = float("inf")
    killed: str = ""


class Cluster:
    """One Ray task a training; Ray starts it elsewhere when its node dies, at most `max_retries` times.

    Epochs, answers and the wish to stop go through a mailbox on this driver's node. Where a node sees the
    run directory, the training writes there and an attempt goes on from the last one's checkpoint; where
    it does not, its files come back through Ray, and an attempt after a lost node starts anew.
    """

    attempts = 1  # what is lost here has been started often enough

    def __init__(self, config: EngineConfig, run: Path) -> None:
        self.config, self.run = config, run.absolute()
        self._ray, self._ours = _connect(config.address)
        from search.engines.ray.node import default_place, train_here

        self._token = uuid.uuid4().hex
        self._marker = self.run / f".seen-{self._token}"
        self._place = default_place(self._marker, self._token, config.threads, config.max_retries + 1)
        reserved = {"num_cpus": config.cpus, "num_gpus": config.gpus, "max_retries": config.max_retries}
        self._train = self._ray.remote(**reserved)(train_here)
        self._mailbox = self._ray.remote(num_cpus=0)(Mailbox).options(**self._beside_driver()).remote()
        try:
            self._ray.get(self._mailbox.take.remote(0.0))
        except self._ray.exceptions.RayError as error:
            self._leave()
            reason = next((line for line in str(error).splitlines() if "No module" in line), type(error).__name__)
            raise InputError(f"engine ray: a node cannot begin ({reason}); install inceptory on every node.") from None
        self._sent: dict[Any, _Sent] = {}
        self._post: Any = None  # the mailbox's next delivery
        self._stop, self._stopping, self._stop_until = False, False, float("inf")
        self._size, self._sized = 1, float("-inf")

    def _beside_driver(self) -> dict[str, Any]:
        """Return how the mailbox is placed; through Ray's client the driver is no node, and its head is as good."""
        from ray.util import client
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {"max_concurrency": 100_000}  # each training waits there for its answers
        if not client.ray.is_connected():
            node = self._ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        return options

    @property
    def slots(self) -> int:
        """The trainings that the cluster has room for as it is now, at least 1; or `workers`."""
        if self.config.workers:
            return self.config.workers
        if time.monotonic() - self._sized > _SIZE_EVERY:
            there = self._ray.cluster_resources()
            room = there.get("CPU", 0) / self.config.cpus
            if self.config.gpus:
                room = min(room, there.get("GPU", 0) / self.config.gpus)
            self._size, self._sized = max(1, int(room)), time.monotonic()
        return self._size

    def start(self, key: str, task: Task) -> None:
        """Hand a task to Ray, which starts it where there is room."""
        if not self._marker.exists():
            write_text(self._marker, self._token)
        self._submit(_Sent(key, replace(task, folder=str(Path(task.folder).absolute()))))

    def _submit(self, sent: _Sent) -> None:
        path = Path(sent.task.folder) / "checkpoint.pt"
        checkpoint = [self._ray.put(path.read_bytes())] if path.exists() else []
        self._sent[self._train.remote(self._mailbox, sent.key, sent.task, checkpoint, self._place)] = sent

    def events(self, timeout: float) -> list[Event]:
        """Return what the mailbox holds and which trainings have ended."""
        self._pass_on_stop()
        self._kill_hanging()
        if not self._sent:
            return []
        self._post = self._post or self._mailbox.take.remote(_LONG_POLL)
        refs = [self._post, *self._sent]
        self._ray.wait(refs, num_returns=1, timeout=timeout)
        ready = self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]
        found = []
        if self._post in ready:
            found += self._read(self._ray.get(self._post))
            self._post = None
        return found + [event for ref in ready if ref in self._sent for event in self._ended(ref)]

    def _read(self, letters: list[Letter]) -> list[Event]:
        by_key = {sent.key: sent for sent in self._sent.values()}
        found = []
        for key, attempt, kind, payload in letters:
            if kind == "begun" and key in by_key:
                sent = by_key[key]
                sent.attempt = attempt
                sent.until = time.monotonic() + self.config.time_limit if self.config.time_limit else float("inf")
                if attempt > 1 and attempt <= self._place.attempts:
                    why = sent.killed or "its worker or node was lost"
                    sent.killed = ""
                    text = f"{why}; attempt {attempt} of {self._place.attempts}, on {payload}"
                    found.append(Event(key, "again", text))
        for key, attempt, kind, payload in letters:
            if kind != "begun" and key in by_key and by_key[key].attempt == attempt:
                found.append(Event(key, kind, payload))
        return found

    def _ended(self, ref: Any) -> list[Event]:
        from ray import exceptions

        sent = self._sent.pop(ref)
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
            return self._without_result(sent, f"its worker or node was lost ({type(error).__name__})")
        return [self._with_result(sent, ended)]

    def _with_result(self, sent: _Sent, ended: Any) -> Event:
        folder = Path(sent.task.folder)
        for name in sorted(
            ended.files, key=lambda name: name == "result.json"
        ):  # the result last: it says that all is there
            _write(folder / name, ended.files[name])
        if ended.kind == "done":
            (folder / "checkpoint.pt").unlink(missing_ok=True)
            (folder / ".lock").unlink(missing_ok=True)
        return Event(sent.key, ended.kind, ended.payload)

    def _without_result(self, sent: _Sent, why: str) -> list[Event]:
        if self._stopping:
            return [Event(sent.key, "stopped")]
        if sent.killed and sent.attempt < self._place.attempts:  # Ray does not start anew what was killed here
            sent.until = float("inf")
            self._submit(sent)
            return []
        return [Event(sent.key, "lost", f"{sent.killed or why}, attempt {sent.attempt} of {self._place.attempts}")]

    def _kill_hanging(self) -> None:
        now = time.monotonic()
        for ref, sent in self._sent.items():
            if not sent.killed and now > min(sent.until, self._stop_until):
                sent.killed = f"it took more than {self.config.time_limit:g} s"
                self._ray.cancel(ref, force=True)

    def answer(self, key: str, go_on: bool) -> None:
        """Put the answer into the mailbox."""
        attempt = next(sent.attempt for sent in self._sent.values() if sent.key == key)
        self._mailbox.answer.remote(key, attempt, go_on)

    def stop(self) -> None:
        """Let the next call for events pass the wish on; a signal's handler must not talk to Ray itself."""
        self._stop = True

    def _pass_on_stop(self) -> None:
        if not self._stop or self._stopping:
            return
        self._stopping, self._stop_until = True, time.monotonic() + STOP_WITHIN
        self._mailbox.stop.remote()
        for ref, sent in self._sent.items():
            if not sent.attempt:  # it waits for room, perhaps for ever
                self._ray.cancel(ref)

    def close(self) -> None:
        """Kill what still runs, and leave the cluster, or end it where it is our own."""
        try:
            for ref in self._sent:
                self._ray.cancel(ref, force=True)
            if self._sent:
                self._ray.wait(list(self._sent), num_returns=len(self._sent), timeout=_LEAVE_WITHIN)
            self._ray.kill(self._mailbox)
        finally:
            self._marker.unlink(missing_ok=True)
            self._leave()

    def _leave(self) -> None:
        if self._ours:
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
    """Set what Ray and the processes that it starts read, where the caller has not, and take out what was added, by Ray too."""
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
