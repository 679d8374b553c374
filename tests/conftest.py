"""Fixtures: a network that trains in a blink, and data roots of our own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import arch
import search
from arch.registry import BLOCKS, HEADS
from search.data import Data
from search.record import environment, write_json

HERE = Path(__file__).parent
MICRO = HERE / "data" / "micro.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=Path, metavar="FILE", help="record how often each fault was injected, and lost")


def pytest_configure() -> None:
    torch.set_num_threads(1)  # beside a busy core, two-thread processes collapse


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties += [("fault", mark.args[0]) for mark in item.iter_markers("fault")]
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write the record of the faults: a test that breaks something is one injection, and one that fails a loss."""
    if not config.getoption("--faults"):
        return
    found: dict[str, dict[str, int]] = {}
    for outcome, lost in (("passed", 0), ("failed", 1), ("error", 1)):
        for report in terminalreporter.stats.get(outcome, []):
            for name in [value for key, value in report.user_properties if key == "fault"]:
                counts = found.setdefault(name, {"injected": 0, "lost": 0})
                counts["injected"] += 1
                counts["lost"] += lost
    record = {"faults": dict(sorted(found.items())), "environment": environment(threads=1, device="cpu")}
    write_json(config.getoption("--faults"), record)


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


@pytest.fixture(scope="session", autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of the tests' own, for this process and those it starts."""
    root = tmp_path_factory.mktemp("data")
    os.environ["INCEPTORY_DATA"] = str(root)
    return root


@pytest.fixture
def only_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks and heads of arch alone, whatever other tests have registered in this process."""
    for registry in (BLOCKS, HEADS):
        ours = {d.name: d for d in registry if d.function.__module__.startswith("arch.")}
        monkeypatch.setattr(registry, "_definitions", ours)


@pytest.fixture
def micro() -> arch.Spec:
    """Two small rows with an auxiliary head on 32x32 images."""
    return arch.load(MICRO)


@pytest.fixture(scope="session")
def digits() -> Data:
    """The embedded digits."""
    return search.load_data("digits")


@pytest.fixture
def quick() -> search.Recipe:
    """Two epochs in batches of 64."""
    return search.load_recipe("default", {"epochs": 2, "batch": 64, "precision": "fp32"})


def study(**changes: object) -> dict[str, object]:
    """A study of the micro network that takes seconds."""
    return {
        "name": "micro",
        "network": str(MICRO),
        "data": "digits",
        "recipe": {"base": "default", "epochs": 2, "batch": 128, "precision": "fp32"},
        "space": {"splits": {"round": 4, "minimum": 4}},
        "sampler": {"name": "random"},
        "trials": 3,
        "engine": {"workers": 1, "threads": 1},
        **changes,
    }
