"""A study is restarted: every way a trial ends, every pruner and storage; nothing healthy is set aside."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

import arch
from search.engines.task import Task, write_failed
from search.record.files import read_json
from search.record.layout import results, trial_folder
from search.storage.urls import open_storage
from search.study.run import run_study
from search.training.fit import Control, Epoch
from tests.support import study
from tests.support.engines import Dying
from tests.support.fake import Killed, train
from tests.support.notes import Notes

pytestmark = pytest.mark.usefixtures("instant", "unsafe_but_quick")

PRUNERS: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {"n_startup_trials": 1},
    "percentile": {"percentile": 60.0, "n_startup_trials": 1},
    "successive_halving": {"reduction_factor": 2},
    "hyperband": {"min_resource": 1, "max_resource": 4, "reduction_factor": 2},
    "threshold": {"lower": 0.1},
    "rungs": {"better": 1, "similar": 1.0},
}
RECIPE = {"base": "default", "epochs": 4, "batch": 128, "precision": "fp32"}
TOTAL = 12
FAILS = 5  # the number of the trial that fails
ENDS = {"complete", "failed", "infeasible", "duplicate"}
FAST = (
    "none",
    "median",
    "rungs",
)  # one of Optuna's pruners stands for all, as what they leave in a storage is the same
CASES = [pytest.param(name, "val_accuracy", marks=[] if name in FAST else [pytest.mark.slow]) for name in PRUNERS] + [
    ("rungs", ["val_accuracy", "macs"])
]


def config(run: Path, storage: str, pruner: str, objective: Any, **changes: Any) -> dict[str, Any]:
    """A study in which trials end in every way, soon."""
    url = {"sqlite": f"sqlite:///{run / 'study.db'}", "journal": f"journal://{run / 'study.log'}"}[storage]
    space = {
        "family": {"per": "row", "choices": ["inception_v1", "inception_v2"]},
        "recipe": {"lr": {"choices": [0.05, 0.1]}},
        "aux_weight": {"choices": [0.1, 0.2, 0.3]},
    }
    asked = {"storage": url, "pruner": {"name": pruner, **PRUNERS[pruner]}, "objective": objective}
    return study(recipe=RECIPE, space=space, trials=TOTAL, max_macs=LIMIT) | asked | changes


LIMIT = 126_000


def fails(task: Task, control: Control) -> Iterator[Epoch]:
    """A training that takes no time; that of one trial fails at once."""
    if task.about["trial"] != FAILS:
        yield from train(task, control)
        return
    write_failed(task, "RuntimeError: no reason")


@pytest.fixture(autouse=True)
def one_fails(instant: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.engines.in_process.run", fails)


def ends(run: Path) -> list[tuple[Any, ...]]:
    """How each trial ended, without times."""
    figures = ("trial", "state", "epochs", "key", "val_accuracy", "duplicate_of")
    return [tuple(result.get(name) for name in figures) for result in results(run)]


def ways(run: Path) -> Counter[str]:
    """How many trials ended in which way."""
    return Counter("duplicate" if "duplicate_of" in r else r["state"] for r in results(run))


def stored(asked: dict[str, Any]) -> list[FrozenTrial]:
    found = optuna.load_study(study_name="micro", storage=open_storage(asked["storage"]))
    return found.get_trials(deepcopy=False)


def damaged(run: Path) -> list[Path]:
    return list(run.rglob("*damaged*"))


def kill_at_epoch(patch: pytest.MonkeyPatch, left: int) -> None:
    """Let the driver die when so many epochs of trials were heard of, one of them not judged yet."""
    heard = [left]

    class Dying(Notes):
        def epoch(self, key: str, metrics: Any) -> None:
            heard[0] -= key != "base"
            if not heard[0]:
                raise Killed

    patch.setattr("search.study.run.Silent", lambda: Dying([]))


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
@pytest.mark.parametrize(("pruner", "objective"), CASES)
def test_a_restart_leaves_every_ended_trial_as_it_is(
    pruner: str, objective: Any, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_study(config(whole, storage, pruner, objective), whole)
    assert set(ways(whole)) == ENDS | ({"pruned"} if pruner != "none" else set())
    asked = config(killed, storage, pruner, objective)
    for epochs in (3, 6, 1):
        with monkeypatch.context() as patch:
            kill_at_epoch(patch, epochs)
            with pytest.raises(Killed):
                run_study(asked, killed)
        assert [t.state for t in stored(asked)].count(TrialState.RUNNING) == 1
    assert run_study(asked, killed).finished == TOTAL
    assert ends(killed) == ends(whole)
    before = [(t.number, t.state, t.values, t.params) for t in stored(asked)]
    assert run_study(asked, killed, trials=TOTAL + 2).finished == TOTAL + 2
    after = stored(asked)
    assert [(t.number, t.state, t.values, t.params) for t in after[: len(before)]] == before
    assert sum(ways(killed).values()) == len(after)
    assert sum(ways(killed).values()) - ways(killed)["infeasible"] == TOTAL + 2
    assert damaged(killed) == []


@pytest.mark.parametrize(("pruner", "objective"), CASES)
def test_what_is_lost_is_made_again_as_it_was(pruner: str, objective: Any, tmp_path: Path) -> None:
    """First every folder of a trial, then the storage; each follows from the other."""
    run = tmp_path / "run"
    asked = config(run, "sqlite", pruner, objective)
    run_study(asked, run)
    before, known = ends(run), seen(asked)
    shutil.rmtree(run / "trials")
    assert run_study(asked, run).finished == TOTAL
    assert (ends(run), seen(asked)) == (before, known)
    (run / "study.db").unlink()
    assert run_study(asked, run).finished == TOTAL
    assert (ends(run), seen(asked)) == (before, known)
    assert damaged(run) == []


def seen(asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What Optuna knows of each trial and a sampler looks at."""
    return [
        (t.number, t.state, t.values, t.params, t.user_attrs, t.intermediate_values, t.constraints.get("macs"))
        for t in stored(asked)
    ]


