"""TPE learns from its trials: what was recorded, and a smaller race run anew."""

from __future__ import annotations

import statistics

import optuna
import pytest
from optuna.samplers import RandomSampler

import arch
from benchmarks import iso
from benchmarks.samplers import RANDOM, RESULT, compare, hidden_split, proportions, regrets, summary, value
from search.data.batches import mix
from search.record.files import read_json

optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_the_record_says_that_tpe_beats_random_and_is_of_this_objective() -> None:
    record = read_json(RESULT)
    medians = {name: found["regret quartiles"]["after 100"][1] for name, found in record["samplers"].items()}
    assert len(record["seeds"]) == 20
    assert medians["tpe"] < medians[RANDOM]
    assert record["samplers"]["tpe"]["wilcoxon p, two-sided"] < 0.01
    again = regrets(RandomSampler(seed=mix(0, 0) % 2**32), hidden_split(0), 100)
    assert round(again[-1], 4) == record["samplers"][RANDOM]["regrets by seed"][0]


def test_the_objective_is_zero_at_the_hidden_split_and_below_elsewhere() -> None:
    one, two = hidden_split(0), hidden_split(1)
    assert (one != two).any()
    curve = regrets(RandomSampler(seed=5), one, 12)
    assert curve == sorted(curve, reverse=True)
    assert min(curve) > 0
    base = arch.load("googlenet_cifar_small")
    assert value(base, proportions(base)) == 0
    assert value(base, one) < 0


def test_splits_at_equal_macs_are_solved_as_recorded() -> None:
    record = read_json(iso.RESULT)["spaces"]
    assert all(found["solved"] == found["count"] == 4_000 for found in record.values())
    assert set(record) == set(iso.SPACES)
    for space in iso.SPACES.values():
        assert iso.measure(space, 40)["solved"] == 40


@pytest.mark.slow
def test_tpe_beats_random_in_median_regret() -> None:
    """Seven seeds of 60 trials."""
    found = compare([RANDOM, "tpe"], 7, 60)
    medians = {name: statistics.median(curve[-1] for curve in curves) for name, curves in found.items()}
    assert medians["tpe"] < medians[RANDOM]
    assert summary(found, 60)["tpe"]["seeds better than random"] >= 5
