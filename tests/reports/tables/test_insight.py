from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

import reports
from reports.runs.run import Run
from reports.tables.insight import (
    aux_effect,
    distribution,
    front,
    front_of,
    hypervolume,
    hypervolume_by_trial,
    importance,
    quantiles,
)
from reports.tables.run_tables import tables_of
from reports.tables.table import Table
from tests.support import RESULTS


def learnt(run: Run) -> list[Table]:
    """The tables that need several trials."""
    learnt = ("front", "distribution", "aux_effect", "importance")
    return [table for table in tables_of(run) if table.name in learnt]


@pytest.fixture
def run() -> Run:
    return reports.load(RESULTS / "splits_cifar10")


def test_front_and_hypervolume_by_hand() -> None:
    """(score, cost): (3, 5) and (1, 2) stand; (2, 6) is beaten by (3, 5), (1, 2) comes once. Area to (0, 10): 1*8 + 2*5."""
    points = [(2.0, 6.0), (3.0, 5.0), (1.0, 2.0), (1.0, 2.0), (0.5, 4.0)]
    assert front_of(points) == [2, 1]
    assert hypervolume(points, (0.0, 10.0)) == 1 * 8 + 2 * 5
    assert hypervolume(points, (3.0, 10.0)) == 0.0
    assert hypervolume([], (0.0, 1.0)) == 0.0


def test_front_agrees_with_optuna() -> None:
    """Optuna's `best_trials` is the judge of the front; counting cells of a grid that of the area."""
    generator = random.Random(0)
    for _ in range(20):
        points = [(generator.randrange(12), generator.randrange(12)) for _ in range(15)]
        study = optuna.create_study(directions=["maximize", "minimize"])
        for score, cost in points:
            study.add_trial(optuna.trial.create_trial(values=[score, cost]))
        assert {points[i] for i in front_of(points)} == {tuple(t.values) for t in study.best_trials}
        cells = sum(any(s > x and c <= y for s, c in points) for x in range(12) for y in range(12))
        assert hypervolume(points, (0, 12)) == cells


def test_the_front_of_a_study(run: Run) -> None:
    table = front(run)
    assert table is not None
    assert table.frame["trial"].tolist() == ["11", "18", "7", "13"]
    assert table.frame["macs"].is_monotonic_increasing
    assert table.frame["val_accuracy"].is_monotonic_increasing
    grown = hypervolume_by_trial(run)
    assert grown["hypervolume"].is_monotonic_increasing
    assert len(grown) == len(run.ranked)
    assert 0 < grown["hypervolume"].iloc[-1] < 1
    level = run.trials.assign(macs=1e6)
    assert front(replace(run, trials=level)) is None  # nothing to trade


def test_loss_is_better_when_it_is_lower(run: Run) -> None:
    lower = replace(run, config=run.config | {"objective": "val_loss"})
    table = front(lower)
    assert table is not None
    assert table.frame["val_loss"].is_monotonic_decreasing


def test_the_distribution_has_a_band_and_says_whose_it_is(run: Run) -> None:
    frame = distribution(run)
    assert frame["share"].iloc[-1] == 1.0
    assert ((frame["low"] <= frame["share"]) & (frame["share"] <= frame["high"])).all()
    table = quantiles(run)
    assert table is not None
    median = table.frame[table.frame["quantile"] == "median"].iloc[0]
    assert median["score"] == pytest.approx(100 * run.ranked["val_accuracy"].median())
    assert median["low"] <= median["score"] <= median["high"]
    assert "its proposals, not the space" in table.notes[0]
    even = quantiles(replace(run, config=run.config | {"sampler": {"name": "random"}}))
    assert even is not None
    assert "this is the space" in even.notes[0]


def test_auxiliary_weights_against_each_accuracy(run: Run) -> None:
    table = aux_effect(run)
    assert table is not None
    assert table.frame[["head", "of"]].values.tolist() == [
        [head, what] for head in ("3b", "4b") for what in ("network", "head 3b", "head 4b")
    ]
    ranks = run.ranked[["aux_weight.3b", "val_aux_accuracy.3b"]].rank()
    assert table.frame["rho"].iloc[1] == pytest.approx(np.corrcoef(ranks.T)[0, 1])
    fixed = run.trials.assign(**{"aux_weight.3b": 0.3, "aux_weight.4b": 0.3})
    assert aux_effect(replace(run, trials=fixed)) is None


def test_importance_finds_what_matters_by_both_evaluators() -> None:
    generator = np.random.default_rng(0)
    values = generator.random((60, 2))
    distributions = {
        name: optuna.distributions.distribution_to_json(optuna.distributions.FloatDistribution(0, 1))
        for name in ("lr", "idle")
    }
    frame = pd.DataFrame(
        {
            "trial": list(map(str, range(60))),
            "state": "complete",
            "duplicate_of": None,
            "val_accuracy": values[:, 0] ** 2,
        }
        | {"searched.lr": values[:, 0], "searched.idle": values[:, 1], "macs": 1e6}
    )
    run = Run(Path(), "study", "made", {}, {}, [], distributions, frame, pd.DataFrame(), {})
    table = importance(run)
    assert table is not None
    assert table.frame["parameter"].tolist() == ["lr", "idle"]
    for column in ("importance", "mdi"):
        assert table.frame[column].iloc[0] > 0.9
        assert table.frame[column].sum() == pytest.approx(1.0)


def test_pruned_trials_are_left_out_and_told(run: Run) -> None:
    best = run.ranked.iloc[0]["trial"]
    pruned = run.trials.assign(state=run.trials["state"].where(run.trials["trial"] != best, "pruned"))
    cut = replace(run, trials=pruned)
    assert len(cut.ranked) == len(run.ranked) - 1
    tables = learnt(cut)
    assert [table.name for table in tables] == ["front", "distribution", "aux_effect", "importance"]
    for table in tables:
        assert any("1 pruned trial(s) are left out" in note and "censored" in note for note in table.notes)
    assert best not in front(cut).frame["trial"].tolist()  # type: ignore[union-attr]
    assert best not in hypervolume_by_trial(cut)["trial"].tolist()
    assert distribution(cut)["value"].max() < run.ranked.iloc[0]["val_accuracy"]
    assert not any("pruned" in note for table in learnt(run) for note in table.notes)


def test_with_few_trials_nothing_is_claimed(run: Run) -> None:
    few = replace(run, trials=run.trials[run.trials["trial"].isin(["base", "2", "4"])])
    assert learnt(few) == []
