"""An engine that trains nothing."""

from __future__ import annotations

from search.engines.base import Event
from search.engines.task import Task


class Dying:
    """An engine whose trainings' processes die."""

    slots = 2
    attempts = 3

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.waiting: list[Event] = []

    def start(self, key: str, task: Task) -> None:
        self.begun.append(key)
        self.waiting.append(Event(key, "died", "its process ended with signal SIGKILL"))

    def events(self, timeout: float) -> list[Event]:
        events, self.waiting = self.waiting, []
        return events

    def answer(self, key: str, proceed: bool) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
