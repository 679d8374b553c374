"""Storages by URL: which there are, which are refused, passwords that stay hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import arch
from search.storage.urls import open_storage, shown


def test_sqlite_waits_for_another_writer(tmp_path: Path) -> None:
    storage: Any = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


@pytest.mark.parametrize(
    ("url", "as_shown"),
    [
        ("", ""),
        ("sqlite:///runs/study.db", "sqlite:///runs/study.db"),
        ("journal:///runs/study.log", "journal:///runs/study.log"),
        ("postgresql+psycopg://me:se%40cret@host:1/db", "postgresql+psycopg://me:***@host:1/db"),
        ("postgresql://host/db?password=secret&user=me", "postgresql://host/db?password=hidden&user=me"),
        ("postgresql://me:secret@host:port/db", "postgresql://***"),
        ("secret", "***"),
    ],
)
def test_no_password_is_shown(url: str, as_shown: str) -> None:
    assert shown(url) == as_shown


@pytest.mark.parametrize(
    ("url", "fragments"),
    [
        ("postgresql://me:secret@127.0.0.1:1/db", ["cannot be opened", "me:***@"]),
        ("mysql://me:secret@host/db", ["no storage of kind 'mysql'", "postgresql", "me:***@"]),
        ("sqllite:///x.db", ["Did you mean sqlite"]),
        ("study.db", ["not a URL"]),
        ("journal:///proc/none/study.log", ["cannot be opened"]),
        ("sqlite:////proc/none/study.db", ["cannot be opened"]),
    ],
)
def test_wrong_urls_are_refused_without_their_password(url: str, fragments: list[str]) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(arch.InputError) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(arch.InputError, match=r"pip install 'inceptory\[postgres\]'"):
        open_storage("postgresql://host/db")
