"""What a race trains next. All functions take any leading dimensions: simulated races call what races call."""

from __future__ import annotations

import numpy as np

from search.statistics.effects import Variances

MIN_COMPLETE = 5  # candidates before any gets a further seed: of fewer, the spread of the space is not known
_REDRAWS = 8  # of the posterior, until another one leads


def posterior(
    mean: np.ndarray, n: np.ndarray, middle: np.ndarray | float, variances: Variances
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each candidate's true value, in closed form for known variances.

    Each candidate is taken alone: normal around the middle, its n trainings around its true value. With n = 0 that
    is the middle and the spread of the space. `middle` broadcasts against `mean`: (..., 1) for one a simulated race.

    Parameters
    ----------
    mean : (..., candidates) mean score of its trainings; any number where n is 0.
    n : (..., candidates) how many trainings.
    """
    spread, noise = variances.between**2, variances.within**2
    total = n * spread + noise
    weight = np.divide(n * spread, total, out=np.zeros(np.broadcast(mean, n).shape), where=total > 0)
    found = middle + weight * np.where(np.asarray(n) > 0, mean - middle, 0.0)
    return found, np.sqrt(spread * (1 - weight))


def top_two(mean: np.ndarray, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the candidate that gets one more training, (...), by top-two Thompson sampling (Russo 2016).

    A draw from each posterior names a leader. Draws are repeated until another one leads, at most 8 times; after
    that the second of the last draw stands in. Of the two, the one with the larger `sd`, of which less is known, is
    trained; a fair coin decides between equal ones.

    Parameters
    ----------
    mean, sd : (..., candidates) of the posteriors; a mean of -inf leaves one out.
    """
    shape = np.broadcast(mean, sd).shape
    means, sds = (np.broadcast_to(values, shape).reshape(-1, shape[-1]) for values in (mean, sd))
    drawn = _draw(means, sds, rng)
    leader = drawn.argmax(axis=1)
    other = leader.copy()
    for _ in range(_REDRAWS):
        same = np.flatnonzero(other == leader)
        if not len(same):
            break
        drawn[same] = _draw(means[same], sds[same], rng)
        other[same] = drawn[same].argmax(axis=1)
    rows = np.arange(len(leader))
    drawn[rows, leader] = -np.inf
    other = np.where(other == leader, drawn.argmax(axis=1), other)
    other = np.where(np.isneginf(means[rows, other]), leader, other)  # where only one may be trained
    one, two = sds[rows, leader], sds[rows, other]
    coin = rng.random(len(leader)) < 0.5
    return np.asarray(np.where((one > two) | ((one == two) & coin), leader, other).reshape(shape[:-1]))


def _draw(mean: np.ndarray, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return mean + sd * rng.standard_normal(mean.shape)


def wants_seed(
    further: np.ndarray | float, work: np.ndarray | float, share: float, complete: np.ndarray | int
) -> np.ndarray:
    """Return whether the next training is a further seed rather than a new candidate, (...).

    It is while further seeds took less than their share of all work, once `MIN_COMPLETE` candidates are complete.

    Parameters
    ----------
    further, work : (...) epochs of further seeds, of the base's too, and of all trainings.
    share : of the work that further seeds are to take.
    complete : (...) candidates with a complete training.
    """
    return (np.asarray(further) < share * np.asarray(work)) & (np.asarray(complete) >= MIN_COMPLETE)


def to_continue(early: np.ndarray, paused: np.ndarray, keep: float) -> np.ndarray:
    """Return the paused training that continues, (...), or -1 for none: asynchronous halving (Li et al. 2020, ASHA).

    It is the best paused one, if it is among the best `keep` of all that reached the pause, rounded up.

    Parameters
    ----------
    early : (..., candidates) score at the pause; NaN for those that did not reach it.
    paused : (..., candidates) which ones wait there.
    """
    waiting = np.where(paused, early, -np.inf)
    best = waiting.argmax(axis=-1)
    score = np.take_along_axis(waiting, best[..., None], axis=-1)
    ahead = (early > score).sum(axis=-1)  # comparisons with NaN are false
    reached = (~np.isnan(early)).sum(axis=-1)
    return np.where(paused.any(axis=-1) & (ahead < np.ceil(keep * reached - 1e-9)), best, -1)
