"""Ctrl-C and SIGTERM, turned into a request to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_AT_ONCE_AFTER = 0.5  # seconds; a second SIGINT sooner is the same Ctrl-C, passed on by a parent


@contextmanager
def caught(catch: Callable[[int], None]) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into calls of `catch`; in a thread other than the main one, change nothing.

    A second Ctrl-C is a KeyboardInterrupt: the person does not want to wait for checkpoints. A second SIGTERM
    changes nothing, as batch systems repeat it.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    interrupts: list[float] = []  # when SIGINT came

    def handle(number: int, _: object) -> None:
        if number == signal.SIGINT:
            interrupts.append(time.monotonic())
            if interrupts[-1] - interrupts[0] > _AT_ONCE_AFTER:
                raise KeyboardInterrupt
        catch(number)

    try:
        before = [signal.signal(number, handle) for number in numbers]
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
