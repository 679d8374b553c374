"""Rungs: who is compared with whom, with one objective or several, and rebuilt from the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import arch
import reports
from benchmarks import pruning
from benchmarks.pruning import Curve, dominated, replay
from search.record.files import read_lines
from search.record.layout import results
from search.record.status import status
from search.sampling.rungs import Rungs
from search.study.run import run_study
from tests.support import study
from tests.support.fake import Killed

SPACE = {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}}
RECIPE = {"base": "default", "epochs": 8, "batch": 128, "precision": "fp32"}
PRUNED: dict[str, Any] = {
    "space": SPACE,
    "recipe": RECIPE,
    "pruner": {"name": "rungs", "better": 2, "similar": 0.5},
    "trials": 16,
}


def test_rungs_by_hand() -> None:
    assert [epoch for epoch in range(1, 30) if Rungs().is_rung(epoch)] == [1, 2, 4, 8, 16]
    assert [epoch for epoch in range(1, 30) if Rungs(first=3, factor=1.5).is_rung(epoch)] == [3, 4, 6, 9, 13, 19, 28]
    assert [epoch for epoch in range(1, 6) if Rungs(factor=1.1).is_rung(epoch)] == [1, 2, 3, 4, 5]


def test_dearer_ones_do_not_count_and_cheaper_ones_do() -> None:
    rungs = Rungs(better=2, keep=0.0, similar=0.25)
    for number, (macs, loss) in enumerate([(100, 0.5), (125, 0.4), (126, 0.3), (1000, 0.1), (1000, 0.1)]):
        rungs.note(str(number), macs, 1, loss)
    assert not rungs.prunes("0", 1)  # only the second is better at a similar cost
    rungs.note("cheap", 10, 1, 0.45)
    assert rungs.prunes("0", 1)  # a far cheaper one is better too
    assert not rungs.prunes("cheap", 1)
    assert not rungs.prunes("0", 3)  # no rung


@pytest.mark.parametrize(("keep", "ended"), [(0.25, 7), (0.5, 5), (0.9, 1)])
def test_a_part_of_the_peers_goes_on(keep: float, ended: int) -> None:
    rungs = Rungs(better=1, keep=keep)
    for number in range(10):
        rungs.note(str(number), 100, 1, number)
    assert [rungs.prunes(str(number), 1) for number in range(10)] == [False] * (10 - ended) + [True] * ended


def test_without_costs_it_is_successive_halving() -> None:
    rungs = Rungs(better=1, keep=0.5, similar=float("inf"))
    for number, macs in enumerate((1, 10, 100, 1000)):
        rungs.note(str(number), macs, 1, number)
    assert [rungs.prunes(str(number), 1) for number in range(4)] == [False, False, True, True]


def test_the_dominated_by_hand() -> None:
    curves = [Curve(n, macs, (acc,), (acc,)) for n, (macs, acc) in enumerate([(2, 0.3), (4, 0.2), (5, 0.6), (12, 0.9)])]
    assert dominated(curves, 0.1, 10) == pytest.approx(0.2 * 8 + 0.3 * 5)


def test_a_replay_by_hand() -> None:
    curves = [Curve(n, 100, (acc, acc + 0.1), (acc, acc)) for n, acc in enumerate((0.5, 0.4, 0.6, 0.3))]
    found = replay(curves, Rungs(better=1, keep=0.0))
    assert [curve.number for curve in found.finished] == [0, 2]
    assert found.epochs == 2 + 1 + 2 + 1
    assert found.parts == {1: 0.5, 2: 0.0}


@pytest.mark.skipif(not pruning.RESULT.exists(), reason="no learning curves have been gathered yet")
def test_the_record_of_pruning_is_what_the_curves_give() -> None:
    written = json.loads(pruning.RESULT.read_text())
    curves = pruning.read_curves()
    assert written["networks"] == len(curves) >= 48
    found = pruning.judged(curves, [replay(order, Rungs()) for order in pruning.orders(curves, pruning.ORDERS)])
    assert found == written["results"]["rungs"]


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("objective", ["val_accuracy", ["val_accuracy", "macs"]])
def test_pruned_trials_are_kept_as_censored(objective: Any, tmp_path: Path) -> None:
    assert run_study(study(objective=objective, **PRUNED), tmp_path).finished == 16
    found = list(results(tmp_path))
    pruned = [r for r in found if r["state"] == "pruned"]
    assert 2 < len(pruned) < 14
    assert status(tmp_path)["pruned"] == len(pruned)
    trials = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}").trials
    for result in pruned:
        assert result["epochs"] in (1, 2, 4)
        trial = trials[result["trial"]]
        assert trial.state.name == "PRUNED"
        assert trial.user_attrs["epochs"] == result["epochs"]
        assert trial.user_attrs["val_accuracy"] == result["val_accuracy"]
    assert {r["epochs"] for r in found if r["state"] == "complete"} == {8}
    frame = reports.load(tmp_path).trials
    assert (frame["state"] == "pruned").sum() == len(pruned)
    # Whoever is on the front of all was among the few best at its cost on every rung, or stood there early.
    best = max((r for r in found if r["state"] == "complete"), key=lambda r: r["val_accuracy"])
    assert best["val_accuracy"] == max(r["val_accuracy"] * 8 / r["epochs"] for r in found)


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("objective", ["val_accuracy", ["val_accuracy", "macs"]])
def test_a_killed_study_prunes_what_it_would_have_pruned(
    objective: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = study(objective=objective, **PRUNED)
    run_study(config, tmp_path / "whole")
    original, left = Rungs.prunes, [0]

    def dying(self: Rungs, key: str, epoch: int) -> bool:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return original(self, key, epoch)

    for left[0] in (1, 9, 17, 5):
        with monkeypatch.context() as patch:
            patch.setattr(Rungs, "prunes", dying)
            with pytest.raises(Killed):
                run_study(config, tmp_path / "killed")
    run_study(config, tmp_path / "killed")
    assert list(ends(tmp_path / "killed")) == list(ends(tmp_path / "whole"))
    assert len(read_lines(tmp_path / "killed" / "attempts.jsonl")) > 4


def ends(run: Path) -> Iterator[tuple[Any, ...]]:
    for result in results(run):
        yield result["trial"], result["state"], result["epochs"], result["key"], result["val_accuracy"]


def test_training_accuracy_is_no_measure_where_images_differ(tmp_path: Path) -> None:
    space = {"recipe": {"cutout": {"choices": [0, 8]}}}
    with pytest.raises(arch.InputError, match=r"recipe\.cutout is searched.*by: objective"):
        run_study(study(space=space, pruner={"name": "rungs"}), tmp_path)
    with pytest.raises(arch.InputError, match="by must be one of train_accuracy, objective"):
        run_study(study(pruner={"name": "rungs", "by": "loss"}), tmp_path)


def test_a_real_training_is_pruned(tmp_path: Path) -> None:
    config = study(
        objective=["val_accuracy", "macs"],
        space=SPACE,
        recipe={"base": "default", "epochs": 2, "batch": 256, "precision": "fp32"},
        pruner={"name": "rungs", "better": 1, "keep": 0.0, "similar": float("inf")},
        trials=3,
    )
    run_study(config, tmp_path)
    found = list(results(tmp_path))
    assert {r["state"] for r in found} >= {"pruned"}
    for result in (r for r in found if r["state"] == "pruned"):
        assert result["epochs"] == 1
        assert not (tmp_path / "trials" / f"{result['trial']:05d}" / "weights.safetensors").exists()
