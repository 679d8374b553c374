"""Fixtures: a network that trains in a blink, and data roots of our own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import arch
import search
from arch.registry import shipped
from search.data.dataset import Data
from search.engines.user_modules import REGISTRIES
from search.record.environment import environment
from search.record.files import write_json
from tests.support import MICRO


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


@pytest.fixture(scope="session", autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of the tests' own, for this process and those it starts."""
    root = tmp_path_factory.mktemp("data")
    os.environ["INCEPTORY_DATA"] = str(root)
    return root


@pytest.fixture
def only_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we ship alone, whatever other tests have registered in this process."""
    for registry in REGISTRIES:
        ours = {name: entry for name in registry.names() if shipped(entry := registry.get(name))}
        monkeypatch.setattr(registry, "_entries", ours)


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
