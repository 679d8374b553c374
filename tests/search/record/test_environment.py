"""What a record says of the machine."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from search.record.environment import environment

X86 = "processor : 0\ncpu family : 25\nmodel : 17\nmodel name : AMD EPYC\nflags : fpu{more}\n\nprocessor : 1\nmodel : 99\n"
ARM = "processor : 0\nBogoMIPS : 50\nCPU implementer : 0x41\nCPU part : 0xd0c\n\n"


@pytest.mark.parametrize(
    ("cpuinfo", "wanted"),
    [
        (X86.format(more=""), "AMD EPYC, family 25 model 17"),
        (X86.format(more=" amx_bf16"), "AMD EPYC, family 25 model 17, AMX bf16"),
        (ARM, f"{platform.machine()}, implementer 0x41 part 0xd0c"),
        (None, "AMD64 Family 25 Model 17"),
    ],
)
def test_a_processor_has_its_family_and_model(
    cpuinfo: str | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Linux from the system's file; where there is none, what Python knows."""
    read = Path.read_text

    def instead(path: Path, *args: Any, **kwargs: Any) -> str:
        if str(path) != "/proc/cpuinfo":
            return read(path, *args, **kwargs)
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", instead)
    monkeypatch.setattr(platform, "processor", lambda: "AMD64 Family 25 Model 17")
    assert environment()["processor"] == wanted
