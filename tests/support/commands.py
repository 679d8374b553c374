"""Commands given in this process: one of its own takes seconds to import what is here already."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from rich.console import Console

import inceptory
from inceptory import printing


def here(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Give `inceptory` these arguments; return what a process of its own would leave, its output being no terminal."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        chdir(cwd or Path.cwd()),
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(printing, "out", Console(width=160)),
        mock.patch.object(sys, "argv", ["inceptory", *args]),
        mock.patch.dict(os.environ, COLUMNS="200"),
    ):
        try:
            inceptory.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(list(args), code, out.getvalue(), err.getvalue())
