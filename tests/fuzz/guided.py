"""The coverage-guided half of `make fuzz`: atheris changes bytes, and keeps what leads to lines that were not reached.

    python -m tests.fuzz.guided --count 10000    # needs the extra `fuzz`

The first byte of an input chooses the file, the others stand in it. What is found is written down as a hexadecimal
text, which `--only` reads again.
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

from tests.fuzz.__main__ import MEMORY, record

_EVERY = 50  # inputs, after which the counts are written down: libFuzzer ends the process itself
_LONGEST = 20_000  # bytes of an input; the longest shipped file is shorter


def main() -> None:
    """Fuzz in a process that atheris ends, then print and write what it has counted; exit code 1 after faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="read this one input, in hexadecimal, and print what becomes of it")
    parser.add_argument("--out", type=Path, help="where the counts go as JSON")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.within:
        _fuzz(given.within, given)
        return
    with tempfile.TemporaryDirectory(prefix="inceptory-guided-") as folder:
        if given.only is not None:
            print(_outcomes(Path(folder))(bytes.fromhex(given.only)))
            return
        begun = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz.guided", *sys.argv[1:], "--within", folder]
        ended = subprocess.run(command, check=False)
        parts = json.loads((Path(folder) / "counts.json").read_text())
    if ended.returncode and not parts["faults"]:
        sys.exit(ended.returncode)
    found = record([parts], time.monotonic() - begun)
    found |= {"fault": "a file of bytes that coverage has led to (atheris)", "seed": given.seed, "processes": 1}
    print(json.dumps(found["counts"], indent=2), *found["what was lost"][:50], sep="\n")
    print(f"{found['injected']:,} inputs in {found['minutes']} min, {found['lost']} of them with a fault")
    if given.out:
        from search.record.files import write_json

        write_json(given.out, found)
    sys.exit(1 if found["lost"] else 0)


def _outcomes(folder: Path) -> Any:
    """Return what reads an input, and says which file it stood in and what became of it."""
    os.chdir(folder)
    os.environ["INCEPTORY_DATA"] = str(folder)
    from tests.fuzz.judging import outcome
    from tests.fuzz.targets import targets

    places = [(target, path) for target in targets(folder) for path in dict(target.files)]

    def read(data: bytes) -> tuple[str, Any]:
        target, path = places[(data[0] if data else 0) % len(places)]
        return target.name, outcome(target, path, data[1:])

    seeds = folder / "seeds"
    seeds.mkdir()
    for number, (target, path) in enumerate(places[:256]):
        for index, content in enumerate(dict.fromkeys(c for p, c in target.files if p == path)):
            (seeds / f"{number}-{index}").write_bytes(bytes([number]) + content[:_LONGEST])
    return read


def _fuzz(folder: Path, given: argparse.Namespace) -> None:
    import atheris

    with atheris.instrument_imports(include=["arch", "search", "reports"]):
        read = _outcomes(folder)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    faults: list[str] = []
    total = 0

    def one(data: bytes) -> None:
        nonlocal total
        name, found = read(data)
        counts[name][found.kind] += 1
        if not found.well:
            faults.append(f"{data.hex()[:4000]} {name}, {found.kind}: {found.detail}")
        total += 1
        if total % _EVERY == 0 or not found.well:
            (folder / "counts.json").write_text(json.dumps({"counts": counts, "faults": faults}))

    random.seed(given.seed)
    resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY, 2 * MEMORY))  # coverage takes address space of its own
    flags = {
        "runs": given.count,
        "max_total_time": round(60 * given.minutes),
        "seed": given.seed,
        "max_len": _LONGEST,
        "timeout": 0,  # the judge has a limit of its own, by the same signal
        "rss_limit_mb": 0,
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], str(folder / "seeds"), *(f"-{key}={value}" for key, value in flags.items())], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
