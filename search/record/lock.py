"""Lock a folder, so that one process at a time writes in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from arch.errors import InputError
from search.record.files import WriteError, refuse_link, unwritable

LOCK = ".lock"


@dataclass(frozen=True)
class Held:
    """A folder that this process holds."""

    folder: Path
    inode: int

    def check(self) -> None:
        """Raise WriteError where the folder was removed or replaced since it was locked; a write would create it."""
        try:
            same = os.stat(self.folder / LOCK).st_ino == self.inode
        except OSError:
            same = False
        if not same:
            raise WriteError(
                f"{self.folder}: was removed or replaced while this process was at work in it; its files are "
                "no longer here. Restore it, or begin again, and give the same command again."
            )


@contextmanager
def locked(folder: Path, what: str, wait: float = 0.2) -> Iterator[Held]:
    """Hold a folder for this process; the system releases it when the process ends, however it ends.

    Parameters
    ----------
    what : what another process that holds it is at work on, for the message.
    wait : seconds that another process has to release it.

    Raises
    ------
    InputError
        Another process holds it.
    WriteError
        The folder cannot be written to.
    """
    path = folder / LOCK
    lock = FileLock(path, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_link(path)
        lock.acquire(timeout=wait)
    except Timeout:
        raise InputError(f"{folder}: another process is at work on {what}; wait for it or stop it.") from None
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield Held(folder, os.stat(path).st_ino)
    finally:
        lock.release()
