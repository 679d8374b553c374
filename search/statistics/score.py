"""Which figure of a training ranks networks best: several made comparable, and how reliable each one is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from arch.errors import InputError
from search.statistics.effects import diverged

SCORES = ("val_accuracy", "val_loss", "loss_and_training")
# Each figure with its direction. `train_accuracy` alone rewards memory; it is here to be measured, not to be chosen.
_FIGURES = {
    "val_accuracy": {"val_accuracy": 1.0},
    "val_loss": {"val_loss": -1.0},
    "loss_and_training": {"val_loss": -1.0, "train_accuracy": 1.0},
    "train_accuracy": {"train_accuracy": 1.0},
}


class Reliability(NamedTuple):
    """How well a score tells networks apart.

    Attributes
    ----------
    reliability : share of variance of a single score that is the network's own (ICC(1), Shrout and Fleiss 1979), >= 0.
    ratio : variance of the networks' true values over that of the noise, >= 0; reliability / (1 - reliability).
    networks : with at least one training.
    trainings : of all of them.
    """

    score: str
    reliability: float
    ratio: float
    networks: int
    trainings: int


def scores(figures: Sequence[Mapping[str, float]], by: str) -> np.ndarray:
    """Return a score for each training, (n,), in points (percent) of held-out accuracy; larger is better.

    `val_accuracy` is that accuracy. The others are standardised over these trainings, averaged where there are two,
    and given the mean and the spread of the held-out accuracy. So their differences are in its points, and change a
    little as trainings are added. A figure that is the same everywhere adds nothing, and trainings that diverged
    change no spread. `loss_and_training` compares trainings of equal augmentation, smoothing, batch and epochs.

    Parameters
    ----------
    figures : of each training: `val_accuracy`, `train_accuracy` (shares), `val_loss`; all lengths alike.
    by : a name of `SCORES`, or `train_accuracy`.

    Raises
    ------
    InputError
        There is no such score, or a figure is missing or not finite.
    """
    if by not in _FIGURES:
        raise InputError(f"A score is one of {', '.join(SCORES)}; {by!r} came.")
    accuracy = 100 * _values(figures, "val_accuracy")
    if by == "val_accuracy" or not len(figures):
        return accuracy
    usual = ~diverged(accuracy)
    parts = [sign * _standardised(_values(figures, name), usual) for name, sign in _FIGURES[by].items()]
    return np.asarray(accuracy[usual].mean() + accuracy[usual].std() * np.mean(parts, axis=0))


def reliabilities(
    figures: Sequence[Mapping[str, float]],
    candidates: Sequence[str],
    by: Sequence[str] = SCORES,
    seeds: Sequence[int] | None = None,
) -> list[Reliability]:
    """Return how reliable each score is, from trainings of networks of which some are repeated.

    Parameters
    ----------
    figures : of each training, as for `scores`.
    candidates : each training's network.
    by : the scores to judge.
    seeds : each training's seed, if what seeds add to all networks is to be removed; every network has the same ones.

    Raises
    ------
    InputError
        There are fewer than two networks, or none is repeated; or networks have different seeds, and `seeds` came.
    """
    names = sorted(set(candidates))
    if len(names) < 2 or len(names) == len(candidates):
        raise InputError(
            "Reliability compares networks with repeated trainings: at least two networks, one of them trained twice; "
            f"there are {len(names)} networks and {len(candidates)} trainings."
        )
    return [_reliability(score, scores(figures, score), candidates, seeds) for score in by]


def _reliability(score: str, values: np.ndarray, candidates: Sequence[str], seeds: Sequence[int] | None) -> Reliability:
    """Return one score's reliability by the analysis of variance, of one way or of two."""
    of = np.asarray(candidates)
    groups = [values[of == name] for name in sorted(set(candidates))]
    sizes = np.array([len(group) for group in groups])
    freedom = len(values) - len(groups)
    noise = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    if seeds is not None:
        effects = _seed_effects(values, candidates, seeds)
        noise -= len(groups) * float((effects**2).sum())
        freedom -= len(effects) - 1
    within = max(noise, 0.0) / freedom if freedom else math.nan
    means = np.array([group.mean() for group in groups])
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (len(groups) - 1)
    size = (len(values) - float((sizes**2).sum()) / len(values)) / (len(groups) - 1)  # of a group, as the theory has it
    own = max(0.0, between - within) / size
    reliability = own / (own + within) if own + within > 0 else math.nan
    ratio = own / within if within > 0 else math.inf if own > 0 else math.nan
    return Reliability(score, reliability, ratio, len(groups), len(values))


def _seed_effects(values: np.ndarray, candidates: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
    """Return what each seed adds to all networks."""
    names, found = sorted(set(candidates)), sorted(set(seeds))
    pairs = set(zip(candidates, seeds, strict=True))
    if not len(pairs) == len(values) == len(names) * len(found):
        raise InputError(
            "Effects of seeds are removed where every network has every seed once; "
            f"there are {len(names)} networks, {len(found)} seeds and {len(values)} trainings. Leave `seeds` out."
        )
    return np.array([values[np.asarray(seeds) == seed].mean() - values.mean() for seed in found])


def _values(figures: Sequence[Mapping[str, float]], name: str) -> np.ndarray:
    values = np.array([figure.get(name, math.nan) for figure in figures], dtype=float)
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"A score needs the finite figure {name} of every training; number {at} has {figures[at].get(name)}."
        )
    return values


def _standardised(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return values by mean and standard deviation of the usual ones; zeros where those are all the same."""
    middle, spread = float(values[usual].mean()), float(values[usual].std())
    return np.asarray((values - middle) / spread if spread > 1e-12 * max(1.0, abs(middle)) else np.zeros(len(values)))
