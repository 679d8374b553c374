"""The mailbox between a driver and the trainings of a Ray cluster: an actor, which imports little."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

Letter = tuple[str, int, Literal["begun", "step", "epoch"], Any]  # key, attempt, kind, payload


class Mailbox:
    """Keeps letters until the driver takes them, and the driver's answers until they are asked for.

    Every attempt at a training has a number. Letters of an attempt that another one has replaced are
    dropped, so that a node which was only thought dead cannot speak for a training that runs elsewhere.
    """

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.steps: dict[str, Letter] = {}  # only the last of a training is of interest
        self.news = asyncio.Event()
        self.attempts: dict[str, int] = {}
        self.answers: dict[str, asyncio.Future[bool]] = {}
        self.stopping = False

    async def begin(self, key: str, node: str) -> int:
        """Return the number of the attempt that begins now, from 1; 0 where nothing is to begin any more."""
        if self.stopping:
            return 0
        self.attempts[key] = self.attempts.get(key, 0) + 1
        await self.answer(key, self.attempts[key], False)  # lets go of the attempt that this one replaces
        self._post(key, self.attempts[key], "begun", node)
        return self.attempts[key]

    async def step(self, key: str, attempt: int, payload: tuple[int, int]) -> bool:
        """Take note of a step; return whether the training goes on."""
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

    def _post(self, *letter: Any) -> None:
        self.letters.append(letter)  # type: ignore[arg-type]
        self.news.set()

    async def take(self, wait: float) -> list[Letter]:
        """Return what has come in, waiting up to `wait` s for something."""
        try:
            await asyncio.wait_for(self.news.wait(), wait)
        except TimeoutError:
            pass
        self.news.clear()
        taken, self.letters = [*self.letters, *self.steps.values()], []
        self.steps.clear()
        return taken

    async def answer(self, key: str, attempt: int, go_on: bool) -> None:
        """Give the driver's answer to the last epoch."""
        waiting = self.answers.pop(key, None)
        if waiting and not waiting.done() and self.attempts[key] == attempt:
            waiting.set_result(go_on)

    async def stop(self) -> None:
        """Let every training stop at its next step, and no further one begin."""
        self.stopping = True
