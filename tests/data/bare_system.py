"""Makes a process, and those that it starts, find nothing that only some systems have; it is on the path as sitecustomize.

psutil is left its own ways: on other systems it has others. It reads /proc through a link of another name, and offers
only what it offers everywhere.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

import psutil

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
IN_OS = [
    "fork",
    "forkpty",
    "getpgid",
    "killpg",
    "sched_getaffinity",
    "sched_setaffinity",
    "setpgid",
    "setsid",
    "sysconf",
    "O_NOFOLLOW",
]
SIGNALS = ("SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1")
OURS = ("arch", "search", "reports", "inceptory")


class Signals(types.ModuleType):
    """The module signal, in which our packages miss some; the standard library itself kills by them here."""

    def __getattribute__(self, name: str) -> Any:
        if name in SIGNALS and sys._getframe(1).f_globals["__name__"].partition(".")[0] in OURS:
            raise AttributeError(name)
        return super().__getattribute__(name)


def without_proc(original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, str | os.PathLike) and f"{os.fspath(path)}/".startswith("/proc/"):
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        return original(path, *args, **kwargs)

    return opened


psutil.PROCFS_PATH = os.environ["BARE_PROCFS"]
del psutil.Process.cpu_affinity, psutil.Process.rlimit
for module in MODULES:
    sys.modules[module] = None  # type: ignore[assignment]
for attribute in IN_OS:
    delattr(os, attribute)
signal.__class__ = Signals
builtins.open = io.open = without_proc(open)
for function in ("open", "stat", "listdir", "scandir"):
    setattr(os, function, without_proc(getattr(os, function)))
