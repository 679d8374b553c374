"""Drivers as processes of their own: started from the command line, and waited for; or in this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.commands import here


def start(folder: Path, run: str = "run") -> subprocess.Popen[str]:
    """Start the study in the folder's study.yaml."""
    command = [sys.executable, "-m", "inceptory", *_search(folder, run)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def finish(folder: Path, run: str = "run") -> subprocess.CompletedProcess[str]:
    """Give the same command in this process, which need not import torch once more, and wait for its end."""
    return here(*_search(folder, run))


def _search(folder: Path, run: str) -> list[str]:
    return ["search", str(folder / "study.yaml"), "--run", str(folder / run)]


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something has come true, while the process lives."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
