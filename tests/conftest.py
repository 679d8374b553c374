"""Fixtures: a network that trains in a blink, and data roots of our own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import arch
import search
from search.data import Data

HERE = Path(__file__).parent
MICRO = HERE / "data" / "micro.yaml"


def pytest_configure() -> None:
    torch.set_num_threads(1)  # beside a busy core, two-thread processes collapse


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))


@pytest.fixture(scope="session", autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of the tests' own, for this process and those it starts."""
    root = tmp_path_factory.mktemp("data")
    os.environ["INCEPTORY_DATA"] = str(root)
    return root


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
