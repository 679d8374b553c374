"""What the machine offers, and what a process asks of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys, torch
from search.training.hardware import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(20):
    if turn == 10:
        before = faults()
    [torch.ones(10_000_000, dtype=torch.uint8) for _ in range(4)]  # freed at once, all four: no holes in the heap
print(faults() - before)
"""


def _faults(what: str, **more: str) -> int:
    """Return the page faults of ten turns that take and free 40 MB each."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", _FAULTS, what]
    return int(subprocess.run(command, env=clean | more, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept_unless_the_user_has_set_the_allocator() -> None:
    given_back = _faults("as it is", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert given_back > 50_000  # 10 turns of 40 MB in pages of 4 KiB are 97,656
    assert _faults("keep") < given_back / 10
    assert _faults("keep", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 50_000


_HELD = """
import os, torch
from search.training.hardware import give_back_freed_memory, keep_freed_memory
from search.engines.memory import resident
keep_freed_memory()
held = [torch.ones(5_000_000, dtype=torch.uint8) for _ in range(60)]
pin = [torch.ones(100) for _ in range(10)]  # above them: freed, they are a hole
del held
before = resident(os.getpid())
give_back_freed_memory()
print(before - resident(os.getpid()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_what_is_kept_is_given_back_when_another_training_begins() -> None:
    """300 MB were freed, and a training of another network would not fill the holes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", _HELD], env=clean, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 250_000_000
