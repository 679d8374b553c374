"""The race: base first, then candidates and further seeds; pauses, budgets, and the same after a stop at any point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from arch.errors import InputError
from search.record.files import read_json, read_lines
from search.record.layout import BASE, CHECKPOINT, results, trial_folder
from search.record.work import work_of
from search.statistics.standing import standing
from search.study.config import load_study
from search.study.run import run_study
from tests.support import study
from tests.support.fake import Killed, instant

__all__ = ["instant"]
pytestmark = pytest.mark.usefixtures("instant")
RECIPE = {"base": "default", "epochs": 4, "batch": 128, "precision": "fp32"}
RACE: dict[str, Any] = {"base_seeds": 3, "replicates": 0.5, "pilot": 0}
PAUSING = {"name": "rungs", "first": 1, "factor": 4.0, "better": 1, "keep": 0.5}


def race(**changes: Any) -> dict[str, Any]:
    return study(**{"recipe": RECIPE, "race": RACE, "budget": {"epochs": 100}, "trials": 0, **changes})


def found(run: Path) -> list[dict[str, Any]]:
    return list(results(run))


def shape(run: Path) -> list[tuple[Any, ...]]:
    """What each trial was: its key, seed, end and what it repeats or continues."""
    keys = ("key", "seed", "state", "epochs", "replicate_of", "continues", "duplicate_of", "val_accuracy", "searched")
    return [tuple(json.dumps(result.get(key)) for key in keys) for result in found(run)]


def test_the_base_races_too_and_leads_in_seeds(tmp_path: Path) -> None:
    run_study(race(), tmp_path)
    trials = found(tmp_path)
    base = read_json(tmp_path / BASE / "result.json")
    assert [trial["replicate_of"] for trial in trials[:3]] == [BASE] * 3
    assert (trials[0]["duplicate_of"], trials[0]["seed"]) == (BASE, base["seed"])
    seeds: dict[str, set[int]] = {}
    for trial in trials:
        seeds.setdefault(trial["key"], set()).add(trial["seed"])
        assert len(seeds[trial["key"]]) <= len(seeds[base["key"]])  # every seed has its control
    assert max(len(of) for key, of in seeds.items() if key != base["key"]) > 1
    repeats = sum("replicate_of" in trial for trial in trials)
    assert repeats / len(trials) == pytest.approx(0.5, abs=0.1)


def test_a_replicate_is_an_ordinary_trial_of_the_same_parameters(tmp_path: Path) -> None:
    run_study(race(), tmp_path)
    stored = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}").get_trials()
    repeats = [trial for trial in stored if trial.user_attrs.get("replicate_of") not in (None, BASE)]
    assert repeats
    for trial in repeats:
        first = stored[trial.user_attrs["replicate_of"]]
        assert trial.params == first.params
        assert trial.user_attrs["seed"] != 0
        assert read_json(trial_folder(tmp_path, trial.number) / "result.json")["seed"] == trial.user_attrs["seed"]


@pytest.mark.parametrize("resplit", [True, False])
def test_each_seed_holds_out_other_images_for_all_alike(resplit: bool, tmp_path: Path) -> None:
    run_study(race(race={**RACE, "resplit": resplit}), tmp_path)
    splits: dict[int, set[int]] = {}
    for trial in found(tmp_path):
        splits.setdefault(trial["seed"], set()).add(trial["split_seed"])
    assert all(len(of) == 1 for of in splits.values())
    assert len(set.union(*splits.values())) == (len(splits) if resplit else 1)


@pytest.mark.parametrize("pruner", [{"name": "none"}, PAUSING])
def test_a_budget_is_never_exceeded_and_nearly_used_up(pruner: dict[str, Any], tmp_path: Path) -> None:
    outcome = run_study(race(pruner=pruner), tmp_path)
    assert outcome.ended == "complete"
    assert 100 - 4 < work_of(tmp_path).epochs <= 100
    run_study(race(pruner=pruner, budget={"epochs": 140}), tmp_path)
    assert 140 - 4 < work_of(tmp_path).epochs <= 140


def test_core_hours(tmp_path: Path) -> None:
    run_study(race(budget={"core_hours": 6 / 3600}), tmp_path)  # 60 epochs of 0.1 s
    assert 56 < work_of(tmp_path).epochs <= 60


def test_a_paused_training_continues_from_its_checkpoint(tmp_path: Path) -> None:
    run_study(race(pruner=PAUSING), tmp_path)
    trials = found(tmp_path)
    continued = [trial for trial in trials if "continues" in trial]
    assert continued
    for trial in continued:
        before = trials[trial["continues"]]
        assert (before["state"], before["epochs"], before["key"]) == ("pruned", 1, trial["key"])
        assert (trial["state"], trial["seed"]) == ("complete", before["seed"])
        assert (
            read_lines(trial_folder(tmp_path, trial["trial"]) / "metrics.jsonl")[0]
            == (read_lines(trial_folder(tmp_path, trial["continues"]) / "metrics.jsonl")[0])
        )
    paused = {trial["trial"] for trial in trials if trial["state"] == "pruned" and "duplicate_of" not in trial}
    waiting = paused - {trial["continues"] for trial in continued}
    assert waiting
    assert {path.parent.name for path in tmp_path.glob("trials/*/" + CHECKPOINT)} == {f"{n:05d}" for n in waiting}


@pytest.mark.parametrize("pruner", [{"name": "none"}, PAUSING])
def test_a_race_that_is_killed_anywhere_ends_as_one_that_was_not(
    pruner: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = race(pruner=pruner)
    run_study(config, tmp_path / "one")
    killed = 0
    for spot in ("enqueue_trial", "ask", "tell"):
        original = getattr(optuna.Study, spot)
        calls = [0]

        def dying(self: Any, *args: Any, _of: Any = original, _calls: list[int] = calls, **more: Any) -> Any:
            out = _of(self, *args, **more)
            _calls[0] += 1
            if _calls[0] % 7 == 3 and self._storage.__class__.__name__ != "InMemoryStorage":
                raise Killed
            return out

        monkeypatch.setattr(optuna.Study, spot, dying)
        for _ in range(100):
            try:
                run_study(config, tmp_path / spot)
            except Killed:
                killed += 1
                continue
            break
        monkeypatch.setattr(optuna.Study, spot, original)
        assert shape(tmp_path / spot) == shape(tmp_path / "one")
    assert killed > 6


def test_a_lost_storage_is_rebuilt_with_what_a_race_needs(tmp_path: Path) -> None:
    config = race(pruner=PAUSING)
    run_study(config, tmp_path / "one")
    run_study(race(pruner=PAUSING, budget={"epochs": 60}), tmp_path / "lost")
    (tmp_path / "lost" / "study.db").unlink()
    run_study(config, tmp_path / "lost")
    assert shape(tmp_path / "lost") == shape(tmp_path / "one")


def test_the_sampler_sees_each_candidate_once_at_its_expected_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[float, ...]]] = []
    weights: dict[float, float] = {}

    class Watching(optuna.samplers.RandomSampler):
        def sample_relative(self, study: Any, trial: Any, space: Any) -> dict[str, Any]:
            done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
            seen.append([tuple(t.params.values()) for t in done])
            weights.update((t.user_attrs["seen"], t.user_attrs["weight"]) for t in done)
            return super().sample_relative(study, trial, space)

    monkeypatch.setattr("search.study.proposer.make_sampler", lambda options, seed, own: Watching(seed=own % 2**32))
    run_study(race(), tmp_path)
    views = [view for view in seen if len(view) > 3]
    assert views
    assert all(len(set(view)) == len(view) for view in views)
    assert all(0 < weight <= 1 for weight in weights.values())
    assert len(set(weights.values())) > 2  # more trainings weigh more, and the estimated noise changes


def test_an_exhausted_space_is_still_repeated(tmp_path: Path) -> None:
    space = {"recipe": {"lr": {"choices": [0.1, 0.2, 0.3, 0.4, 0.5]}}}
    run_study(race(space=space, budget={"epochs": 80}), tmp_path)
    trials = [trial for trial in found(tmp_path) if "duplicate_of" not in trial]
    assert len({trial["key"] for trial in trials}) == 5
    assert len(trials) + 1 == 20


@pytest.mark.parametrize(("gain", "ended"), [(1e3, "hopeless"), (-1e3, "complete")])
def test_a_race_that_finds_nothing_ends_early_where_the_study_says_so(gain: float, ended: str, tmp_path: Path) -> None:
    outcome = run_study(race(race={**RACE, "stop": {"gain": gain, "after": 0.5}}), tmp_path)
    assert outcome.ended == ended
    assert (50 <= work_of(tmp_path).epochs <= 56) == (ended == "hopeless")


@pytest.mark.parametrize("pruner", [{"name": "none"}, PAUSING])
def test_a_candidate_that_a_later_limit_refuses_is_neither_repeated_nor_continued(
    pruner: dict[str, Any], tmp_path: Path
) -> None:
    run_study(race(pruner=pruner, budget={"epochs": 80}), tmp_path)
    before = found(tmp_path)
    stand = standing(tmp_path)
    assert stand
    limit = before[stand.ranked[0]]["macs"] - 1  # the leader is over it
    run_study(race(pruner=pruner, max_macs=limit, budget={"epochs": 140}), tmp_path, allow=["max_macs"])
    refused = [r for r in found(tmp_path)[len(before) :] if r["state"] == "infeasible"]
    again = [r["key"] for r in refused if {"replicate_of", "continues"} & set(r)]
    assert stand.effects.candidates[stand.effects.order()[0]] in again or pruner["name"] == "rungs"
    assert len(set(again)) == len(again)


def test_a_base_over_the_limit_is_the_control_all_the_same(tmp_path: Path) -> None:
    run_study(race(budget={"epochs": 20}), tmp_path / "free")
    macs = read_json(tmp_path / "free" / BASE / "result.json")["macs"]
    assert run_study(race(max_macs=macs - 1), tmp_path / "run").ended == "complete"
    base = [r for r in found(tmp_path / "run") if r.get("replicate_of") == BASE]
    assert len(base) >= 3
    assert {r["state"] for r in base} == {"complete"}


def test_where_the_candidates_stand(tmp_path: Path) -> None:
    run_study(race(budget={"epochs": 200}), tmp_path)
    stand = standing(tmp_path)
    assert stand
    assert stand.score == "loss_and_training"
    trials = found(tmp_path)
    by_key: dict[str, list[float]] = {}
    for trial in trials:
        if "duplicate_of" not in trial and trial.get("replicate_of") != BASE:
            by_key.setdefault(trial["key"], []).append(trial["val_accuracy"])
    order = [stand.effects.candidates[index] for index in stand.effects.order()]
    assert {key: stand.numbers[key] for key in order}.keys() == by_key.keys()
    means = {key: sum(values) / len(values) for key, values in by_key.items()}
    assert means[order[0]] > max(means.values()) - 0.02  # the fake's noise is small against its differences


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"budget": {}}, "either epochs or core_hours"),
        ({"budget": {"epochs": 3, "core_hours": 1.0}}, "either epochs or core_hours"),
        ({"budget": None, "trials": 0}, "a study ends"),
        ({"objective": ["val_accuracy", "macs"]}, "a race has one objective"),
    ],
)
def test_what_no_race_can_be(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        load_study(race(**changes))
