"""From noisy trainings to what a candidate is worth: a mixed model with shrinkage, and how sure its figures are.

The model: score = network + seed + noise. The base is a fixed effect. The candidates of a space are normal around
its middle with standard deviation `between`, seeds have a common effect with `seeds`, and one training the noise
`within`. What a candidate gains is its posterior mean minus the base's (Robinson 1991, "That BLUP is a good thing").
The best of many is best by luck too; the posterior mean of the chosen one is not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg, stats

from arch.errors import InputError

LEVEL = 0.95  # of intervals
# The shares of variance over which estimates average: of a candidate's own in a score, and of seeds in the noise.
_RELIABILITIES = np.linspace(0.0, 0.975, 27)
_SEED_SHARES = np.linspace(0.0, 0.8, 5)
_RELEVANT = 1e-3  # of the largest weight; what weighs less changes no figure
_DIVERGED, _FEWEST = 6.0, 5  # standard deviations below the median, of so many candidates: a training that failed
_LEAST = 1e-12  # of a variance, so that scores which are all the same can be computed with

Interval = tuple[float, float]


class Training(NamedTuple):
    """One training's score; larger is better."""

    candidate: str
    seed: int
    value: float


@dataclass(frozen=True)
class Variances:
    """Standard deviations in the unit of the scores.

    Attributes
    ----------
    within : of one training of one network (its noise).
    between : of the candidates' true values.
    seeds : of what a seed adds to all networks alike.
    """

    within: float
    between: float
    seeds: float = 0.0

    @property
    def reliability(self) -> float:
        """The share of variance of a single score that is the candidate's own."""
        total = self.within**2 + self.between**2
        return self.between**2 / total if total else math.nan


class Effect(NamedTuple):
    """What is known of one candidate: the seen difference to the base, the gain to expect, its interval and chance."""

    candidate: str
    trainings: int
    seen: float
    gain: float
    interval: Interval
    chance: float


@dataclass(frozen=True)
class Effects:
    """What the trainings say of n candidates. Differences are to the base, larger is better.

    Attributes
    ----------
    trainings : how many each candidate has.
    seen : (n,) mean difference to the base, over the same seeds where the base has all of the candidate's.
    gain : (n,) posterior mean of candidate minus base.
    covariance : (n, n) of the gains, with what is not known of the base, the middle and the variances.
    middle : the space's mean minus the base.
    variances : as given, or as estimated.
    identified : whether noise and spread could be told apart; they cannot without any repeated training.
    """

    base: str
    candidates: tuple[str, ...]
    trainings: tuple[int, ...]
    seen: np.ndarray
    gain: np.ndarray
    covariance: np.ndarray
    middle: float
    variances: Variances
    identified: bool

    @property
    def sd(self) -> np.ndarray:
        """The standard deviation of each gain, (n,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def reliability(self) -> float | None:
        """The share of variance of a single score that is the candidate's own; None where it is not identified."""
        return self.variances.reliability if self.identified else None

    @property
    def weights(self) -> np.ndarray:
        """The share of variance of each candidate's mean score that is its own, (n,); 1 where scores do not vary."""
        own, noise = self.variances.between**2, self.variances.within**2 / np.array(self.trainings)
        return np.asarray(own / (own + noise)) if own + self.variances.within else np.ones(len(noise))

    def interval(self, level: float = LEVEL) -> np.ndarray:
        """Return the interval of each gain, (n, 2)."""
        half = float(stats.norm.ppf((1 + level) / 2)) * self.sd
        return np.stack([self.gain - half, self.gain + half], axis=1)

    def chance(self, above: float = 0.0) -> np.ndarray:
        """Return the chance that each candidate beats the base by more than `above`, (n,)."""
        return np.asarray(stats.norm.sf((above - self.gain) / np.maximum(self.sd, math.sqrt(_LEAST))))

    def order(self) -> np.ndarray:
        """Return the indices of the candidates, best first by gain; ties stay in their order."""
        return np.argsort(-self.gain, kind="stable")

    def of(self, candidate: str) -> Effect:
        """Return what is known of one candidate.

        Raises
        ------
        InputError
            It has no training.
        """
        if candidate not in self.candidates:
            raise InputError(f"A candidate has an effect once it is trained; {candidate!r} has no training here.")
        at = self.candidates.index(candidate)
        low, high = self.interval()[at]
        figures = (float(self.seen[at]), float(self.gain[at]), (float(low), float(high)), float(self.chance()[at]))
        return Effect(candidate, self.trainings[at], *figures)


