from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from arch.errors import InputError
from search.statistics.effects import Effects, Training, Variances, estimate, variance_intervals

KNOWN = Variances(within=0.5, between=0.8, seeds=0.3)


def study(
    seeds: Sequence[int], variances: Variances, rng: np.random.Generator, middle: float = -0.5, of_base: int = 3
) -> tuple[list[Training], np.ndarray]:
    """Return trainings of candidates with so many seeds each, and the candidates' true gains."""
    common = rng.normal(0, variances.seeds, 100)
    gains = rng.normal(middle, variances.between, len(seeds))
    values = {"base": (0.0, of_base)} | {str(i): (gain, seeds[i]) for i, gain in enumerate(gains)}
    found = [
        Training(name, seed, 75 + gain + common[seed] + rng.normal(0, variances.within))
        for name, (gain, amount) in values.items()
        for seed in range(amount)
    ]
    return found, gains


def conditioned(
    trainings: Sequence[Training], variances: Variances, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of candidates minus base by conditioning one large normal on the scores.

    Unknown values: base, middle, each candidate's distance; base and middle with an all but flat prior.
    """
    flat = 1e5
    prior = np.diag([flat, flat, *[variances.between**2] * len(names)])
    look = np.array(
        [[t.candidate == "base", t.candidate != "base", *(t.candidate == n for n in names)] for t in trainings]
    )
    same = np.array([[a.seed == b.seed for b in trainings] for a in trainings])
    noise = variances.within**2 * np.eye(len(trainings)) + variances.seeds**2 * same
    look = look.astype(float)
    gain = prior @ look.T @ np.linalg.inv(look @ prior @ look.T + noise)
    y = np.array([t.value for t in trainings])
    mean = gain @ (y - y.mean())
    covariance = prior - gain @ look @ prior
    apart = np.hstack([-np.ones((len(names), 1)), np.ones((len(names), 1)), np.eye(len(names))])
    return apart @ mean, apart @ covariance @ apart.T


def test_by_hand() -> None:
    """No seed effect, base 70 and 72, one candidate 74: flat priors, so the gain is 74 - 71 = 3, variance 1 + 1/2."""
    trainings = [Training("base", 0, 70.0), Training("base", 1, 72.0), Training("a", 2, 74.0)]
    found = estimate(trainings, "base", Variances(1.0, 0.5))
    assert found.gain[0] == pytest.approx(3.0)
    assert found.middle == pytest.approx(3.0)
    assert found.covariance[0, 0] == pytest.approx(1.5 + 0.0)
    assert found.chance()[0] == pytest.approx(0.99285, abs=1e-4)  # of a normal above -3 / sqrt(1.5) = -2.449


def test_weights_are_the_share_of_a_mean_that_is_the_networks_own() -> None:
    trainings = [Training("base", 0, 70.0), *(Training("a", seed, 71.0) for seed in range(4)), Training("b", 0, 70.0)]
    assert estimate(trainings, "base", Variances(1.0, 0.5)).weights == pytest.approx([0.25 / 0.5, 0.25 / 1.25])
    assert estimate(trainings, "base", Variances(0.0, 0.0)).weights == pytest.approx([1.0, 1.0])
    assert estimate(trainings, "base", Variances(1.0, 0.0)).weights == pytest.approx([0.0, 0.0])


def test_known_variances_against_one_large_normal() -> None:
    trainings, _ = study([1, 2, 1, 4, 1], KNOWN, np.random.default_rng(0))
    found = estimate(trainings, "base", KNOWN)
    mean, covariance = conditioned(trainings, KNOWN, found.candidates)
    assert found.gain == pytest.approx(mean, abs=1e-4)
    assert found.covariance == pytest.approx(covariance, abs=1e-4)
    assert found.variances is KNOWN


def test_shrinks_towards_the_middle_by_the_reliability() -> None:
    """One training each, no seeds' effect: a gain is the middle plus the reliability times the distance from it."""
    trainings = [Training("base", 0, 75.0), *(Training(str(i), 0, 74.0 + i) for i in range(5))]
    found = estimate(trainings, "base", Variances(0.5, 1.0))
    assert found.variances.reliability == pytest.approx(0.8)
    assert found.middle == pytest.approx(1.0)
    assert found.gain == pytest.approx(1.0 + 0.8 * (np.arange(5) - 2.0))
    assert list(found.order()) == [4, 3, 2, 1, 0]


def test_much_data_gives_the_variances() -> None:
    trainings, _ = study([6] * 150, KNOWN, np.random.default_rng(1), of_base=6)
    found = estimate(trainings, "base")
    assert found.identified
    assert found.variances.within == pytest.approx(KNOWN.within, rel=0.1)
    assert found.variances.between == pytest.approx(KNOWN.between, rel=0.15)
    assert found.reliability == pytest.approx(KNOWN.reliability, abs=0.06)


def test_without_a_spread_little_is_made_of_differences() -> None:
    rng = np.random.default_rng(2)
    trainings, _ = study([2] * 40, Variances(0.5, 0.0), rng)
    found = estimate(trainings, "base")
    assert np.ptp(found.gain) < 0.35 * np.ptp(found.seen)


@pytest.mark.parametrize(
    ("seeds", "of_base", "identified"),
    [([1] * 6, 1, False), ([1] * 6, 3, True), ([1, 1, 2], 1, True), ([3], 3, False), ([], 3, False), ([2, 2], 1, True)],
)
def test_noise_and_spread_are_told_apart_only_by_repeats(seeds: list[int], of_base: int, identified: bool) -> None:
    found = estimate(study(seeds, KNOWN, np.random.default_rng(3), of_base=of_base)[0], "base")
    assert found.identified is identified
    assert (found.reliability is not None) is identified


def test_not_identified_counts_half_as_noise() -> None:
    trainings = [Training("base", 0, 75.0), *(Training(str(i), 0, 74.0 + i) for i in range(5))]
    found = estimate(trainings, "base")
    assert not found.identified
    assert found.gain - found.middle == pytest.approx(0.4875 * (np.arange(5) - 2.0))


def test_one_training_each_says_nothing_of_noise() -> None:
    found = estimate([Training("base", 0, 75.0), Training("a", 0, 77.0)], "base")
    assert found.gain[0] == pytest.approx(2.0)
    assert found.chance()[0] == 0.5
    assert list(found.interval()[0]) == [-math.inf, math.inf]


def test_seen_is_paired_where_the_base_has_the_seeds() -> None:
    base = [Training("base", 0, 70.0), Training("base", 1, 72.0)]
    found = estimate([*base, Training("a", 1, 75.0), Training("b", 1, 75.0), Training("b", 7, 75.0)], "base", KNOWN)
    assert list(found.seen) == [3.0, 4.0]
    assert found.trainings == (1, 2)


def test_a_common_shift_and_the_order_of_trainings_change_nothing() -> None:
    trainings, _ = study([1, 2, 3, 1], KNOWN, np.random.default_rng(4))
    found = estimate(trainings, "base")
    shifted = estimate([t._replace(value=t.value - 70) for t in trainings], "base")
    turned = estimate(trainings[::-1], "base")
    assert shifted.gain == pytest.approx(found.gain)
    assert [turned.of(name).gain for name in found.candidates] == pytest.approx(list(found.gain))
    assert found.of("2").trainings == 3


def test_equal_scores_are_computed_with() -> None:
    found = estimate([Training(name, seed, 75.0) for name in ("base", "a", "b") for seed in range(2)], "base")
    assert found.gain == pytest.approx([0.0, 0.0])
    assert np.isfinite(found.covariance).all()


def test_the_chosen_gain_is_unbiased_and_the_seen_one_is_not() -> None:
    """200 studies with few data and unknown variances: bias of the best's gain, coverage of its interval."""
    rng = np.random.default_rng(5)
    bias, curse, covered = [], [], []
    for _ in range(200):
        trainings, gains = study([1] * 12 + [2] * 8, KNOWN, rng)
        found: Effects = estimate(trainings, "base")
        best = int(found.order()[0])
        low, high = found.interval()[best]
        bias.append(found.gain[best] - gains[int(found.candidates[best])])
        curse.append(found.seen.max() - gains[int(found.candidates[int(found.seen.argmax())])])
        covered.append(low < gains[int(found.candidates[best])] < high)
    error = 3 * float(np.std(bias)) / math.sqrt(len(bias))
    assert abs(np.mean(bias)) < error + 0.05
    assert np.mean(curse) > 0.3
    assert np.mean(covered) > 0.9


def test_intervals_of_a_pilot_cover() -> None:
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(60):
        trainings, _ = study([2] * 10, KNOWN, rng)
        found = variance_intervals(trainings, "base", draws=500)
        truth = (KNOWN.within, KNOWN.between, KNOWN.reliability, -0.5)
        covered.append([low < true < high for (low, high), true in zip(found, truth, strict=True)])
    assert (np.mean(covered, axis=0) > 0.85).all()
    with pytest.raises(InputError, match="only trainings of the base"):
        variance_intervals([Training("base", 0, 1.0)], "base")


def test_a_diverged_candidate_changes_nothing_for_the_others() -> None:
    trainings, _ = study([1] * 12 + [2] * 4, KNOWN, np.random.default_rng(8))
    found = estimate(trainings, "base")
    more = estimate([*trainings, Training("lost", 0, 10.0)], "base")
    assert more.candidates[-1] == "lost"
    assert more.gain[-1] == pytest.approx(more.seen[-1], abs=1.0)  # not shrunk
    assert more.chance()[-1] == pytest.approx(0.0)
    assert more.middle == pytest.approx(found.middle, abs=0.02)
    assert more.gain[:-1] == pytest.approx(found.gain, abs=0.05)
    assert more.variances.between == pytest.approx(found.variances.between, abs=0.05)


def test_errors() -> None:
    with pytest.raises(InputError, match="'base' has no training"):
        estimate([Training("a", 0, 75.0)], "base")
    with pytest.raises(InputError, match="'a', seed 3, has nan"):
        estimate([Training("base", 0, 75.0), Training("a", 3, math.nan)], "base")
    with pytest.raises(InputError, match="'b' has no training"):
        estimate([Training("base", 0, 75.0), Training("a", 0, 75.0)], "base").of("b")
