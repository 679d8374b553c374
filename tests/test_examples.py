"""The examples in the docstrings of public functions and in the pages, run as they stand."""

from __future__ import annotations

import doctest
import importlib
import re
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
    "reports.load",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    done = doctest.testmod(importlib.import_module(name), extraglobs={"tmp": tmp_path / "run"})
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize("page", ["studies.md"])
def test_the_python_of_a_page_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parent.parent
    monkeypatch.chdir(root)
    found = re.findall(r"```python\n(.*?)```", (root / "docs" / page).read_text(), re.DOTALL)
    assert found
    for code in found:
        exec(compile(code, page, "exec"), {"__name__": page})
