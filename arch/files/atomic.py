"""A file that is written as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".inceptory-part"  # in the hidden names of files that are still being written


@contextmanager
def whole_file(path: Path, ending: str = "") -> Iterator[Path]:
    """Give a file beside `path` to be written; left without an error, it takes its place at once.

    Its own name has another ending, so that nothing takes it for a record, unless a writer needs that `ending`.

    Raises
    ------
    OSError
        There is no room, or the folder cannot be written to; names `path`. What was there before is as it was.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART + ending)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            os.chmod(part, 0o644)
            with open(part, "rb+") as written:  # Windows flushes only what may be written
                os.fsync(written.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):  # the folder has become read-only, too
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
