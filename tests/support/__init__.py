"""What several tests share: places, a study that takes seconds, and what else a test may need."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RESULTS = DOCS / "results"
DATA = ROOT / "tests" / "data"
MICRO = DATA / "micro.yaml"
QUICK = {"base": "default", "epochs": 2, "batch": 64, "precision": "fp32"}

# What some tests need beyond the Python packages of the extra `test`, and how to find out whether it is here.
PARTS = {
    "ray": lambda: importlib.util.find_spec("ray"),
    "tensorboard": lambda: importlib.util.find_spec("tensorboard"),
    "postgres": lambda: importlib.util.find_spec("psycopg") and postgres_programs(),
    "chromium": lambda: importlib.util.find_spec("playwright") and shutil.which("chromium"),
}


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs: on the path, or where Debian puts them, newest first."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("[0-9]*/bin/initdb")
    return max((path.parent for path in folders), key=lambda path: int(path.parent.name), default=None)


def needs(part: str) -> None:
    """Skip the test aloud where a part is missing; fail it where `INCEPTORY_REQUIRE` (a,b) names that part."""
    if PARTS[part]():
        return
    if part in os.environ.get("INCEPTORY_REQUIRE", "").split(","):
        pytest.fail(f"{part} is missing, and INCEPTORY_REQUIRE names it", pytrace=False)
    pytest.skip(f"{part} is missing here; .ci/run installs what the tests can use")


def study(**changes: object) -> dict[str, object]:
    """A study of the micro network that takes seconds; its space cannot be counted, which would take as long."""
    return {
        "name": "micro",
        "network": str(MICRO),
        "data": "digits",
        "recipe": {"base": "default", "epochs": 2, "batch": 128, "precision": "fp32"},
        "space": {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}},
        "sampler": {"name": "random"},
        "trials": 3,
        "engine": {"workers": 1, "threads": 1},
        **changes,
    }
