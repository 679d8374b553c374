"""A race to report, made once; tests that write into a run copy it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.races import raced


@pytest.fixture(scope="session")
def race_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raced(tmp_path_factory.mktemp("races") / "micro")
