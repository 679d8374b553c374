"""What becomes of one input: a valid object, one clear error, or a fault of ours."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arch.errors import InputError
from tests.fuzz.targets import Target

SECONDS = 20  # for one input, before it counts as hanging
_LONGEST = 3_000  # characters of one clear error
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "pty.spawn")
_WRITING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree")


@dataclass(frozen=True)
class Outcome:
    """`valid`, `refused` (one clear error), or a kind of fault with what was wrong."""

    kind: str
    detail: str = ""

    @property
    def well(self) -> bool:
        return self.kind in ("valid", "refused")


class Hang(BaseException):
    """An input took too long."""


class Watch:
    """Hears of every file that is opened to be written, every process and every connection (PEP 578)."""

    def __init__(self) -> None:
        self.thread = 0
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        self.seen, self.thread = [], threading.get_ident()
        try:
            yield self.seen
        finally:
            self.thread = 0

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.thread or threading.get_ident() != self.thread:
            return
        if event in _FORBIDDEN or event in _WRITING:
            self.seen.append(f"{event} {args!r:.200}")
        elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.seen.append(f"open {args[0]!r:.200} for writing")


WATCH = Watch()


def outcome(target: Target, path: Path, content: bytes) -> Outcome:
    """Let a target read bytes in a file's place, and put the file back as it was."""
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        with WATCH.listening() as seen, _limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _read(target, path)
        if seen and not target.sets_aside:
            return Outcome("wrote", seen[0])
        return found
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


def _read(target: Target, path: Path) -> Outcome:
    try:
        target.read(path)
    except InputError as error:
        return _judged(str(error), target, path)
    except Hang:
        return Outcome("hang", f"{SECONDS} s")
    except Exception as error:
        return Outcome(type(error).__name__, f"{str(error)[:200]} {_place(error)}")
    return Outcome("valid")


def _judged(text: str, target: Target, path: Path) -> Outcome:
    """Refuse an error that names no file, is no paragraph, or cannot be printed."""
    if not any(name in text for name in (str(path), *target.about)):
        return Outcome("names no file", text[:300])
    if not text.isprintable():
        return Outcome("not printable", repr(text[:300]))
    if len(text) > _LONGEST:
        return Outcome("too long", text[:300])
    if "not readable as YAML" in text and ", line " not in text:
        return Outcome("names no line", text[:300])
    return Outcome("refused", text)


def _place(error: BaseException) -> str:
    """Return where an error was raised in our files, deepest first."""
    places, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        if "/tests/" not in code.co_filename and "site-packages" not in code.co_filename:
            places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(reversed(places[-4:]))


@contextmanager
def _limit() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise Hang

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def summary(found: Mapping[str, int]) -> str:
    """Return counts in words, the most frequent first."""
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {kind}" for kind, count in ordered)
