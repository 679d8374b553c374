"""How much memory is free here, and how much a process holds, in bytes."""

from __future__ import annotations

from pathlib import Path

import psutil

# Control groups by their entry in /proc/self/cgroup, version 2 and 1: where they lie, and their files for the
# limit, the use, and pages of files that can be given up. They are Linux's; elsewhere there are none.
_FILES = {
    "": (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    "memory": (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


def free_memory() -> int:
    """Return what new processes can have without pushing out others: the machine's, or the container's if less."""
    return min([int(psutil.virtual_memory().available), *_left_in_groups()])


def resident(pid: int) -> int:
    """Return the memory that a process holds now; 0 where it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def peak(pid: int) -> int:
    """Return the most memory that a process has held; 0 where it is gone.

    Linux and Windows keep it. Elsewhere it is what the process holds now, so that frequent calls find it.
    """
    try:
        now = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return 0
    kept = 1024 * _fields(Path(f"/proc/{pid}/status")).get("VmHWM", 0)
    return int(max(now.rss, kept, getattr(now, "peak_wset", 0)))


def _left_in_groups() -> list[int]:
    """Return what is left in each control group around this process that has a limit.

    Pages of files that nobody has used lately count as free, as they do in MemAvailable.
    """
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, path in lines:
        if controllers not in _FILES:
            continue
        top, limit, used, idle = _FILES[controllers]
        group = top / path.lstrip("/")
        for folder in [group, *group.parents][: len(group.parts) - len(top.parts) + 1]:
            try:  # within a container the outer folders of the path are not there, and its own is the top
                allowed, taken = ((folder / name).read_text().strip() for name in (limit, used))
            except OSError:
                continue
            if allowed != "max":
                left.append(int(allowed) - int(taken) + _fields(folder / "memory.stat").get(idle, 0))
    return left


def _fields(path: Path) -> dict[str, int]:
    """Return the lines `name: number ...` or `name number` of one of the system's files."""
    try:
        lines = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
