"""Open a study's storage by its URL: SQLite, PostgreSQL or a journal file."""

from __future__ import annotations

import errno
import importlib.util
from collections.abc import Callable
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from arch.errors import InputError, masked, near
from search.record.files import WriteError, unwritable
from search.storage.journal import open_journal
from search.storage.postgres import PATIENCE, Patience, PatientStorage, never

_SQLITE_BUSY = 60.0  # seconds that SQLite waits for another writer
JOURNAL = "journal://"
_KNOWN = ("sqlite", "postgresql", "journal")


def open_storage(url: str, *, patience: float = PATIENCE, give_up: Callable[[], bool] = never) -> BaseStorage:
    """Return the Optuna storage of a URL, which any Optuna script can open as well.

    `sqlite:///file.db` waits up to 60 s for another writer. `postgresql+psycopg://user@host/database`
    (extra `postgres`) waits for a server that fails in the middle of a study, and then continues
    without a lost or a double trial. `journal:///folder/file.log` is a file of lines (`journal://file.log`
    is relative to the working folder); a last line that a crash cut short is set aside in `file.log.torn`.

    Parameters
    ----------
    patience : how long to wait for a PostgreSQL server that does not answer, in s.
    give_up : called between two tries; true ends the wait.

    Raises
    ------
    InputError
        The URL is of no known kind, its driver is not installed, or nothing answers there. No message
        shows a password.
    """
    if url.startswith(JOURNAL):
        return _journal(Path(url.removeprefix(JOURNAL)))
    parsed = parse(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _opened(lambda: RDBStorage(url, {"connect_args": {"timeout": _SQLITE_BUSY}}), url)
    if kind != "postgresql":
        raise InputError(
            f"storage '{shown(url)}': no storage of kind '{kind}'.{near(kind, _KNOWN)} Known: {', '.join(_KNOWN)}."
        )
    if not importlib.util.find_spec("psycopg"):
        raise InputError(f"storage '{shown(url)}' needs psycopg: pip install 'inceptory[postgres]'.")
    full = parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    return _opened(lambda: PatientStorage(full, Patience(patience, give_up)), url)


def file_of(url: str) -> Path | None:
    """Return the file that a storage lies in; None for a server, or for memory."""
    if url.startswith(JOURNAL):
        return Path(url.removeprefix(JOURNAL))
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def unwritten(url: str, error: Exception) -> WriteError | InputError | None:
    """Return the error for a storage's file that could not be written; None for a server, whose own error says it."""
    path, cause = file_of(url), error if isinstance(error, SQLAlchemyError) else error.__cause__
    if path is None or cause is None:
        return None
    reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
    number = errno.ENOSPC if "full" in reason else errno.EROFS if "readonly" in reason else errno.EIO
    return unwritable(path, OSError(number, reason))


def shown(url: str) -> str:
    """Return a storage URL as it may be shown and recorded: without the passwords in it."""
    if not url or url.startswith(JOURNAL):
        return url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return f"{url.partition('://')[0]}://***" if "://" in url else "***"
    secret = {key: "hidden" for key in parsed.query if "password" in key.lower()}
    return masked(parsed.update_query_dict(secret).render_as_string(hide_password=True))


def parse(url: str) -> URL:
    """Return a storage URL in its parts.

    Raises
    ------
    InputError
        It is none; the message shows no password.
    """
    url = url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise InputError(
            f"storage '{shown(url)}': not a URL such as sqlite:///study.db, "
            "postgresql+psycopg://user@host/database or journal:///folder/study.log."
        ) from None
    if "@" in (parsed.host or ""):
        raise InputError(
            f"storage '{shown(url)}': an @ in a password is written as %40."
        )  # a driver would show its rest
    return parsed


def _journal(path: Path) -> BaseStorage:
    try:
        return open_journal(path)
    except (OSError, ValueError) as error:
        raise InputError(f"storage '{JOURNAL}{path}': cannot be opened ({error}).") from None


def _opened(make: Callable[[], BaseStorage], url: str) -> BaseStorage:
    try:
        return make()
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
        raise InputError(f"storage '{shown(url)}': cannot be opened ({reason}).") from None
