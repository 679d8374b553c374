"""The application that commands register with, and how it ends."""

from __future__ import annotations

import errno
import sys

import typer

from arch.errors import InputError
from inceptory.printing import again, err

# what is wrong with a path itself, not with the machine
_NO_PATH = (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL)

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
        said = f"{error.filename}: {error.strerror}; name another path." if wrong else str(error)
        err.print(f"inceptory: {said}", markup=False, highlight=False)
        sys.exit(2 if wrong else 1)
    except RuntimeError as error:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
        sys.exit(1)


def _at_once(end: BaseException | None) -> bool:
    """Return whether an end goes back to a Ctrl-C that nobody caught; typer makes an exit of it."""
    return end is not None and (isinstance(end, KeyboardInterrupt) or _at_once(end.__context__))
