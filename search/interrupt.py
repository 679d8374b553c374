"""Ctrl-C and SIGTERM, turned into a wish to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def caught(catch: Callable[[int], None]) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into calls of `catch`; in a thread other than the main one, change nothing."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, lambda n, _: catch(n)) for number in numbers]
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
