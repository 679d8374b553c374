"""Several objectives: what Optuna, the run directory, status, best and the weights make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from typer.testing import CliRunner

import arch
import reports
from inceptory import app
from reports.page.report import report
from search.record.files import read_json
from search.record.layout import results
from search.record.objectives import OBJECTIVES, Objective, Objectives, Source, best_first, front, register
from search.record.status import status
from search.study.config import load_study
from search.study.run import run_study
from tests.support import study

SPACE = {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}}
TWO = {"objective": ["val_accuracy", "macs"], "space": SPACE, "trials": 12}


def brute_front(losses: list[tuple[float, ...]]) -> list[int]:
    """By the definition: none is at least as good in all and better in one."""
    worse = {
        i for i, a in enumerate(losses) for b in losses if b != a and all(y <= x for x, y in zip(a, b, strict=True))
    }
    return [i for i in range(len(losses)) if i not in worse]


def test_the_front_by_its_definition() -> None:
    values = [(3, 1), (1, 3), (2, 2), (3, 3), (2, 2), (1, 4)]
    losses = [tuple(map(float, pair)) for pair in values]
    assert front(losses) == [1, 2, 4, 0]
    assert sorted(front(losses)) == brute_front(losses)
    assert best_first(losses) == [1, 2, 4, 0, 5, 3]


def test_directions_follow_from_names() -> None:
    objectives = Objectives(["val_accuracy", "macs", "latency"])
    assert objectives.directions == ["maximize", "minimize", "minimize"]
    assert objectives.losses([0.5, 10, 2]) == (-0.5, 10, 2)
    assert Objectives("val_loss").directions == ["minimize"]


@pytest.mark.parametrize("objective", ["macs", [], ["macs", "val_accuracy"], ["val_loss", "val_loss"], ["accuracy"]])
def test_wrong_objectives_are_refused(objective: Any) -> None:
    with pytest.raises(arch.InputError, match="objective"):
        load_study(study(objective=objective))


@pytest.mark.usefixtures("instant")
def test_a_study_of_two_objectives(tmp_path: Path) -> None:
    assert run_study(study(**TWO, keep_weights=2), tmp_path).finished == 12
    found = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [d.name for d in found.directions] == ["MAXIMIZE", "MINIMIZE"]
    by_number = {result["trial"]: result for result in results(tmp_path)}
    for trial in found.trials:
        assert trial.values == [by_number[trial.number]["val_accuracy"], by_number[trial.number]["macs"]]
    best = {trial.number for trial in found.best_trials}
    assert 1 < len(best) < 12
    loaded = reports.load(tmp_path)
    assert set(map(int, loaded.front["trial"])) == best
    assert [int(t) for t in loaded.ranked["trial"][: len(best)]] == [int(t) for t in loaded.front["trial"]]
    assert status(tmp_path)["on the front"] == len(best)
    assert status(tmp_path)["best val_accuracy"] == max(t.values[0] for t in found.trials)
    kept = {int(path.parent.name) for path in tmp_path.glob("trials/*/weights.safetensors")}
    assert kept == set(sorted(best, key=lambda n: -by_number[n]["val_accuracy"])[:2])
    assert run_study(study(**TWO | {"trials": 14}, keep_weights=2), tmp_path).finished == 14


@pytest.mark.usefixtures("instant")
def test_best_prints_the_front_and_the_report_shows_it(tmp_path: Path) -> None:
    run_study(study(**TWO), tmp_path / "run")
    runner = CliRunner()
    rows = json.loads(runner.invoke(app, ["best", str(tmp_path / "run"), "--format", "json"]).stdout)
    accuracies = [row["held-out accuracy (%)"] for row in rows[:-1]]
    assert rows[-1]["trial"] == "base"
    assert accuracies == sorted(accuracies, reverse=True)
    macs = [row["MACs (M)"] for row in rows[:-1]]
    assert macs == sorted(macs, reverse=True)
    assert "held-out accuracy" in runner.invoke(app, ["best", str(tmp_path / "run")]).stdout
    number = rows[1]["trial"]
    text = runner.invoke(app, ["best", str(tmp_path / "run"), "--format", "yaml", "--trial", number]).stdout
    (tmp_path / "one.yaml").write_text(text)
    assert arch.cost(arch.load(tmp_path / "one.yaml")).macs == round(1e6 * rows[1]["MACs (M)"])
    assert "the front of" in report(tmp_path / "run").read_text()


@pytest.mark.usefixtures("instant")
def test_duplicates_are_answered_with_every_objective(tmp_path: Path) -> None:
    space = {"recipe": {"lr": {"choices": [0.05, 0.1]}}, "aux_weight": {"choices": [0.1, 0.2]}}
    config = study(objective=["val_accuracy", "macs", "latency"], space=space, trials=40)
    assert run_study(config, tmp_path).ended == "space exhausted"
    again = [r for r in results(tmp_path) if "duplicate_of" in r]
    assert again
    originals = {r["trial"]: r for r in results(tmp_path)}
    for result in again:
        assert result["latency"] == originals[result["duplicate_of"]]["latency"]


def test_latency_is_measured_only_where_it_is_asked_for(tmp_path: Path) -> None:
    recipe = {"base": "default", "epochs": 1, "batch": 512, "precision": "fp32"}
    run_study(study(objective=["val_accuracy", "latency"], recipe=recipe, trials=1), tmp_path / "timed")
    for folder in ("base", "trials/00000"):
        result = read_json(tmp_path / "timed" / folder / "result.json")
        assert 0 < result["latency_low"] <= result["latency"] <= result["latency_high"] < 1000
        assert (result["latency_batch"], result["latency_threads"], result["latency_device"]) == (64, 1, "cpu")
    trial = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'timed' / 'study.db'}").trials[0]
    assert trial.values[1] == result["latency"]
    run_study(study(recipe=recipe, trials=1), tmp_path / "plain")
    assert "latency" not in read_json(tmp_path / "plain" / "base" / "result.json")


@pytest.fixture
def own_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test register objectives that go with it."""
    monkeypatch.setattr(OBJECTIVES, "_entries", dict(OBJECTIVES._entries))


