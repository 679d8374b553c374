"""What the last flat layout wrote (commit 3eb6d61) is still read, resumed, confirmed, extended and reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import arch
import reports
import search
from reports.tables.overview import trials
from search.engines.task import Task, run
from search.progress import Silent
from search.record.files import read_json, read_lines, read_yaml
from tests.support import DATA, ROOT
from tests.support.commands import here

WRITTEN_WITH_TORCH = "2.14.1"


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the earlier runs; their files name networks from the root of the project."""
    monkeypatch.chdir(ROOT)
    shutil.copytree(DATA / "earlier", tmp_path / "runs")
    return tmp_path / "runs"


def test_an_earlier_study_goes_on(earlier: Path) -> None:
    run_directory = earlier / "study"
    before = reports.load(run_directory).trials
    study = read_yaml(run_directory / "study.yaml") | {"storage": ""}
    outcome = search.run_study(study, run_directory, trials=4, show=Silent())
    assert (outcome.finished, outcome.ended) == (4, "complete")
    after = reports.load(run_directory).trials
    assert len(after) == len(before) + 1
    shown = trials(reports.load(run_directory))
    assert shown.frame["activations"].notna().sum() == 1  # earlier results do not hold them
    kept = after[after["trial"].isin(before["trial"])]
    assert kept["val_accuracy"].tolist() == before["val_accuracy"].tolist()


def test_an_earlier_confirmation_and_ablation_grow(earlier: Path) -> None:
    assert search.confirm_study(earlier / "study", top=1, seeds=1).complete == 2
    planned = read_yaml(earlier / "ablation" / "ablation.yaml")
    grown = search.run_ablation(planned | {"seeds": 2}, earlier / "ablation")
    assert grown.complete == 4
    assert len(read_json(earlier / "ablation" / "plan.json")["grown"]) == 1


def test_an_earlier_checkpoint_is_resumed(earlier: Path) -> None:
    if torch.__version__.partition("+")[0] != WRITTEN_WITH_TORCH:
        pytest.skip("a checkpoint is of one torch version")
    folder = earlier / "training"
    first = read_lines(folder / "metrics.jsonl")
    task = Task(
        str(folder),
        arch.to_mapping(arch.load(folder / "spec.yaml")),
        {"base": "default", "epochs": 2, "batch": 128, "precision": "fp32"},
        {"name": "digits"},
        execution="plain",
    )
    epochs = list(run(task))
    assert [epoch.restored for epoch in epochs] == [True, False]
    assert read_lines(folder / "metrics.jsonl")[:1] == first
    assert read_json(folder / "result.json")["state"] == "complete"


def test_earlier_weights_are_evaluated(earlier: Path) -> None:
    weights = earlier / "study" / "trials" / "00000" / "weights.safetensors"
    recorded = read_json(weights.with_name("result.json"))["val_accuracy"]
    assert search.evaluate(weights).accuracy == pytest.approx(recorded, abs=0.02)


@pytest.mark.parametrize("kind", ["study", "ablation"])
def test_an_earlier_run_is_reported(kind: str, earlier: Path) -> None:
    assert here("status", str(earlier / kind)).returncode == 0
    done = here("report", str(earlier / kind), "--static")
    assert done.returncode == 0, done.stderr
    assert (earlier / kind / "report" / "index.html").exists()
