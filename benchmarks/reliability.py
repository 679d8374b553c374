"""Write docs/reliability.md from the records of `make kills`, `make soak` and `make fuzz`.

    python -m benchmarks.reliability    # from docs/results/reliability/*.json; a test rebuilds the page

Each record says a `fault`, how often it was `injected`, and how much was `lost`, or has `faults` with those two by name
(of the tests with the mark `fault`, `pytest tests -m fault --faults=FILE`); a record of fuzzing also has `counts` of its
outcomes by kind of file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from reports.tables.table import Table
from search.record.files import read_json

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
RECORDS = PAGE.parent / "results" / "reliability"
_HEAD = """# What was broken, and what was lost

Made by `python -m benchmarks.reliability` from the records in `docs/results/reliability/`; expected is that nothing is lost.
"""
_FUZZ = """
## Wrong files, by kind

A file that is changed, at random but repeatably (`make fuzz`; `--only NUMBER` reads one input again), must end as a valid object
or be refused by one error that names it. Everything else is a fault: another exception, an error of several lines or without
the file's name, {seconds} s without an end, a file written, a process or connection begun, or more than {memory} GiB of address
space.
"""


def faults(records: list[dict[str, Any]]) -> Table:
    """Return a line for each fault: how often it was injected, what was lost, on what it was measured."""
    rows = [
        {
            "fault": name,
            "injected": counts["injected"],
            "lost": counts["lost"] or "nothing",
            "measured on": f"{record['environment']['processor']}, Python {record['environment']['python']}, "
            f"{record['environment']['time'][:10]}, commit {record['environment']['commit']}",
        }
        for record in records
        for name, counts in record.get("faults", {record.get("fault"): record}).items()
    ]
    return Table("faults", "Faults", pd.DataFrame(rows))


def outcomes(record: dict[str, Any]) -> Table:
    """Return a line for each kind of file that was fuzzed: how many were valid, refused, or a fault."""
    rows = [
        {
            "file": name,
            "inputs": sum(found.values()),
            "valid": found.get("valid", 0),
            "refused by one clear error": found.get("refused", 0),
            "faults": sum(found.values()) - found.get("valid", 0) - found.get("refused", 0),
        }
        for name, found in record["counts"].items()
    ]
    return Table("outcomes", record["fault"][0].upper() + record["fault"][1:], pd.DataFrame(rows))


def page(records: list[dict[str, Any]]) -> str:
    """Return the whole page."""
    fuzzed = [record for record in records if "counts" in record]
    parts = [_HEAD, faults(records).markdown()]
    if fuzzed:
        limits = {"seconds": fuzzed[0]["seconds_each"], "memory": fuzzed[0]["memory_gib"]}
        parts += [_FUZZ.format(**limits), *(outcomes(record).markdown() for record in fuzzed)]
    return "\n".join(parts)


def records(folder: Path = RECORDS) -> list[dict[str, Any]]:
    """Return every record, by its file's name."""
    return [read_json(path) for path in sorted(folder.glob("*.json"))]


if __name__ == "__main__":
    PAGE.write_text(page(records()), encoding="utf-8")
    print(PAGE)
