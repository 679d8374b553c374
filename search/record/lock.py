"""One writer at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from arch.errors import InputError
from search.record.files import WriteError, no_link, unwritable


@dataclass(frozen=True)
class Held:
    """A folder that this process holds."""

    folder: Path
    inode: int

    def check(self) -> None:
        """Raise WriteError where the folder was removed, or replaced, since it was taken; writes would make it anew."""
        try:
            same = os.stat(self.folder / ".lock").st_ino == self.inode
        except OSError:
            same = False
        if not same:
            raise WriteError(
                f"{self.folder}: was removed or replaced while this process was at work in it; what was in it is gone "
                "from here. Bring it back, or begin anew, and give the same command again."
            )


@contextmanager
def locked(folder: Path, what: str) -> Iterator[Held]:
    """Hold a folder for this process; the system lets go of it when the process ends, however.

    Raises
    ------
    InputError
        Another process holds it; `what` says what that one is at work on.
    WriteError
        The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a", opener=no_link)  # noqa: SIM115 - closed below
    except OSError as error:
        raise unwritable(folder / ".lock", error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: another process is at work on {what}; wait for it or stop it.") from None
        yield Held(folder, os.fstat(file.fileno()).st_ino)
