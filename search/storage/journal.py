"""A storage in a journal file, where each change of a trial is a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from search.record.files import cut_torn, unwritable


class _CutJournal(JournalFileBackend):
    """A journal file that is cut after its last complete line when it is opened.

    Every writer holds Optuna's lock, a file `<name>.lock`, until its lines are complete. So under that lock an
    incomplete line is one that a crash tore, even while other writers are running. Optuna breaks the lock of a
    dead writer after 30 s.
    """

    def __init__(self, path: Path) -> None:
        self._path, lock = (
            path,
            JournalFileOpenLock(str(path)),
        )  # not the default, a link: Windows lets only some users make one
        super().__init__(str(path), lock)
        lock.acquire()
        try:
            cut_torn(path)
        finally:
            lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; where the disk is full, the next opening cuts an incomplete line."""
        try:
            super().append_logs(logs)
        except OSError as error:
            raise unwritable(self._path, error) from error


def open_journal(path: Path) -> JournalStorage:
    """Return the storage in a file, which is created where it does not exist.

    Raises
    ------
    OSError, ValueError
        It cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(_CutJournal(path))
