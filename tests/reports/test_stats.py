from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as judge

from reports.stats import (
    MIN_PAIRS,
    bootstrap_interval,
    compare,
    detectable,
    edf_band,
    effect_size,
    holm,
    mean_std,
    paired_t,
    power,
    sign_flip,
    sign_flip_floor,
    spearman,
    t_interval,
    verdict_of,
    wilcoxon,
)


def test_worked_by_hand() -> None:
    """Differences 1, 2, 3, 4, 5: mean 3, variance 10/4, standard error sqrt(2.5/5), t = 3 / 0.7071 = 4.2426."""
    d = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert mean_std(d) == (3.0, pytest.approx(math.sqrt(2.5)))
    low, high = t_interval(d)
    assert (low, high) == (pytest.approx(3 - 2.7764 * math.sqrt(0.5), abs=1e-4), pytest.approx(4.9632, abs=1e-4))
    assert effect_size(d) == pytest.approx(3 / math.sqrt(2.5))
    # t with 4 degrees of freedom has a closed form: P(T > t) = 1/2 - (3/8)(x/s)(1 - x^2/(12 s^2)), s^2 = 1 + x^2/4.
    x = 3 / math.sqrt(0.5)
    s = math.sqrt(1 + x * x / 4)
    assert paired_t(d) == pytest.approx(2 * (0.5 - 3 / 8 * (x / s) * (1 - (x / s) ** 2 / 12)))


def test_sign_flips_are_all_tried() -> None:
    """All positive: only the two extremes of the 2^n flips are as far out. 1, 2, -4: sums +-7, +-5, +-3, +-1; ours -1."""
    for n in (3, 5, 6, 10):
        assert sign_flip([0.5] * (n - 1) + [0.7]) == sign_flip_floor(n) == 2 / 2**n
    assert sign_flip([1.0, 2.0, -4.0]) == 1.0
    assert sign_flip([1.0, 2.0, 4.0, -1.0]) == pytest.approx(6 / 16)  # 8, 6, 6 and their opposites
    assert sign_flip_floor(MIN_PAIRS) < 0.05 < sign_flip_floor(MIN_PAIRS - 1)
    assert sign_flip([0.0] * 6) == 1.0
    with pytest.raises(ValueError, match="use `wilcoxon`"):
        sign_flip([1.0] * 17)


def test_wilcoxon_by_hand() -> None:
    """The negative ranks sum to 2: of the 2^5 signs three give as little (none, 1 or 2 negative), on either side."""
    assert wilcoxon([1.0, -2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 * 3 / 32)
    assert wilcoxon([1.0, -2.0, 3.0, 4.0, 5.0, 0.0]) == pytest.approx(2 * 3 / 32)  # a zero has no sign
    assert wilcoxon([float(k) for k in range(1, 21)]) == pytest.approx(2 / 2**20)
    assert wilcoxon([0.0] * 20) == 1.0
    assert math.isnan(wilcoxon([]))
    many = np.random.default_rng(1).normal(0.4, 1, 20).tolist()
    assert wilcoxon(many) == pytest.approx(paired_t(many), abs=0.02)
    hundredths = [71.23 - 70.11, 71.55 - 70.43, -(70.62 - 69.50)] * 6  # 1.12 each, but for the rounding
    assert len(set(map(abs, hundredths))) > 1
    assert wilcoxon(hundredths) == wilcoxon([1.12, 1.12, -1.12] * 6)


def test_beyond_sixteen_pairs_ranks_stand_beside_the_t_test() -> None:
    draws = np.random.default_rng(8).normal(0.5, 1, (2, 17))
    few, many = compare([draws[0, :16].tolist(), draws[1, :16].tolist()]), compare(draws.tolist())
    assert [(c.free, c.free_floor) for c in few] == [("sign flip", 2 / 2**16)] * 2
    assert [c.free for c in many] == ["Wilcoxon"] * 2
    assert [c.free_p for c in many] == [judge.wilcoxon(row).pvalue for row in draws]
    assert [c.free_floor for c in many] == [pytest.approx(2 / 2**17)] * 2
    assert [c.free for c in compare([draws[0].tolist(), draws[1, :6].tolist()])] == ["Wilcoxon"] * 2  # one test a table


def test_holm_by_hand() -> None:
    """Holm 1979: sorted 0.01, 0.02, 0.04 times 3, 2, 1, never falling."""
    assert holm([0.02, 0.01, 0.04]) == [pytest.approx(0.04), pytest.approx(0.03), pytest.approx(0.04)]
    assert holm([0.03, 0.5, 0.03]) == [pytest.approx(0.09), 0.5, pytest.approx(0.09)]
    assert holm([0.02, math.nan]) == [0.04, 1.0]  # one that has no p is still of the family
    assert holm([]) == []


def test_power_of_printed_tables() -> None:
    """Cohen 1988: d_z 0.5, 34 pairs, two-sided 0.05 gives 0.81; d_z 0.8 needs 15 pairs for 0.80."""
    assert power(0.5, 34) == pytest.approx(0.808, abs=5e-4)
    assert power(0.8, 15) > 0.8 > power(0.8, 14)
    assert power(0.0, 10) == pytest.approx(0.05)
    assert power(detectable(2.0, 6) / 2.0, 6) == pytest.approx(0.8)
    assert detectable(2.0, 24) < detectable(2.0, 6) < detectable(2.0, 2) < math.inf


def test_too_little_is_nan_and_no_verdict() -> None:
    assert math.isnan(mean_std([])[0])
    assert all(map(math.isnan, (*t_interval([1.0]), *bootstrap_interval([1.0]), paired_t([1.0]), detectable(1.0, 1))))
    assert math.isnan(sign_flip([]))
    assert verdict_of(1.0, 0.001, MIN_PAIRS - 1) == "no verdict"
    assert verdict_of(1.0, 0.049, MIN_PAIRS) == "better"
    assert verdict_of(-1.0, 0.049, MIN_PAIRS) == "worse"
    assert verdict_of(1.0, 0.05, MIN_PAIRS) == "inconclusive"
    assert paired_t([2.0] * 6) == 0.0
    assert paired_t([0.0] * 6) == 1.0


def test_a_candidate_that_lacks_pairs_gets_no_verdict_and_stays_in_the_family() -> None:
    clear, noisy = [1.0, 1.1, 0.9, 1.2, 1.0, 1.1], [1.0, -1.0, 0.5, -0.4, 0.2, 0.1]
    found = compare([clear, clear, noisy], [True, False, True])
    assert [c.verdict for c in found] == ["better", "no verdict", "inconclusive"]
    assert found[0].adjusted == pytest.approx(3 * found[0].p)
    assert math.isnan(found[1].adjusted)
    assert [c.verdict for c in compare([clear[:5]])] == ["no verdict"]


def test_false_positives_at_the_stated_rate() -> None:
    """No effect, three candidates that share a base, six seeds: Holm says something in at most 5 % of 2,000 families."""
    generator, families = np.random.default_rng(0), 2_000
    base = generator.normal(0, 1, (families, 1, 6))
    differences = generator.normal(0, 1, (families, 3, 6)) - base
    ps = judge.ttest_1samp(differences, 0.0, axis=2).pvalue
    assert ps[0, 0] == pytest.approx(paired_t(differences[0, 0].tolist()))
    single = float((ps[:, 0] < 0.05).mean())
    family = float(np.mean([min(holm(row)) < 0.05 for row in ps.tolist()]))
    uncorrected = float((ps.min(axis=1) < 0.05).mean())
    error = 3 * math.sqrt(0.05 * 0.95 / families)
    assert abs(single - 0.05) < error
    assert 0.02 < family < 0.05 + error
    assert uncorrected > 0.05 + error  # what the correction is for
    verdicts = [compare(d.tolist()) for d in differences[:150]]
    wrong = [any(c.verdict in ("better", "worse") for c in found) for found in verdicts]
    assert wrong == [min(holm(row)) < 0.05 for row in ps[:150].tolist()]


def test_the_sign_flip_test_holds_its_level_without_normality() -> None:
    draws = np.random.default_rng(2).laplace(0, 1, (600, 6)) ** 3
    rejected = np.mean([sign_flip(row.tolist()) < 0.05 for row in draws])
    assert rejected < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize("steps", [0, 0.5], ids=["without ties", "with ties and zeros"])
def test_wilcoxons_test_holds_its_level_at_twenty_pairs(steps: float) -> None:
    """Heavy tails, no effect: 5 % of 2,000 are found, to within three standard errors."""
    draws = np.random.default_rng(6).laplace(0, 1, (2_000, 20))
    draws = np.round(draws / steps) * steps if steps else draws**3
    rejected = np.mean([wilcoxon(row.tolist()) < 0.05 for row in draws])
    assert rejected == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 2_000))