def test_a_trial_that_is_made_again_and_comes_out_otherwise_leaves_the_storage_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine rounds otherwise. The storage is none of the run directory's: it cannot be set aside."""
    run = tmp_path / "run"
    asked = config(tmp_path, "sqlite", "none", "val_accuracy")
    run_study(asked, run)
    known = seen(asked)
    shutil.rmtree(run / "trials" / "00000")
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("tests.support.fake.curve", lambda key, epochs, seed=0: [0.5] * epochs)
        assert run_study(asked, run, show=Notes(said)).finished == TOTAL  # type: ignore[arg-type]
    assert any(text.startswith("trial 0: was COMPLETE [0.") and text.endswith("and is COMPLETE [0.5]") for text in said)
    assert read_json(trial_folder(run, 0) / "result.json")["remade"] is True
    assert run_study(asked, run, trials=TOTAL + 1).finished == TOTAL + 1
    assert seen(asked)[: len(known)] == known
    assert not any(result.get("remade") for result in results(run) if result["trial"])


def test_nothing_is_set_aside_where_the_storage_cannot_be_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    asked = config(run, "sqlite", "none", "val_accuracy")
    kill_at_epoch(monkeypatch, 6)
    with pytest.raises(Killed):
        run_study(asked, run)
    under_way = next(path for path in run.glob("trials/*") if not (path / "result.json").exists())
    (under_way / "checkpoint.pt").write_text("a checkpoint")
    (run / "distributions.json").unlink()
    (run / "study.db").write_bytes(b"no database")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(arch.InputError, match=r"distributions\.json: lacks the range of .*family\.3a.*restore it"):
        run_study(asked, run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_trial_whose_process_dies_has_failed_with_its_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rungs compare it by its cost, and so does a storage that is built again."""
    engine = Dying()
    monkeypatch.setattr("search.engines.supervisor.make_engine", lambda *_: engine)
    run = tmp_path / "run"
    asked = config(run, "sqlite", "rungs", "val_accuracy", trials=2)
    said: list[str] = []
    assert run_study(asked, run, show=Notes(said)).finished == 2  # type: ignore[arg-type]
    failed = [result for result in results(run) if result["state"] == "failed" and "duplicate_of" not in result]
    for result in failed:
        assert result["reason"] == "its process ended with signal SIGKILL, 3 times"
        assert engine.begun.count(f"trial {result['trial']}") == 3
        assert 0 < result["macs"] <= LIMIT
        assert f"trial {result['trial']}: its process ended with signal SIGKILL; attempt 3 of 3" in said
    assert len(failed) == 2
    assert [t.state for t in stored(asked) if t.number in {r["trial"] for r in failed}] == [TrialState.FAIL] * 2
