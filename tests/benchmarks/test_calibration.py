"""What a search says of its choice comes true: what was recorded, and smaller simulations run again."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibration import DRAWN, RESULT, SPACES, deciles, outcomes, pilots, races, summary, table
from search.record.files import read_json

RECORD = read_json(RESULT)


@pytest.mark.parametrize("space", [*SPACES, DRAWN])
def test_recorded_chances_are_calibrated_within_five_points(space: str) -> None:
    known = RECORD["spaces"][space]["known"]
    assert known["studies"] == 10_000
    assert known["largest difference"] < 0.05
    largest = max(abs(tenth["said"] - tenth["came true"]) for tenth in known["deciles"])
    assert largest == pytest.approx(known["largest difference"])


@pytest.mark.parametrize("space", [*SPACES, DRAWN])
def test_the_recorded_gain_is_unbiased_and_what_is_seen_is_not(space: str) -> None:
    known = RECORD["spaces"][space]["known"]
    bias, error = known["bias of the gain, se"]
    assert abs(bias) < 3 * error
    curse, error = known["bias of what is seen, se"]
    assert curse > 20 * error
    assert known["true gain chosen by gain, se"][0] > known["true gain chosen by what is seen, se"][0]


def test_recorded_races_find_more_than_the_best_of_n_with_the_same_work() -> None:
    found = RECORD["races"]
    best = max(figures["gain"] for name, figures in found.items() if name.startswith("best of N"))
    assert found["race, a quarter for seeds"]["gain"] > best + 0.02
    assert found["race, a quarter for seeds, a quarter passes the pause"]["gain"] > best + 0.1
    assert "race, a quarter for seeds: gain" in table(RECORD)


@pytest.mark.parametrize("space", SPACES)
def test_a_smaller_run_is_calibrated_too(space: str) -> None:
    """600 studies: a third's error is at most 0.035, and the whole's bias 0.02."""
    found = outcomes(space, 600, known=True, seed=11)
    ordered = sorted(found, key=lambda one: one.chance)
    for part in (ordered[:200], ordered[200:400], ordered[400:]):
        assert np.mean([one.chance for one in part]) == pytest.approx(np.mean([one.true > 0 for one in part]), abs=0.08)
    figures = summary(found)
    assert abs(figures["bias of the gain, se"][0]) < 0.08 < figures["bias of what is seen, se"][0]
    assert figures["interval of 95 % covers"] == pytest.approx(0.95, abs=0.03)


def test_estimated_variances_err_on_the_careful_side() -> None:
    found = summary(outcomes("0.71", 100, known=False, seed=12))
    assert found["bias of the gain, se"][0] < 0.08
    assert found["interval of 95 % covers"] > 0.88


def test_deciles_show_what_is_not_calibrated() -> None:
    found = [one._replace(chance=1 - one.chance) for one in outcomes("0.71", 200, known=True)]
    assert max(abs(tenth["said"] - tenth["came true"]) for tenth in deciles(found)) > 0.5


def test_estimated_variances_are_calibrated_over_spaces_of_any_reliability() -> None:
    assert RECORD["spaces"][DRAWN]["estimated"]["largest difference"] < 0.05
    low, high = (RECORD["spaces"][space]["estimated"]["bias of the gain, se"][0] for space in ("0.15", "0.71"))
    assert high < 0 < low < 0.2


def test_races_and_pilots_again() -> None:
    found = races(400)
    assert found["race, a quarter for seeds"]["gain"] > found["best of N, 1 epoch"]["gain"] + 0.3
    assert min(pilots("0.71", 25).values()) > 0.75
