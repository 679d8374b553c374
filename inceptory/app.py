"""The application that commands register with, its panels of commands, and its exit codes."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from arch.errors import InputError
from inceptory.printing import command_line, err

# The panels of `inceptory --help`; each command names its own.
NETWORKS, TRAINING, STUDIES, REPORTS = "Networks", "Training", "Studies", "Reports"

# What is wrong with a path itself, not with the machine: wrong input.
_WRONG_PATH = (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL)
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # only writes raise these
_TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    help="Explore the Inception family: specs, exact costs, studies on CIFAR-10, reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Run the command line and exit: 0 success, 1 failure, 2 wrong input, 130 and 143 interrupted."""
    try:
        with _sigterm_exits():
            app()
    except InputError as error:
        _exit(2, str(error))
    except SystemExit as exit_:
        if _was_interrupted(exit_):
            resume = command_line()
            err.print(f"stopped at once; what is recorded stays. To resume: {resume}", markup=False, soft_wrap=True)
        raise
    except OSError as error:
        if error.errno in _WRONG_PATH:
            _exit(2, f"{error.filename or 'the working directory'}: {error.strerror}; name another path.")
        _exit(1, _disk_error(error))
    except RuntimeError as error:
        _exit(1, str(error))


def _exit(code: int, text: str) -> None:
    err.print(f"inceptory: {text}", markup=False, highlight=False)
    sys.exit(code)


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """Let SIGTERM, where no training catches it, end the process as Ctrl-C does: unfinished files are removed."""

    def leave(*_: object) -> None:
        raise SystemExit(_TERMINATED) from KeyboardInterrupt()

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not the main thread: a script calls the command line from another one
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _disk_error(error: OSError) -> str:
    """Return an error's text; where a file cannot be written, with the free space and what to do."""
    from search.record.files import unwritable

    return str(unwritable(Path(error.filename), error) if error.filename and error.errno in _CANNOT_WRITE else error)


def _was_interrupted(error: BaseException | None) -> bool:
    """Return whether an exit goes back to a Ctrl-C or SIGTERM that nobody caught; typer turns the first into an exit."""
    if error is None or isinstance(error, KeyboardInterrupt):
        return error is not None
    return _was_interrupted(error.__cause__ or error.__context__)
