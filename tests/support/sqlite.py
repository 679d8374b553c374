"""SQLite without its patience."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event


@pytest.fixture
def unsafe_but_quick() -> Iterator[None]:
    """Let SQLite not wait for the disk."""

    def pragma(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", pragma)
    yield
    event.remove(Engine, "connect", pragma)
