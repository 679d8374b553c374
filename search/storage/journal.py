"""Where a study's trials are lines of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from search.record.files import cut_torn, unwritable


class _CutJournal(JournalFileBackend):
    """A journal file that is cut after its last whole line as it is opened.

    Whoever appends holds Optuna's own lock, a file `<name>.lock`, until its lines are whole. So under that lock a line
    without its end is one that a crash tore, whether or not other writers live. Optuna breaks the lock of a
    writer that died with it after 30 s.
    """

    def __init__(self, path: Path) -> None:
        self._path, lock = path, JournalFileOpenLock(str(path))  # no link as by default: these need a right on Windows
        super().__init__(str(path), lock)
        lock.acquire()
        try:
            cut_torn(path)
        finally:
            lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; where there is no room, a line that was begun is cut when the journal is opened again."""
        try:
            super().append_logs(logs)
        except OSError as error:
            raise unwritable(self._path, error) from error


def open_journal(path: Path) -> JournalStorage:
    """Return the storage in a file, which is made where it is not there yet.

    Raises
    ------
    OSError, ValueError
        It cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(_CutJournal(path))
