"""A dozen kills at random moments, and what the records of the many say."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from benchmarks.kills import RECORDS, copy, finish, missing, prepare, recorded, scenes, torment
from search.record import read_json


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    prepare(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "kills"),
    [("search", 6), ("train", 6), *(pytest.param(name, 4, marks=pytest.mark.slow) for name in ("confirm", "ablate"))],
)
def test_killed_at_random_moments_nothing_recorded_is_lost(name: str, kills: int, prepared: Path) -> None:
    scene = next(scene for scene in scenes(prepared) if scene.name == name and scene.victim == "driver")
    tally = torment(scene, prepared, kills, time.monotonic() + 120, random.Random(1))
    assert tally.injected == kills
    assert tally.ended >= 1
    assert tally.lost == []


def test_what_is_missing_or_other_than_it_was_is_noticed(prepared: Path, tmp_path: Path) -> None:
    copy(prepared / "done", tmp_path / "run")
    before = recorded(tmp_path / "run")
    assert missing(before, recorded(tmp_path / "run")) == []
    (tmp_path / "run" / "trials" / "00001" / "result.json").unlink()
    path = tmp_path / "run" / "trials" / "00002" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    told = missing(before, recorded(tmp_path / "run"))
    assert told == ["trials/00001/result.json is gone", "trials/00002/metrics.jsonl, epoch 4 is gone"]
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
    }
    for record in found:
        assert record["injected"] > 0
        assert record["lost"] == 0
        assert record["environment"]["commit"]
