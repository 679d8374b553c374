"""The environment of a run, which its numbers depend on: versions, processor, commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any


def environment(**more: Any) -> dict[str, Any]:
    """Return what the numbers of a run depend on: versions, processor, commit; `more` is added."""
    packages = ("inceptory", "torch", "torchvision", "optuna", "fvcore", "pandas", "numpy", "scipy", "scikit-learn")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "commit": _commit(),
        "versions": versions,
        **more,
    }


def _processor() -> str:
    """Return the processor's name with its family and model: "AMD EPYC" alone hides four generations."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()  # Windows' names family and model
    lines = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]  # of the first core
    found = {name.strip(): value.strip() for name, _, value in lines}
    about = [found.get("model name") or platform.machine()]
    numbers = [("family", "cpu family"), ("model", "model"), ("implementer", "CPU implementer"), ("part", "CPU part")]
    if known := [f"{word} {found[name]}" for word, name in numbers if name in found]:
        about.append(" ".join(known))
    if "amx_bf16" in found.get("flags", ""):
        about.append("AMX bf16")
    return ", ".join(about)


def _commit() -> str | None:
    try:
        here = Path(__file__).parent
        ours = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(
            ours, capture_output=True, timeout=10, check=True
        )  # installed, it may lie in another's repository
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
