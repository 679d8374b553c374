"""Fixtures: a network that trains in a blink, and data roots of our own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

import arch
import search
from search.data.dataset import Data
from search.record.environment import environment
from search.record.files import write_json
from tests.support import MICRO, QUICK
from tests.support.fake import instant
from tests.support.isolation import nothing_left
from tests.support.specs import nested_block
from tests.support.sqlite import unsafe_but_quick

__all__ = ["instant", "nested_block", "unsafe_but_quick"]


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
    """Say how to run in this order again, and write the record of the faults that were injected."""
    if seed := config.getoption("randomly_seed", None):
        terminalreporter.write_line(f"in random order: --randomly-seed={seed}")
    if not config.getoption("--faults"):
        return
    found: dict[str, dict[str, int]] = {}  # a test that breaks something is one injection, and one that fails a loss
    for outcome, lost in (("passed", 0), ("failed", 1), ("error", 1)):
        for report in terminalreporter.stats.get(outcome, []):
            for name in [value for key, value in report.user_properties if key == "fault"]:
                counts = found.setdefault(name, {"injected": 0, "lost": 0})
                counts["injected"] += 1
                counts["lost"] += lost
    record = {"faults": dict(sorted(found.items())), "environment": environment(threads=1, device="cpu")}
    write_json(config.getoption("--faults"), record)


@pytest.fixture(scope="session", autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root of the tests' own, for this process and those it starts."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INCEPTORY_DATA", str(root))
        yield root


@pytest.fixture(scope="session", autouse=True)
def one_command_line() -> Iterator[None]:
    """Build the tree of commands once for all that are given in this process: it takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="module", autouse=True)
def module_leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where the fixtures of a module leave something behind."""
    with nothing_left(f"{request.node.name} (its fixtures)"):
        yield


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind; let torch draw the same numbers in each, whatever ran before."""
    torch.manual_seed(0)
    with nothing_left(request.node.name):
        yield


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
    return search.load_recipe(QUICK)
