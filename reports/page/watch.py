"""A report that is written again while its run continues."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from arch.errors import InputError
from reports.page.index import index
from reports.page.report import report
from reports.runs.load import is_run, load
from reports.runs.progress import progress

_RECORD = (".json", ".jsonl", ".yaml")


def write(run: str | Path, folder: str | Path | None = None, *, static: bool = False, reload: float = 0) -> Path:
    """Write the report of a run, or the index of a folder of runs; return the page's path.

    Raises
    ------
    InputError
        There is no run, or another folder is named for an index.
    """
    if is_run(Path(run)) or not Path(run).is_dir():
        return report(run, folder, static=static, reload=reload)
    if folder:
        raise InputError(f"--to goes with one run; the page of all runs in {run} links to them, so it stands in {run}.")
    return index(run, reload=reload)


def watch(
    run: str | Path,
    folder: str | Path | None = None,
    *,
    static: bool = False,
    every: float = 5.0,
) -> Iterator[Path]:
    """Write a report again whenever the record changed, at most every so many seconds; yield its path each time.

    The page reloads itself meanwhile. It ends when the run is complete; a folder of runs is watched for good. However
    it ends, the last page written does not reload any more.

    Raises
    ------
    InputError
        There is no run.
    """
    seen: object = None
    try:
        while True:
            now = _record(Path(run))
            if now != seen:
                if _complete(Path(run)):
                    break
                yield write(run, folder, static=static, reload=every)
                seen = now
            time.sleep(every)
    finally:
        last = write(run, folder, static=static)
    yield last


def _complete(run: Path) -> bool:
    return is_run(run) and progress(load(run)).complete


def _record(run: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file of a record; what reports write is none of it."""
    found = {}
    for path, below, names in os.walk(run):
        below[:] = [name for name in below if name != "report"]
        for name in names:
            if name.endswith(_RECORD) and not name.startswith("."):
                with suppress(FileNotFoundError):  # replaced meanwhile
                    about = (Path(path) / name).stat()
                    found[os.path.join(path, name)] = (about.st_size, about.st_mtime_ns)
    return found