class Intervals(NamedTuple):
    """Intervals of what a pilot estimates."""

    within: Interval
    between: Interval
    reliability: Interval
    middle: Interval


class Drawn(NamedTuple):
    """Draws of what a pilot estimates, each (draws,)."""

    within: np.ndarray
    between: np.ndarray
    reliability: np.ndarray
    middle: np.ndarray


class _Design(NamedTuple):
    """The trainings as matrices; N trainings, n candidates.

    `fixed` is (N, 1 or more): base, the space's middle if there are candidates, then each diverged candidate alone;
    `of` is each candidate's column there. `own` is (N, n), zero for the diverged; `seeds` (N, seeds).
    """

    names: tuple[str, ...]
    y: np.ndarray
    fixed: np.ndarray
    of: np.ndarray
    own: np.ndarray
    seeds: np.ndarray


class _Point(NamedTuple):
    """One setting of the variances and how much it weighs."""

    variances: Variances
    weight: float


def estimate(trainings: Sequence[Training], base: str, variances: Variances | None = None) -> Effects:
    """Return the candidates' gains over the base.

    Variances that are not given come by restricted maximum likelihood. With few trainings its maximum is often at no
    spread at all, which would call all candidates equal and be too sure of it. So everything is averaged over a grid
    of shares of variance, weighted by the profile likelihood: a uniform prior on the reliability (Daniels 1999). With
    many trainings that is the maximum; with no repeated training the reliability is one half and not `identified`.
    Candidates that diverged, six standard deviations below the median, stand alone: they are no part of the spread.
    Seeds count as noise where the trainings cannot tell the two apart. A base and one candidate, once each, say
    nothing of the noise: the gain is their difference, its interval infinite.

    Parameters
    ----------
    trainings : of the base, at least one, and of candidates, any number each.
    base : the base's name among them.
    variances : from a pilot, if they are to be held fixed.

    Raises
    ------
    InputError
        The base has no training, or a score is not finite.
    """
    design = _design(trainings, base)
    points = [_Point(variances, 1.0)] if variances else _points(design)
    gain, covariance = _average(design, points)
    if variances is None:  # nor is the noise known exactly for given shares, to first order
        free = _freedom(design)
        covariance = covariance * (1 + 2 / free) if free else np.full_like(covariance, math.inf)
    counts = Counter(training.candidate for training in trainings)
    return Effects(
        base,
        design.names,
        tuple(counts[name] for name in design.names),
        _seen(trainings, base, design.names),
        gain[1:],
        covariance[1:, 1:],
        float(gain[0]),
        variances or _mean(points),
        variances is not None or _identified(design),
    )


def variance_draws(trainings: Sequence[Training], base: str, draws: int, seed: int = 0) -> Drawn:
    """Return noise, spread, reliability and middle as the trainings allow them: draws from their posterior.

    Raises
    ------
    InputError
        As `estimate`; or there are no candidates.
    """
    design = _design(trainings, base)
    if not design.names:
        raise InputError(f"A pilot measures a space by its candidates; there are only trainings of the base {base!r}.")
    points, rng = _points(design), np.random.default_rng(seed)
    freedom = max(_freedom(design), 1)
    middles = [(gain[0], math.sqrt(covariance[0, 0])) for gain, covariance in (_solve(design, p[0]) for p in points)]
    at = rng.choice(len(points), size=draws, p=[point.weight for point in points])
    stretch = np.sqrt(freedom / rng.chisquare(freedom, draws))  # the noise is not known exactly for given shares either
    within, between, reliability = (
        np.array([getattr(point.variances, name) for point in points])[at]
        for name in ("within", "between", "reliability")
    )
    mean, sd = np.array(middles)[at].T
    middle = mean + sd * stretch * rng.standard_normal(draws)
    return Drawn(within * stretch, between * stretch, reliability, middle)


