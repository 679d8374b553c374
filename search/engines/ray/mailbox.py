"""The mailbox between a driver and the trainings of a Ray cluster: an actor, which imports little."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

Message = tuple[str, int, Literal["begun", "step", "epoch"], Any]  # key, attempt, kind, payload


class Mailbox:
    """Keeps messages until the driver takes them, and passes the driver's answers to the trainings that wait.

    Every attempt at a training has a number. Letters of an attempt that another one has replaced are
    dropped, so that a node that was wrongly taken for dead cannot report for a training that runs elsewhere.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.steps: dict[str, Message] = {}  # only the last of each training matters
        self.news = asyncio.Event()
        self.attempts: dict[str, int] = {}
        self.answers: dict[str, asyncio.Future[bool]] = {}
        self.stopping = False

    async def begin(self, key: str, node: str) -> int:
        """Return the number of the attempt that begins now, from 1; 0 where a stop was requested."""
        if self.stopping:
            return 0
        self.attempts[key] = self.attempts.get(key, 0) + 1
        await self.answer(key, self.attempts[key], False)  # ends the wait of the attempt that this one replaces
        self._post(key, self.attempts[key], "begun", node)
        return self.attempts[key]

    async def step(self, key: str, attempt: int, payload: tuple[int, int]) -> bool:
        """Record a step; return whether the training continues."""
        current = self.attempts[key] == attempt
        if current:
            self.steps[key] = (key, attempt, "step", payload)
            self.news.set()
        return current and not self.stopping

    async def epoch(self, key: str, attempt: int, metrics: dict[str, Any]) -> bool | None:
        """Take an epoch and return the driver's answer; None where another attempt has replaced this one."""
        if self.attempts[key] != attempt:
            return None
        self.answers[key] = answer = asyncio.get_running_loop().create_future()
        self._post(key, attempt, "epoch", metrics)
        given = await answer
        return given if self.attempts[key] == attempt else None

    def _post(self, *message: Any) -> None:
        self.messages.append(message)  # type: ignore[arg-type]
        self.news.set()

    async def take(self, wait: float) -> list[Message]:
        """Return the messages that have come, waiting up to `wait` s for one."""
        try:
            await asyncio.wait_for(self.news.wait(), wait)
        except TimeoutError:
            pass
        self.news.clear()
        taken, self.messages = [*self.messages, *self.steps.values()], []
        self.steps.clear()
        return taken

    async def answer(self, key: str, attempt: int, proceed: bool) -> None:
        """Give the driver's answer to the last epoch."""
        waiting = self.answers.pop(key, None)
        if waiting and not waiting.done() and self.attempts[key] == attempt:
            waiting.set_result(proceed)

    async def stop(self) -> None:
        """Stop every training at its next step, and let no further one begin."""
        self.stopping = True
