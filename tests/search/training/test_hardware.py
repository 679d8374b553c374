"""What the machine offers, and what a process asks of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psutil
import pytest
import torch
from torch.overrides import TorchFunctionMode

import arch
import search
from search.data.dataset import Data
from search.engines.base import EngineConfig
from search.training.hardware import (
    cores,
    give_back_freed_memory,
    keep_freed_memory,
    memory_format,
    pick_device,
    pick_execution,
    pick_precision,
    sum_type,
)

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


@pytest.mark.slow
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


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Apple's GPU, as far as torch says so; nothing can be put there."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.usefixtures("apple")
def test_apples_gpu_is_taken_by_its_name_alone() -> None:
    mps, cpu = pick_device("mps"), torch.device("cpu")
    assert mps.type == "mps"
    assert pick_device("auto").type != "mps"
    assert pick_precision("auto", mps) == "fp32"
    assert pick_execution("auto", mps) == "plain"
    for execution in ("fused", "compiled"):
        with pytest.raises(arch.InputError, match=f"execution '{execution}' is not for device mps"):
            pick_execution(execution, mps)
    assert (memory_format(mps), sum_type(mps)) == (torch.contiguous_format, torch.float32)
    assert (memory_format(cpu), sum_type(cpu)) == (torch.channels_last, torch.float64)
    assert EngineConfig(device="mps").settled().workers == 1


@pytest.mark.parametrize("device", ["mps", "meta", "xpu"])
def test_a_device_that_is_not_here_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(arch.InputError, match=f"device '{device}' is not at hand here; use auto, cpu"):
        pick_device(device)


def test_a_training_needs_neither_float64_nor_channels_last(
    micro: arch.Spec, digits: Data, quick: search.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Apple's GPU lacks is taken from the CPU: a training on contiguous maps with float32 sums, to rounding the same."""
    as_usual = list(search.fit(micro, digits, quick, execution="plain"))
    for module in ("fit", "judge"):
        monkeypatch.setattr(f"search.training.{module}.memory_format", lambda _: torch.contiguous_format)
        monkeypatch.setattr(f"search.training.{module}.sum_type", lambda _: torch.float32)
    found = search.fit(micro, digits, quick, execution="plain")
    with no_float64():
        as_there = list(found)
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(1, dtype=torch.float64)
    assert [e.train_loss for e in as_there] == pytest.approx([e.train_loss for e in as_usual], rel=2e-2)
    assert [e.val_loss for e in as_there] == pytest.approx([e.val_loss for e in as_usual], rel=2e-2)


class no_float64(TorchFunctionMode):  # noqa: N801 - read as a statement
    """Refuses whatever gives a tensor of float64, as Apple's GPU does."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError(f"{function}: float64")
        return found


def test_where_there_is_no_affinity_all_cores_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == sorted(psutil.Process().cpu_affinity())
    monkeypatch.delattr(psutil.Process, "cpu_affinity")
    assert cores() == list(range(os.cpu_count() or 1))


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_another_allocator_than_glibcs_is_left_alone(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no library of its own process to look into."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("search.training.hardware.ctypes.CDLL", None)
    keep_freed_memory.cache_clear()
    keep_freed_memory()
    give_back_freed_memory()
    keep_freed_memory.cache_clear()
