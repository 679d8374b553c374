"""The application that commands register with, and how it ends."""

from __future__ import annotations

import errno
import sys

import typer

from arch.errors import InputError
from inceptory.printing import err

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
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        wrong = error.errno in _NO_PATH
        said = f"{error.filename}: {error.strerror}; name another path." if wrong else str(error)
        err.print(f"inceptory: {said}", markup=False, highlight=False)
        sys.exit(2 if wrong else 1)
    except RuntimeError as error:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
        sys.exit(1)