@pytest.mark.usefixtures("instant")
def test_a_study_by_training_loss(tmp_path: Path) -> None:
    assert run_study(study(objective="train_loss", trials=4), tmp_path).finished == 4
    found = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert found.direction.name == "MINIMIZE"
    assert [trial.value for trial in found.trials] == [result["train_loss"] for result in results(tmp_path)]
    assert reports.load(tmp_path).ranked["train_loss"].is_monotonic_increasing
    assert "train loss" in CliRunner().invoke(app, ["best", str(tmp_path)]).stdout
    assert "train loss" in report(tmp_path).read_text()


@pytest.mark.usefixtures("instant", "own_objectives")
def test_an_objective_of_ones_own_is_one_object(tmp_path: Path) -> None:
    register(Objective("rows", "rows", "network", digits=0, of_network=lambda spec: len(spec.rows)))
    assert run_study(study(objective=["val_loss", "rows"], trials=2), tmp_path).finished == 2
    trials = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}").trials
    assert [trial.values[1] for trial in trials] == [4, 4]
    OBJECTIVES._entries.pop("rows")  # read where nobody has registered it
    assert reports.load(tmp_path).objectives.directions == ["minimize", "minimize"]
    assert status(tmp_path)["on the front"] == 1
    assert "rows" in CliRunner().invoke(app, ["best", str(tmp_path)]).stdout


@pytest.mark.usefixtures("own_objectives")
@pytest.mark.parametrize("source", ["epoch", "network", "trained network"])
def test_an_objective_that_nothing_computes_is_refused_at_the_start(source: Source, tmp_path: Path) -> None:
    register(Objective("beauty", "beauty", source))
    names: Any = "beauty" if source == "epoch" else ["val_loss", "beauty"]
    with pytest.raises(arch.InputError, match="objective beauty: nothing computes it from each"):
        run_study(study(objective=names), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_how_objectives_are_printed() -> None:
    assert OBJECTIVES.get("val_accuracy").text(0.9150) == "91.50 %"
    assert OBJECTIVES.get("val_loss").text(0.25) == "0.2500"
    assert OBJECTIVES.get("macs").header == "MACs (M)"
    with pytest.raises(arch.InputError, match="Did you mean val_accuracy"):
        OBJECTIVES.get("accuracy")


def test_axes_and_objectives_are_listed() -> None:
    runner = CliRunner()
    rows = json.loads(runner.invoke(app, ["list", "objectives", "--format", "json"]).stdout)
    assert {"name": "val_loss", "what": "held-out loss", "direction": "minimize", "computed from": "each epoch"} in rows
    axes = {row["name"]: row for row in json.loads(runner.invoke(app, ["list", "axes", "--format", "json"]).stdout)}
    assert axes["dropout"] == {
        "name": "dropout",
        "keys": "low, high, log, choices",
        "what": "The dropout probability of the final head.",
    }
    assert "splits" in axes
