from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import arch
import reports
from tests.support import RESULTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    shutil.copytree(RESULTS / "splits_cifar10", place / "studies" / "splits")
    shutil.copytree(RESULTS / "googlenet_cifar_small", place / "single")
    shutil.copytree(RESULTS / "googlenet_cifar_small", place / "single" / "report")  # no run of its own
    (place / "notes").mkdir()
    return place


def test_a_folder_of_runs_is_one_frame_a_kind_of_row(folder: Path) -> None:
    found = reports.load_all(folder)
    assert list(found.runs) == ["single", "studies/splits"]
    study = reports.load(RESULTS / "splits_cifar10")
    assert len(found.trials) == len(study.trials) + 1
    assert len(found.epochs) == len(study.epochs) + 8
    assert found.trials.columns[0] == found.epochs.columns[0] == "run"
    mine = found.trials[found.trials["run"] == "studies/splits"]
    assert mine["val_accuracy"].max() == study.trials["val_accuracy"].max()
    assert found.confirmations.empty
    assert not found.unread
    assert list(reports.load_all(folder / "single").runs) == ["."]


def test_a_run_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "single", tmp_path / "whole")
    shutil.copytree(folder / "single", tmp_path / "broken")
    (tmp_path / "broken" / "environment.json").write_text("{")
    found = reports.load_all(tmp_path)
    assert list(found.runs) == ["whole"]
    assert "damaged" in found.unread["broken"]


def test_no_folder_and_no_run_in_it(tmp_path: Path) -> None:
    with pytest.raises(arch.InputError, match="no run is in it"):
        reports.load_all(tmp_path)
    with pytest.raises(arch.InputError, match="is no folder"):
        reports.load_all(tmp_path / "nowhere")
