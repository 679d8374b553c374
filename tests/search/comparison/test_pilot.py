"""The pilot: its size, what it measures, that the race repeats nothing of it, and the same after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from arch.errors import InputError
from search.comparison.pilot import pilot_is_due, run_pilot, size_of
from search.record.files import read_json
from search.record.layout import BASE, PILOT, results
from search.record.work import work_of
from search.statistics.standing import standing
from search.study.config import load_study
from search.study.run import run_study
from tests.support import study
from tests.support.fake import Killed, instant, train

__all__ = ["instant"]
pytestmark = pytest.mark.usefixtures("instant")
RECIPE = {"base": "default", "epochs": 3, "batch": 128, "precision": "fp32"}
PAUSING = {"name": "rungs", "first": 1, "factor": 3.0, "better": 1, "keep": 0.5}


def piloted(**changes: Any) -> dict[str, Any]:
    whole = {"recipe": RECIPE, "race": {"pilot": 0.4}, "budget": {"epochs": 100}, "trials": 0, **changes}
    return study(**whole)


@pytest.mark.parametrize(
    ("share", "budget", "lengths", "found"),
    [
        (0.1, 280, [3], (3, 3, 27)),  # nine trainings of three epochs
        (0.13, 280, [3], (4, 4, 36)),
        (0.1, 280, [1, 3], (3, 2, 28)),
        (0.1, 200, [3], None),  # six are too few
        (0.1, 0, [3], None),
    ],
)
def test_its_size(share: float, budget: int, lengths: list[int], found: tuple[int, int, int] | None) -> None:
    size = size_of(share, budget, lengths)
    assert (size and (size.base_seeds, size.candidates, size.epochs)) == found
    assert size is None or size.epochs <= share * budget


@pytest.mark.parametrize("pruner", [{"name": "none"}, PAUSING])
def test_the_race_takes_every_training_over(pruner: dict[str, Any], tmp_path: Path) -> None:
    config = piloted(pruner=pruner)
    outcome = run_pilot(config, tmp_path)
    assert outcome.found
    spent = work_of(tmp_path).epochs
    assert spent == outcome.found["size"]["epochs"] <= 40
    run_study(config, tmp_path)
    assert 100 - 3 < work_of(tmp_path).epochs <= 100
    trials = list(results(tmp_path))
    long = [path for path in (tmp_path / PILOT).glob("*/*/result.json") if "-short" not in path.parts[-3]]
    taken = {
        (trial["key"], trial["seed"])
        for trial in trials
        if (tmp_path / f"trials/{trial['trial']:05d}/continued.json").exists()
    }
    firsts = {(r["key"], r["seed"]) for r in map(read_json, long) if r["seed"] == 0}
    assert firsts - {(read_json(tmp_path / BASE / "result.json")["key"], 0)} <= taken
    trained = [(t["key"], t["seed"]) for t in trials if "duplicate_of" not in t and "continues" not in t]
    assert len(set(trained)) == len(trained)


def test_what_it_finds(tmp_path: Path) -> None:
    found = run_pilot(piloted(), tmp_path).found
    assert found
    assert found == read_json(tmp_path / PILOT / "pilot.json")
    assert found["epochs"] == 3
    assert set(found["measured"]) == {"1", "3"}
    plan = read_json(tmp_path / PILOT / "plan.json")
    size = found["size"]
    assert [len(plan["networks"][name]["seeds"]) for name in ("base", "draw-1")] == [size["base_seeds"], 2]
    assert plan["test"] is False
    gains = [plan["expected_gain"] for plan in found["plans"]]
    assert gains == sorted(gains, reverse=True)
    assert size["candidates"] < 5
    assert found["pays"] is None
    assert found["text"].startswith(f"{size['candidates']} candidates say too little")


def test_enough_candidates_get_a_verdict(tmp_path: Path) -> None:
    found = run_pilot(piloted(budget={"epochs": 300}, pruner=PAUSING), tmp_path).found
    assert found
    assert found["size"]["candidates"] >= 5
    assert found["pays"] in (True, False)
    assert found["text"].startswith("This search")


def test_without_a_budget_that_carries_it(tmp_path: Path) -> None:
    small = piloted(budget={"epochs": 20})
    assert not pilot_is_due(load_study(small), tmp_path)
    with pytest.raises(InputError, match="at least 7 trainings"):
        run_pilot(small, tmp_path)


def test_when_it_is_due(tmp_path: Path) -> None:
    config = load_study(piloted())
    assert pilot_is_due(config, tmp_path)
    assert not pilot_is_due(load_study(study()), tmp_path)
    assert not pilot_is_due(load_study(piloted(race={"pilot": 0})), tmp_path)
    run_pilot(config, tmp_path)
    assert not pilot_is_due(config, tmp_path)


def test_killed_anywhere_it_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run_pilot(piloted(), tmp_path / "one").found
    begun = kills = 0

    def dying(task: Any, control: Any) -> Any:
        nonlocal begun
        begun += 1
        for number, epoch in enumerate(train(task, control)):
            if begun % 3 == 1 and number == 1:
                raise Killed
            yield epoch

    monkeypatch.setattr("search.engines.in_process.run", dying)
    for _ in range(30):
        try:
            again = run_pilot(piloted(), tmp_path / "killed").found
        except Killed:
            kills += 1
            continue
        break
    assert kills > 1
    assert again == one


def test_the_pilots_seeds_count_where_the_candidates_stand(tmp_path: Path) -> None:
    config = piloted(pruner=PAUSING)
    run_pilot(config, tmp_path)
    run_study(config, tmp_path)
    stand = standing(tmp_path)
    assert stand
    assert stand.effects.identified
    drawn = read_json(tmp_path / PILOT / "plan.json")["networks"]["draw-1"]["key"]
    assert stand.effects.of(drawn).trainings >= 2


def test_a_race_after_a_pilot_that_is_killed_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = piloted(pruner=PAUSING)
    for name in ("one", "killed"):
        run_pilot(config, tmp_path / name)
    run_study(config, tmp_path / "one")
    original, calls, kills = optuna.Study.tell, 0, 0

    def dying(self: optuna.Study, *args: Any, **more: Any) -> Any:
        nonlocal calls
        found = original(self, *args, **more)
        calls += 1
        if calls % 5 == 2:
            raise Killed
        return found

    monkeypatch.setattr(optuna.Study, "tell", dying)
    for _ in range(50):
        try:
            run_study(config, tmp_path / "killed")
        except Killed:
            kills += 1
            continue
        break
    assert kills > 3
    keys = ("key", "seed", "state", "epochs", "replicate_of", "continues", "val_accuracy")
    shapes = [[[r.get(key) for key in keys] for r in results(tmp_path / name)] for name in ("one", "killed")]
    assert shapes[0] == shapes[1]