def variance_intervals(
    trainings: Sequence[Training], base: str, level: float = LEVEL, draws: int = 4000, seed: int = 0
) -> Intervals:
    """Return intervals of noise, spread, reliability and middle, by `variance_draws`."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = (np.quantile(values, ends) for values in variance_draws(trainings, base, draws, seed))
    return Intervals(*((float(low), float(high)) for low, high in found))


def _average(design: _Design, points: Sequence[_Point]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of (middle, candidates) minus base over all settings of the variances."""
    solved = [_solve(design, point.variances) for point in points]
    weights = np.array([point.weight for point in points])
    gains, covariances = np.stack([gain for gain, _ in solved]), np.stack([covariance for _, covariance in solved])
    gain = weights @ gains
    apart = gains - gain  # the settings' means differ too
    return gain, np.tensordot(weights, covariances, 1) + np.einsum("k,ki,kj->ij", weights, apart, apart)


def _freedom(design: _Design) -> int:
    """Return how many differences between scores are free of the fixed effects."""
    return int(len(design.y) - design.fixed.shape[1])


def _design(trainings: Sequence[Training], base: str) -> _Design:
    names = tuple(dict.fromkeys(training.candidate for training in trainings if training.candidate != base))
    seeds = list(dict.fromkeys(training.seed for training in trainings))
    y = np.array([training.value for training in trainings], dtype=float)
    own = np.array([[training.candidate == name for name in names] for training in trainings], dtype=float)
    is_base = np.array([training.candidate == base for training in trainings], dtype=float)
    if not is_base.any():
        raise InputError(f"Gains are differences to the base, so it is trained too; {base!r} has no training here.")
    if not np.isfinite(y).all():
        wrong = next(training for training in trainings if not math.isfinite(training.value))
        raise InputError(f"A score is a finite number; {wrong.candidate!r}, seed {wrong.seed}, has {wrong.value}.")
    of_seed = np.array([[training.seed == seed for seed in seeds] for training in trainings], dtype=float)
    own = own.reshape(len(y), len(names))
    apart = diverged(y @ own / own.sum(axis=0))
    of = np.where(apart, 1 + np.cumsum(apart), 1)
    middle = own[:, ~apart].sum(axis=1, keepdims=True)
    fixed = np.hstack([is_base[:, None], middle, own[:, apart]] if names else [is_base[:, None]])
    return _Design(names, y, fixed, of, own * ~apart, of_seed)


def diverged(values: np.ndarray) -> np.ndarray:
    """Return which values, (n,), are so far below the others that they say nothing of them: six robust deviations.

    One such training would make the spread seem so large that no luck is taken off the best.
    """
    if len(values) < _FEWEST:
        return np.zeros(len(values), dtype=bool)
    return np.asarray(values < np.median(values) - _DIVERGED * stats.median_abs_deviation(values, scale="normal"))


def _seen(trainings: Sequence[Training], base: str, names: Sequence[str]) -> np.ndarray:
    """Return the mean differences to the base, paired by seeds where the base has all of a candidate's."""
    values: dict[str, dict[int, list[float]]] = {name: {} for name in (base, *names)}
    for training in trainings:
        values[training.candidate].setdefault(training.seed, []).append(training.value)
    of_base = values[base]

    def mean(by_seed: dict[int, list[float]]) -> float:
        return float(np.mean([value for found in by_seed.values() for value in found]))

    differences = []
    for name in names:
        paired = {seed: of_base[seed] for seed in values[name] if seed in of_base}
        differences.append(mean(values[name]) - mean(paired if len(paired) == len(values[name]) else of_base))
    return np.array(differences)


