"""How well a short training, or an early epoch of a long one, ranks candidates for the full length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from search.statistics.effects import LEVEL, Interval, Training, Variances, estimate

# Before any data: 0.6, as the 48 curves of docs/results/curves show for training accuracy, and hardly surer than that.
_PRIOR = stats.beta(3, 2)
_GRID = np.linspace(0.0, 1.0, 101)
_MOST = 0.95  # of the correlation of noise, so that its covariance stays one


class Transfer(NamedTuple):
    """The correlation of candidates' true values at two lengths, with its interval.

    Attributes
    ----------
    noise : correlation of the noise of one training at both, which looks like transfer and is none.
    candidates : how many are known at both lengths.
    """

    correlation: float
    interval: Interval
    noise: float
    candidates: int


def transfer(short: Sequence[Training], long: Sequence[Training], base: str, level: float = LEVEL) -> Transfer:
    """Return how true values at a short length go with those at a long one.

    Correlations of scores are too small, as there is noise in both, and too large where an early epoch and the end are
    of one training. So both noises are part of the model: a normal of each candidate's two values, with the variances
    of `estimate` at each length, and a prior of mean 0.6 for their correlation, from 0 to 1.

    Raises
    ------
    InputError
        As `estimate`.
    """
    variances = estimate(short, base).variances, estimate(long, base).variances
    noise = _noise(short, long)
    names = sorted(({t.candidate for t in short} & {t.candidate for t in long}) - {base})
    logs = _PRIOR.logpdf(_GRID)
    if len(names) > 1:
        means = np.array([[_values(of, name).mean() for of in (short, long)] for name in names])
        noises = np.stack([_of_mean(short, long, name, variances, noise) for name in names])
        logs = logs + [_likelihood(means, noises, variances, float(correlation)) for correlation in _GRID]
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], np.cumsum(weights) - weights / 2, _GRID)
    return Transfer(float(weights @ _GRID), (float(low), float(high)), noise, len(names))


def _values(trainings: Sequence[Training], name: str) -> np.ndarray:
    return np.array([training.value for training in trainings if training.candidate == name])


def _pairs(short: Sequence[Training], long: Sequence[Training], name: str) -> np.ndarray:
    """Return a network's scores at both lengths with the same seeds, (seeds, 2)."""
    one, two = ({t.seed: t.value for t in of if t.candidate == name} for of in (short, long))
    return np.array([[one[seed], two[seed]] for seed in one if seed in two]).reshape(-1, 2)


def _noise(short: Sequence[Training], long: Sequence[Training]) -> float:
    """Return the correlation of two lengths' noise, from differences between seeds of the same network."""
    pairs = [_pairs(short, long, name) for name in sorted({training.candidate for training in short})]
    apart = np.concatenate([pair - pair.mean(axis=0) for pair in pairs if len(pair) > 1] or [np.zeros((1, 2))])
    squares = float(np.sqrt((apart**2).sum(axis=0).prod()))
    return float(np.clip(apart.prod(axis=1).sum() / squares, -_MOST, _MOST)) if squares else 0.0


def _of_mean(
    short: Sequence[Training],
    long: Sequence[Training],
    name: str,
    variances: tuple[Variances, Variances],
    noise: float,
) -> np.ndarray:
    """Return the covariance of the noise in a candidate's two mean scores, (2, 2)."""
    one, two = len(_values(short, name)), len(_values(long, name))
    both = noise * len(_pairs(short, long, name)) * variances[0].within * variances[1].within / (one * two)
    return np.array([[variances[0].within ** 2 / one, both], [both, variances[1].within ** 2 / two]])


def _likelihood(
    means: np.ndarray, noises: np.ndarray, variances: tuple[Variances, Variances], correlation: float
) -> float:
    """Return the restricted log likelihood of a correlation; means (n, 2), noises (n, 2, 2)."""
    one, two = (found.between for found in variances)
    own = np.array([[one**2, correlation * one * two], [correlation * one * two, two**2]])
    inverse = np.linalg.inv(own + noises)
    total = inverse.sum(axis=0)
    away = means - np.linalg.solve(total, np.einsum("nij,nj->i", inverse, means))
    distance = float(np.einsum("ni,nij,nj->", away, inverse, away))
    sizes = float(np.linalg.slogdet(inverse)[1].sum()) - float(np.linalg.slogdet(total)[1])
    return 0.5 * (sizes - distance) if math.isfinite(distance) else -math.inf
