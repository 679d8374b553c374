"""`make fuzz`: many wrong files, counted by what became of them.

Inputs are numbered, and each follows from the seed and its number alone: `--only 4711` reads that one again.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MEMORY = 8 * 2**30  # address space of each process, bytes


def main() -> None:
    """Read the options, fuzz, print the counts and write them down; exit code 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=int(os.environ.get("FUZZ_COUNT", 100_000)))
    parser.add_argument("--minutes", type=float, default=45.0, help="no input is begun after these")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this one input, and print it")
    parser.add_argument("--target", default="", help="only targets with this in their name")
    parser.add_argument("--out", type=Path, help="where the counts go as JSON")
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        _show(given)
        return
    if given.share is not None:
        print(json.dumps(_fuzz(given.share, given)))
        return
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--share"]
    running = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE) for n in range(given.processes)]
    parts = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    found = record(parts, time.monotonic() - begun) | {"seed": given.seed, "processes": given.processes}
    print(json.dumps(found["counts"], indent=2), *found["what was lost"][:50], sep="\n")
    print(f"{found['injected']:,} inputs in {found['minutes']} min, {found['lost']} of them with a fault")
    if given.out:
        from search.record.files import write_json

        write_json(given.out, found)
    sys.exit(1 if found["lost"] else 0)


def _fuzz(which: int, given: argparse.Namespace) -> dict[str, Any]:
    """Read every input of a process's share; return counts by target and outcome, and what went wrong."""
    with tempfile.TemporaryDirectory(prefix="inceptory-fuzz-") as folder:
        os.chdir(folder)
        chosen = _targets(Path(folder), given.target)
        from tests.fuzz.judging import outcome

        end = time.monotonic() + 60 * given.minutes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        faults = []
        for number in range(which, given.count, given.processes):
            if time.monotonic() > end:
                break
            draw = _draw(given.seed, number)
            target = draw.choice(chosen)
            path, content = target.input(draw)
            found = outcome(target, path, content)
            counts[target.name][found.kind] += 1
            if not found.well:
                faults.append(f"{number} {target.name}, {found.kind}: {found.detail}")
        os.chdir("/")
    return {"counts": counts, "faults": faults}


def _draw(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed} {number}")


def _targets(folder: Path, only: str) -> list[Any]:
    os.environ["INCEPTORY_DATA"] = str(folder)
    from tests.fuzz.targets import targets

    return targets(folder, only)


def record(parts: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Return what processes have counted in so many seconds, as the page of reliability reads it."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for part in parts:
        for name, found in part["counts"].items():
            counts[name] += collections.Counter(found)
    total = sum((found for found in counts.values()), collections.Counter())
    from search.record.environment import environment
    from tests.fuzz.judging import SECONDS

    return {
        "fault": "a file that is not what was written: keys, values, YAML, JSON or bytes changed",
        "injected": total.total(),
        "lost": total.total() - total["valid"] - total["refused"],
        "counts": {name: dict(found) for name, found in sorted(counts.items())},
        "what was lost": [line for part in parts for line in part["faults"]],
        "minutes": round(seconds / 60, 1),
        "seconds_each": SECONDS,
        "memory_gib": MEMORY // 2**30,
        "environment": environment(),
    }


def _show(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="inceptory-fuzz-") as folder:
        draw = _draw(given.seed, given.only)
        target = draw.choice(_targets(Path(folder), given.target))
        path, content = target.input(draw)
        from tests.fuzz.judging import outcome

        print(f"{target.name}, {path}\n{content[:5_000].decode('utf-8', 'backslashreplace')}\n")
        print(outcome(target, path, content))


if __name__ == "__main__":
    main()
