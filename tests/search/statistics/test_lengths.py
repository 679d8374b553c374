from __future__ import annotations

import math

import numpy as np
import pytest

from arch.errors import InputError
from search.statistics.effects import Training
from search.statistics.lengths import transfer


def pilot(
    candidates: int, correlation: float, noise: float, seeds: int, rng: np.random.Generator
) -> tuple[list[Training], list[Training]]:
    """Return trainings at two lengths; `noise` is the correlation of one training's noise at both."""
    short, long = [], []
    for name in ("base", *map(str, range(candidates))):
        own = rng.standard_normal(2) * (name != "base")
        there = correlation * own[0] + math.sqrt(1 - correlation**2) * own[1]
        for seed in range(seeds + 2 * (name == "base")):
            luck = rng.standard_normal(2)
            later = noise * luck[0] + math.sqrt(1 - noise**2) * luck[1]
            short.append(Training(name, seed, 75 + 0.8 * own[0] + 0.75 * luck[0]))
            long.append(Training(name, seed, 85 + 0.7 * there + 0.45 * later))
    return short, long


def test_noise_in_both_does_not_hide_the_correlation() -> None:
    rng, found, plain = np.random.default_rng(0), [], []
    for _ in range(6):
        short, long = pilot(60, 0.9, 0.0, 2, rng)
        found.append(transfer(short, long, "base"))
        means = [[np.mean([t.value for t in of if t.candidate == str(i)]) for i in range(60)] for of in (short, long)]
        plain.append(float(np.corrcoef(means)[0, 1]))
    assert np.mean(plain) < 0.75
    assert np.mean([one.correlation for one in found]) == pytest.approx(0.88, abs=0.05)  # the prior takes a little
    assert sum(one.interval[0] < 0.9 < one.interval[1] for one in found) >= 4
    assert {one.candidates for one in found} == {60}


def test_the_noise_of_one_training_is_no_transfer() -> None:
    """An early epoch and the end share their luck: it is found as that, and only a little is left of the prior."""
    found = transfer(*pilot(80, 0.0, 0.9, 2, np.random.default_rng(1)), "base")
    assert found.noise == pytest.approx(0.9, abs=0.08)
    assert found.correlation < 0.3


def test_few_candidates_stay_near_what_is_known_before() -> None:
    rng = np.random.default_rng(2)
    found = [transfer(*pilot(4, 0.6, 0.0, 2, rng), "base") for _ in range(20)]
    assert np.std([one.correlation for one in found]) < 0.15
    assert all(high - low > 0.3 for low, high in (one.interval for one in found))
    assert np.mean([one.interval[0] < 0.6 < one.interval[1] for one in found]) > 0.9


def test_nothing_in_common_is_the_prior() -> None:
    short, long = pilot(3, 0.5, 0.0, 1, np.random.default_rng(3))
    other = [t if t.candidate == "base" else t._replace(candidate=f"x{t.candidate}") for t in long]
    found = transfer(short, other, "base")
    assert (found.correlation, found.candidates) == (pytest.approx(0.6, abs=0.01), 0)
    with pytest.raises(InputError, match="'base' has no training"):
        transfer([t for t in short if t.candidate != "base"], long, "base")


def test_the_unit_of_either_length_changes_nothing() -> None:
    short, long = pilot(12, 0.7, 0.2, 2, np.random.default_rng(4))
    found = transfer(short, long, "base")
    scaled = transfer([t._replace(value=3 * t.value - 1) for t in short], long, "base")
    assert scaled.correlation == pytest.approx(found.correlation, abs=1e-6)
