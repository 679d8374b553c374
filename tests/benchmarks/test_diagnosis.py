"""The diagnosis follows from the committed records."""

from __future__ import annotations

import math

import pytest

from benchmarks import diagnosis
from search.record.files import read_json

RECORD = read_json(diagnosis.RESULT)


def test_the_record_is_what_the_records_give() -> None:
    noise = diagnosis.seed_noise()
    assert noise == RECORD["seed noise"]
    bounds = RECORD["held-out noise at one epoch, bounds"]
    assert diagnosis.searches(bounds) == RECORD["searches"]
    assert diagnosis.winners(bounds) == RECORD["winners"]
    assert diagnosis.scores() == RECORD["scores"]
    assert diagnosis.early() == RECORD["early"]
    assert diagnosis.families() == RECORD["families"]


def test_longer_trainings_have_less_noise() -> None:
    noise = RECORD["seed noise"]
    assert noise["1"]["sd"] > noise["2"]["sd"] > noise["3"]["sd"] > noise["20"]["sd"]
    assert noise["3"]["interval"][1] < noise["1"]["interval"][0]


def test_pooled_by_hand() -> None:
    """0.70 and 0.72 differ by sd 0.01414, 0.50, 0.51, 0.52 by 0.01: (0.0002 + 0.0002) / 3."""
    found = diagnosis.pooled([[0.70, 0.72], [0.50, 0.51, 0.52]])
    assert found["sd"] == pytest.approx(100 * math.sqrt(0.0004 / 3), abs=1e-3)
    assert (found["trainings"], found["networks"]) == (5, 2)


def test_what_was_seen_was_not_confirmed() -> None:
    for found in RECORD["winners"].values():
        assert found["seen in the search"] > 0 > found["confirmed at 3 epochs"]
    splits = RECORD["searches"]["iso_splits_tpe"]["at noise"]
    assert all(found["best"][0]["gain"] < found["best"][0]["seen"] / 2 for found in splits.values())


def test_the_base_is_no_uniform_draw() -> None:
    assert RECORD["space"]["3x3"]["percentile"] > 99
    assert RECORD["space"]["pool"]["percentile"] < 5