def test_power_is_what_is_stated() -> None:
    """At the smallest detectable difference, the test finds it in 80 % of 4,000 simulated confirmations."""
    draws = np.random.default_rng(3).normal(detectable(1.5, 6), 1.5, (4_000, 6))
    found = (judge.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 4_000))


def test_intervals_cover_as_often_as_they_say() -> None:
    generator = np.random.default_rng(4)
    covered = [low < 0 < high for low, high in map(t_interval, generator.normal(0, 1, (2_000, 6)).tolist())]
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2_000))
    boot = [low < 0 < high for low, high in map(bootstrap_interval, generator.normal(0, 1, (200, 30)).tolist())]
    assert np.mean(boot) > 0.88
    rhos = []
    for _ in range(600):
        x, noise = generator.normal(0, 1, (2, 20))
        low, high = spearman(x.tolist(), (0.5 * x + math.sqrt(0.75) * noise).tolist())[1]
        rhos.append(low < 6 / math.pi * math.asin(0.25) < high)  # Spearman's rho where Pearson's is 0.5
    assert np.mean(rhos) == pytest.approx(0.95, abs=0.03)


def test_bootstrap_is_seeded_and_the_band_holds_its_curve() -> None:
    values = np.random.default_rng(5).normal(0, 1, 25).tolist()
    assert bootstrap_interval(values) == bootstrap_interval(values)
    share, low, high = edf_band(values, sorted(values))
    assert share.tolist() == pytest.approx([(k + 1) / 25 for k in range(25)])
    assert bool((low <= share).all() and (share <= high).all() and (low[5:20] < high[5:20]).all())
    assert edf_band([1.0, 2.0, 2.0, 4.0], [0.0, 2.0, 3.0, 4.0])[0].tolist() == [0.0, 0.75, 0.75, 1.0]


def test_spearman_by_hand() -> None:
    """Ranks 1 to 5 against 2, 1, 4, 3, 5: d^2 sums to 4, rho = 1 - 6 * 4 / (5 * 24) = 0.8."""
    rho, (low, high) = spearman([10, 20, 30, 40, 50], [2, 1, 4, 3, 5])
    assert rho == pytest.approx(0.8)
    half = 1.959964 * math.sqrt((1 + 0.32) / 2)
    assert (low, high) == (
        pytest.approx(math.tanh(math.atanh(0.8) - half)),
        pytest.approx(math.tanh(math.atanh(0.8) + half)),
    )
    assert spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == (pytest.approx(1.0), (pytest.approx(1.0), pytest.approx(1.0)))
    assert math.isnan(spearman([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])[0])
