"""The examples in the docstrings of public functions run as they stand; those in the pages: test_pages.py."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

MODULES = [
    "arch.spec",
    "arch.cost",
    "arch.layers",
    "arch.measure",
    "arch.modules",
    "search.data",
    "search.training",
    "search.study",
    "search.ablation",
    "reports.load",
    "reports.folder",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    done = doctest.testmod(importlib.import_module(name), extraglobs={"tmp": tmp_path / "run"})
    assert done.attempted > 0
    assert done.failed == 0
