"""Atomic writes: a file is replaced completely or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".inceptory-part"  # in the hidden names of files that are still being written


@contextmanager
def atomic_file(path: Path, ending: str = "") -> Iterator[Path]:
    """Yield a temporary file next to `path` to write to; on leaving without an error it replaces `path`.

    Its name ends in `PART`, so that nothing reads it as a record, and in `ending` where a writer needs that.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written to; names `path`. The old file is unchanged.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART + ending)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            os.chmod(part, 0o644)
            # On disk before it is renamed: after a power cut the name must not lead to an empty file.
            with open(part, "rb+") as written:  # Windows flushes only what may be written
                os.fsync(written.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):  # the folder has become read-only as well
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
