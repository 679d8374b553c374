"""The examples in the docstrings of public functions run as they stand; those in the pages: test_pages.py."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.support import ROOT

MODULES = [
    "arch.specs.read",
    "arch.analysis.cost",
    "arch.analysis.layers",
    "arch.analysis.measure",
    "arch.modules.builder",
    "search.data.dataset",
    "search.training.fit",
    "search.study.run",
    "search.comparison.ablation",
    "reports.runs.load",
    "reports.runs.collection",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = doctest.testmod(importlib.import_module(name), extraglobs={"tmp": tmp_path / "run"})
    assert done.attempted > 0
    assert done.failed == 0
