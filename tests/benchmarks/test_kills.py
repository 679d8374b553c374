"""A dozen kills at random moments, and what the records of the many say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kills import RECORDS, finish, missing, recorded
from search.record.files import read_json
from search.study.run import run_study
from tests.support import study


@pytest.mark.parametrize(
    ("only", "kills"),
    [
        pytest.param("search:driver", 3, marks=pytest.mark.slow),
        pytest.param("train:driver,search:driver", 12, marks=pytest.mark.slow),
        pytest.param("confirm:driver,ablate:driver", 8, marks=pytest.mark.slow),
        pytest.param("race:driver", 3, marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments_nothing_recorded_is_lost(only: str, kills: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.kills", "--only", only, "--kills", str(kills), "--to", str(tmp_path)]
    done = subprocess.run(
        [*command, "--minutes", "5", "--seed", "1"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [read_json(path) for path in tmp_path.glob("*.json")]
    assert sum(record["injected"] for record in found) == kills
    assert all(record["completed runs, equal to one never killed"] for record in found)
    assert [record["what was lost"] for record in found] == [[] for _ in only.split(",")]


def test_what_is_missing_or_other_than_it_was_is_noticed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_study(study(), run)
    before = recorded(run)
    assert missing(before, recorded(run)) == []
    (run / "trials" / "00001" / "result.json").unlink()
    path = run / "trials" / "00002" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    told = missing(before, recorded(run))
    assert told == ["trials/00001/result.json is gone", "trials/00002/metrics.jsonl, epoch 2 is gone"]
    with pytest.raises(RuntimeError, match="failed"):
        finish(["report", str(tmp_path / "nothing")], tmp_path / "log")


def test_the_records_say_how_often_and_that_nothing_was_lost() -> None:
    found = [read_json(path) for path in sorted(RECORDS.glob("kills_*.json"))]
    assert {record["fault"].rpartition(" ")[2] for record in found} == {
        "search",
        "train",
        "confirm",
        "ablate",
        "report",
        "race",
    }
    for record in found:
        assert record["injected"] > 0
        assert record["lost"] == 0
        assert record["environment"]["commit"]
