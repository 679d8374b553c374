"""The application that commands register with, and how it ends."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from arch.errors import InputError
from inceptory.printing import again, err

# what is wrong with a path itself, not with the machine
_NO_PATH = (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL)
_TERMINATED = 128 + signal.SIGTERM
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # only writes end so

app = typer.Typer(
    help="Explore the Inception family: specs, exact costs, studies on CIFAR-10, reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line: 0 well, 1 failed, 2 wrong input, 130 and 143 interrupted."""
    try:
        with _terminable():
            app()
    except InputError as error:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
        sys.exit(2)
    except SystemExit as end:
        if _at_once(end):
            err.print(f"stopped at once; what is recorded stays. To go on: {again()}", markup=False, soft_wrap=True)
        raise
    except OSError as error:
        wrong = error.errno in _NO_PATH
        said = (
            f"{error.filename or 'the working directory'}: {error.strerror}; name another path."
            if wrong
            else _told(error)
        )
        err.print(f"inceptory: {said}", markup=False, highlight=False)
        sys.exit(2 if wrong else 1)
    except RuntimeError as error:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
        sys.exit(1)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, where no training catches it, end the process as Ctrl-C does: what is half written is removed."""

    def leave(*_: object) -> None:
        raise SystemExit(_TERMINATED) from KeyboardInterrupt()

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # a script's other thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _told(error: OSError) -> str:
    """Return an error's text, with the room that is left and what to do where a file cannot be written."""
    from search.record.files import unwritable

    return str(unwritable(Path(error.filename), error) if error.filename and error.errno in _NO_ROOM else error)


def _at_once(end: BaseException | None) -> bool:
    """Return whether an end goes back to a Ctrl-C or SIGTERM that nobody caught; typer makes an exit of the first."""
    return end is not None and (isinstance(end, KeyboardInterrupt) or _at_once(end.__cause__ or end.__context__))
