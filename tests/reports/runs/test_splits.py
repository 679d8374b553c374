from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import arch
import reports
from reports.runs.load import export
from reports.runs.splits import RowSplit, splits
from tests.support import RESULTS


def test_a_split_is_numbers_and_its_text_is_read_back() -> None:
    found = splits(arch.load("googlenet"))["3a"]
    assert found.channels == {"1x1": 64, "3x3": 128, "5x5": 32, "pool": 32}
    assert str(found) == "inception_v1 64 | 96>128 | 16>32 | 32"
    assert RowSplit.read(str(found)) == found


def test_trials_hold_splits_and_a_report_writes_them_as_text(tmp_path: Path) -> None:
    run = reports.load(RESULTS / "splits_cifar10")
    base = run.trials[run.trials["trial"] == "base"].iloc[0]
    assert {row: base[f"row.{row}"] for row in splits(run.specs["base"])} == splits(run.specs["base"])
    export(run, tmp_path)
    assert (tmp_path / "trials.csv").read_text() == (RESULTS / "splits_cifar10" / "trials.csv").read_text()


def test_a_text_that_is_no_split_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(RESULTS / "splits_cifar10", folder)
    text = (folder / "trials.csv").read_text()
    (folder / "trials.csv").write_text(text.replace(" | ", " / ", 1))
    with pytest.raises(
        arch.InputError, match=r"trials\.csv, column row\..*: '.*' is no split; one reads `inception_v1 16"
    ):
        reports.load(folder)
