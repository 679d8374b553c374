"""Pruning by Optuna's pruners: a trial that is resumed is judged where it was left, not where it began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from search.record.layout import results
from search.study.run import run_study
from tests.support import study
from tests.support.fake import Killed, instant

__all__ = ["instant"]
pytestmark = pytest.mark.usefixtures("instant")
RECIPE = {"base": "default", "epochs": 4, "batch": 128, "precision": "fp32"}
LATE: dict[str, dict[str, Any]] = {  # each of them ends trials after their second epoch, not their first
    "median": {"n_startup_trials": 1, "n_warmup_steps": 2},
    "percentile": {"percentile": 50.0, "n_startup_trials": 1, "n_warmup_steps": 2},
    "threshold": {"lower": 0.4, "n_warmup_steps": 2},
}


def ends(run: Path) -> list[tuple[Any, ...]]:
    return [(r["trial"], r["state"], r["epochs"], r["val_accuracy"]) for r in results(run)]


@pytest.mark.parametrize("pruner", LATE)
def test_a_driver_that_dies_before_its_verdict_comes_to_the_same_one(
    pruner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = study(recipe=RECIPE, trials=10, pruner={"name": pruner, **LATE[pruner]})
    run_study(config, tmp_path / "whole")
    assert {epochs for _, state, epochs, _ in ends(tmp_path / "whole") if state == "pruned"} == {2}
    original, killed = optuna.trial.Trial.should_prune, set()

    def dying(trial: optuna.trial.Trial) -> bool:
        found = original(trial)
        if found and trial.number not in killed:
            killed.add(trial.number)
            raise Killed
        return found

    monkeypatch.setattr(optuna.trial.Trial, "should_prune", dying)
    for _ in range(12):
        try:
            run_study(config, tmp_path / "killed")
        except Killed:
            continue
        break
    assert len(killed) > 1
    assert ends(tmp_path / "killed") == ends(tmp_path / "whole")
