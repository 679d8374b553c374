"""A study with a pilot and a race, of trainings that take no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.comparison.pilot import run_pilot
from search.study.run import run_study
from tests.support import study
from tests.support.fake import train

PAUSING = {"name": "rungs", "first": 1, "factor": 4.0, "better": 1, "keep": 0.5}


def race(**changes: Any) -> dict[str, Any]:
    """The study: a budget of 200 epochs, a pilot, trainings that pause after their first epoch."""
    return study(
        **{
            "recipe": {"base": "default", "epochs": 4, "batch": 128, "precision": "fp32"},
            "race": {"base_seeds": 4, "replicates": 0.4, "pilot": 0.2},
            "pruner": PAUSING,
            "budget": {"epochs": 200},
            "trials": 0,
            **changes,
        }
    )


def raced(run: Path, *, pilot_only: bool = False, **changes: Any) -> Path:
    """Run the pilot and the race into a folder, and return it."""
    config = race(**changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.engines.in_process.run", train)
        assert run_pilot(config, run).found
        if not pilot_only:
            assert run_study(config, run).ended == "complete"
    return run
