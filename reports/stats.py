"""The statistics of comparisons: means, intervals, paired tests, corrections, power; scipy does the mathematics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # of tests
MIN_PAIRS = 6  # with five, even the exact sign-flip test cannot reach 0.05: its least p is 2 / 2^5
_EXACT_UP_TO = 16  # pairs whose 2^n sign changes are all tried; with more, ranks are compared
_NOISE = 9  # decimals of a difference that count; what is behind them is rounding, and would part what is tied
_RESAMPLES = 10_000

Interval = tuple[float, float]
ComparisonVerdict = Literal["better", "worse", "inconclusive", "no verdict"]
Free = Literal["sign flip", "Wilcoxon"]  # the tests that assume no distribution


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation (n - 1 below the root); NaN where n is too small."""
    mean = float(np.mean(values)) if len(values) else math.nan
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return Student's t interval of the mean (Student 1908); NaN for fewer than two values."""
    mean, std = mean_std(values)
    half = (
        float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * std / math.sqrt(len(values))
        if len(values) > 1
        else math.nan
    )
    return mean - half, mean + half


def bootstrap_interval(
    values: Sequence[float], statistic: Callable[..., Any] = np.mean, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return the bootstrap percentile interval of a statistic (Efron and Tibshirani 1993, chapter 13)."""
    if len(values) < 2:
        return math.nan, math.nan
    found = stats.bootstrap(
        (np.asarray(values),),
        statistic,
        n_resamples=_RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def edf_band(
    values: Sequence[float], points: Sequence[float], level: float = LEVEL, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the empirical distribution at some points, and a pointwise bootstrap percentile band about it.

    The share of values at or below each point, as Radosavovic et al. 2020 (RegNet, section 3.1) compare spaces.
    """
    ordered, n = np.sort(np.asarray(values, dtype=float)), len(values)
    drawn = np.random.default_rng(seed).choice(ordered, (2_000, n))
    shares = np.stack([np.searchsorted(np.sort(row), points, side="right") for row in drawn]) / n
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.searchsorted(ordered, points, side="right") / n, low, high


def paired_t(differences: Sequence[float]) -> float:
    """Return the two-sided p of the paired t test: that the mean difference is zero (Student 1908).

    NaN for fewer than two pairs. Differences that are all the same have no spread: p is 0, or 1 if they are zero.
    """
    if len(differences) < 2:
        return math.nan
    mean, std = mean_std(differences)
    if std <= 1e-12 * abs(mean):
        return 0.0 if mean else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p of the exact sign-flip permutation test on the mean (Fisher 1935, section 21).

    All 2^n sign changes are tried, so it is for up to 16 pairs. It assumes no distribution, only that each difference
    is as likely either way round; the least p that n pairs can give is `sign_flip_floor(n)`.

    Raises
    ------
    ValueError
        There are more than 16 pairs.
    """
    if len(differences) > _EXACT_UP_TO:
        raise ValueError(f"{len(differences)} pairs have too many sign changes to try them all; use `wilcoxon`.")
    if len(differences) < 2:
        return 1.0 if len(differences) else math.nan
    test = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        lambda d, axis: np.mean(d, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=math.inf,
    )
    return float(test.pvalue)


def sign_flip_floor(n: int) -> float:
    """Return the least p of the two-sided sign-flip test with n pairs: two of the 2^n sign changes are the extremes."""
    return min(1.0, 2.0 ** (1 - n))


def wilcoxon(differences: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test (Wilcoxon 1945), for many pairs.

    It assumes only that the differences are symmetric about zero. Exact up to 50 pairs without ties, by its normal
    approximation beyond; differences of zero are left out, and where all are, p is 1.
    """
    rounded = np.round(np.asarray(differences, dtype=float), _NOISE)
    if not rounded.any():
        return 1.0 if len(rounded) else math.nan
    return float(stats.wilcoxon(rounded).pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values (Holm 1979): the family-wise error stays at the level that they are held to.

    A missing p (NaN) counts as 1: it belongs to the family, whatever would have come of it.
    """
    known = [1.0 if math.isnan(p) else p for p in ps]
    adjusted, most = [1.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=known.__getitem__)):
        most = max(most, min(1.0, (len(ps) - rank) * known[index]))
        adjusted[index] = most
    return adjusted


def effect_size(differences: Sequence[float]) -> float:
    """Return Cohen's d_z, the mean difference in standard deviations of the differences (Cohen 1988, section 2.3.5)."""
    mean, std = mean_std(differences)
    return float(mean / std) if std else math.nan


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Return the power of the two-sided paired t test at an effect d_z with n pairs (Cohen 1988; noncentral t)."""
    critical, shift = stats.t.ppf(1 - alpha / 2, n - 1), effect * math.sqrt(n)
    wrong_side = np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift))  # scipy gives NaN where it is all but zero
    return float(stats.nct.sf(critical, n - 1, shift) + wrong_side)


def detectable(std: float, n: int, wanted: float = 0.8, alpha: float = ALPHA) -> float:
    """Return the smallest mean difference that the paired t test finds with that power, in the unit of `std`.

    `std` is that of the differences. NaN for fewer than two pairs.
    """
    if n < 2 or math.isnan(std):
        return math.nan
    most = 1.0
    while power(most, n, alpha) < wanted:
        most *= 2
    return std * float(optimize.brentq(lambda effect: power(effect, n, alpha) - wanted, 0.0, most))


def verdict_of(mean: float, p: float, pairs: int, alpha: float = ALPHA) -> ComparisonVerdict:
    """Return the verdict on a comparison, from its (adjusted) p: a difference counts only where it is significant."""
    if pairs < MIN_PAIRS or math.isnan(p):
        return "no verdict"
    if p >= alpha:
        return "inconclusive"
    return "better" if mean > 0 else "worse"


def best_supported(verdicts: Mapping[str, ComparisonVerdict], base: str) -> set[str]:
    """Return what may stand out in a table: the candidates that are better than the base by their verdicts.

    The base where all candidates are worse. The largest mean alone is no reason; candidates are not compared with
    each other, so several may stand out.
    """
    better = {name for name, verdict in verdicts.items() if verdict == "better"}
    all_worse = bool(verdicts) and all(verdict == "worse" for verdict in verdicts.values())
    return {base} if all_worse else better


@dataclass(frozen=True)
class Compared:
    """A paired comparison: differences to the base, larger is better.

    Attributes
    ----------
    p, adjusted : of the paired t test, as it is and after Holm; the verdict follows the second.
    free, free_p, free_floor : the distribution-free test, its p, and the least p that it could give: that of these
        differences if all had one sign.
    """

    n: int
    mean: float
    std: float
    interval: Interval
    p: float
    adjusted: float
    free: Free
    free_p: float
    free_floor: float
    effect: float
    detectable: float
    verdict: ComparisonVerdict


def compare(differences: Sequence[Sequence[float]], complete: Sequence[bool] | None = None) -> list[Compared]:
    """Return the comparison of each candidate to the base, adjusted over all of them by Holm.

    The test that assumes no distribution is the same for all: sign flips where they can all be tried, else Wilcoxon's.

    Parameters
    ----------
    differences : for each candidate, one difference a pair, larger is better.
    complete : whether all planned pairs are there; a candidate that lacks some gets no verdict, as those that are
        there may be the lucky ones, and counts as p = 1 in the family.
    """
    have_all = list(complete) if complete is not None else [True] * len(differences)
    raw = [paired_t(d) for d in differences]
    adjusted = holm(
        [
            p if there and len(d) >= MIN_PAIRS else math.nan
            for p, d, there in zip(raw, differences, have_all, strict=True)
        ]
    )
    free: Free = "sign flip" if max(map(len, differences), default=0) <= _EXACT_UP_TO else "Wilcoxon"
    found = []
    for d, p, corrected, all_there in zip(differences, raw, adjusted, have_all, strict=True):
        (mean, std), counted = mean_std(d), len(d) if all_there else 0
        found.append(
            Compared(
                len(d),
                mean,
                std,
                t_interval(d),
                p,
                corrected if counted >= MIN_PAIRS else math.nan,
                *_free(d, free),
                effect_size(d),
                detectable(std, len(d)),
                verdict_of(mean, corrected, counted),
            )
        )
    return found


def _free(differences: Sequence[float], test: Free) -> tuple[Free, float, float]:
    """Return the test that assumes no distribution, its p, and the least that it could be."""
    if test == "sign flip":
        return test, sign_flip(differences), sign_flip_floor(len(differences))
    return test, wilcoxon(differences), wilcoxon(np.abs(differences).tolist())


def spearman(x: Sequence[float], y: Sequence[float], level: float = LEVEL) -> tuple[float, Interval]:
    """Return Spearman's rank correlation and its interval by Fisher's z with Bonett and Wright's standard error.

    Bonett and Wright 2000: sqrt((1 + rho^2 / 2) / (n - 3)). NaN where n is below 5 or either does not vary.
    """
    if len(x) < 5 or len(set(x)) < 2 or len(set(y)) < 2:
        return math.nan, (math.nan, math.nan)
    rho = float(stats.spearmanr(x, y).statistic)
    if abs(rho) >= 1 - 1e-12:
        return rho, (rho, rho)
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, (math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))
