"""A file that is written as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file beside `path` to be written, of the same ending; left without an error, it takes its place at once.

    Raises
    ------
    OSError
        There is no room, or the folder cannot be written to; names `path`. What was there before is as it was.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".inceptory-") as folder:
            part = Path(folder) / f"part{path.suffix}"
            yield part
            with open(part, "rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