def _contrasts(design: _Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is free of the fixed effects: the scores (m,), and what a spread and seeds add to their covariance."""
    free = linalg.null_space(design.fixed.T)  # (N, m), orthonormal, so that noise stays white
    own, seeds = free.T @ design.own, free.T @ design.seeds
    return free.T @ design.y, own @ own.T, seeds @ seeds.T


def _identified(design: _Design) -> bool:
    """Return whether a spread of candidates looks different from noise: some are repeated, and some are not the same."""
    _, own, _ = _contrasts(design)
    return bool(len(own) > 1 and np.ptp(np.linalg.eigvalsh(own)) > 1e-9)


def _separable(own: np.ndarray, seeds: np.ndarray) -> bool:
    """Return whether seeds look different from noise and from a spread of candidates."""
    parts = np.stack([np.eye(len(own)).ravel(), own.ravel(), seeds.ravel()])
    return bool(np.linalg.matrix_rank(parts, tol=1e-6) > np.linalg.matrix_rank(parts[:2], tol=1e-6))


def _points(design: _Design) -> list[_Point]:
    """Return the settings of the variances that matter, with their weights by restricted likelihood."""
    y, own, seeds = _contrasts(design)
    shares = _SEED_SHARES if len(y) and _separable(own, seeds) else np.zeros(1)
    found = [point for share in shares for point in _at_share(y, own, seeds, float(share))]
    logs = np.array([log for _, log in found])
    weights = np.exp(logs - logs.max())
    kept = [(point, weight) for (point, _), weight in zip(found, weights, strict=True) if weight > _RELEVANT]
    total = sum(weight for _, weight in kept)
    return [_Point(variances, weight / total) for variances, weight in kept]


def _at_share(y: np.ndarray, own: np.ndarray, seeds: np.ndarray, share: float) -> Iterator[tuple[Variances, float]]:
    """Yield each reliability's variances and log likelihood, for a given share of seeds in the noise.

    One decomposition serves all reliabilities: it makes both covariances diagonal.
    """
    freedom, ratio = max(len(y), 1), share / (1 - share)
    white = np.eye(len(y)) + ratio * seeds
    values, vectors = linalg.eigh(own, white) if len(y) else (np.zeros(0), np.zeros((0, 0)))
    turned, constant = (vectors.T @ y) ** 2, float(np.linalg.slogdet(white)[1])
    for reliability in _RELIABILITIES:
        odds = reliability / (1 - reliability)
        scales = 1 + odds * np.maximum(values, 0.0)
        noise = max(float((turned / scales).sum()) / freedom, _LEAST)
        log = -0.5 * (constant + float(np.log(scales).sum()) + freedom * math.log(noise))
        yield Variances(math.sqrt(noise), math.sqrt(noise * odds), math.sqrt(noise * ratio)), log


def _mean(points: Sequence[_Point]) -> Variances:
    """Return the variances at their mean noise and mean shares."""
    noise = sum(weight * found.within**2 for found, weight in points)
    own = sum(weight * found.reliability for found, weight in points)
    seeds = sum(weight * found.seeds**2 for found, weight in points)
    return Variances(math.sqrt(noise), math.sqrt(noise * own / (1 - own)), math.sqrt(seeds))


def _solve(design: _Design, variances: Variances) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior mean (1 + n,) and covariance of (middle, candidates) minus base, for these variances."""
    if not design.names:
        return np.array([math.nan]), np.array([[math.nan]])
    noise, spread = max(variances.within**2, _LEAST), variances.between**2
    total = noise * np.eye(len(design.y)) + spread * design.own @ design.own.T
    total += variances.seeds**2 * design.seeds @ design.seeds.T
    solve = linalg.cho_factor(total)
    from_fixed, from_own = linalg.cho_solve(solve, design.fixed), spread * linalg.cho_solve(solve, design.own)
    of_fixed = np.linalg.inv(design.fixed.T @ from_fixed)  # covariance of the fixed effects
    fixed = of_fixed @ from_fixed.T @ design.y
    own = from_own.T @ (design.y - design.fixed @ fixed)  # each candidate's distance from the middle
    cross = design.fixed.T @ from_own
    prior = np.diag(spread * design.own.any(axis=0))
    of_own = prior - spread * design.own.T @ from_own + cross.T @ of_fixed @ cross
    # Of (middle, candidates), each is a fixed effect minus the base's, plus its own distance. An error of the middle
    # is one of the distances too, the other way round: their covariance is -of_fixed @ cross.
    minus_base = np.eye(len(fixed))[[1, *design.of]] - np.eye(len(fixed))[0]
    distance = np.eye(len(own) + 1)[:, 1:]
    shared = -minus_base @ of_fixed @ cross @ distance.T
    covariance = minus_base @ of_fixed @ minus_base.T + distance @ of_own @ distance.T + shared + shared.T
    return minus_base @ fixed + distance @ own, covariance
