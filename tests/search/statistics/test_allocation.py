from __future__ import annotations

import numpy as np
import pytest

from search.statistics.allocation import posterior, to_continue, top_two, wants_seed
from search.statistics.effects import Training, Variances, estimate


def test_posterior_by_hand() -> None:
    """Spread 2, noise 1, four trainings of mean 3 around a middle of 1: weight 4 / (4 + 1/4) = 16/17."""
    mean, sd = posterior(np.array([3.0, np.nan]), np.array([4, 0]), 1.0, Variances(1.0, 2.0))
    assert mean == pytest.approx([1 + 2 * 16 / 17, 1.0])
    assert sd == pytest.approx([2 * np.sqrt(1 / 17), 2.0])
    flat = posterior(np.array([3.0]), np.array([2]), 1.0, Variances(0.0, 0.0))
    assert (float(flat[0][0]), float(flat[1][0])) == (1.0, 0.0)


def test_posterior_is_that_of_the_mixed_model_around_a_known_middle() -> None:
    rng, variances = np.random.default_rng(0), Variances(0.5, 0.8)
    counts = np.array([1, 2, 3, 1, 4])
    trainings = [Training(str(i), s, rng.normal(i / 3)) for i, n in enumerate(counts) for s in range(n)]
    found = estimate([Training("base", 0, 0.0), *trainings], "base", variances)
    means = np.array([np.mean([t.value for t in trainings if t.candidate == name]) for name in found.candidates])
    assert posterior(means, counts, found.middle, variances)[0] == pytest.approx(found.gain)


def test_leading_dimensions() -> None:
    rng = np.random.default_rng(1)
    mean, sd = posterior(np.zeros((4, 3, 5)), np.ones((4, 3, 5)), np.zeros((4, 3, 1)), Variances(1.0, 1.0))
    assert top_two(mean, sd, rng).shape == (4, 3)
    assert top_two(mean[0, 0], sd[0, 0], rng).shape == ()


def test_only_contenders_are_trained() -> None:
    """Two close ones far above the rest: nearly all goes to these two, evenly."""
    mean = np.broadcast_to([0.0, 5.0, 5.1, 1.0], (2000, 4))
    chosen = np.bincount(top_two(mean, np.full(4, 0.5), np.random.default_rng(2)).ravel(), minlength=4)
    assert chosen[[0, 3]].sum() == 0
    assert chosen[1] == pytest.approx(1000, abs=100)


def test_of_two_the_less_known_one_is_trained() -> None:
    mean, sd = np.broadcast_to([5.0, 5.0], (500, 2)), np.array([0.2, 0.6])
    assert set(top_two(mean, sd, np.random.default_rng(3))) == {1}


@pytest.mark.parametrize(
    ("mean", "sd"), [([-np.inf, 5.0, -np.inf], 1.0), ([0.0, 5.0, 0.0], [0.0, 0.0, 0.0]), ([2.0], 1.0)]
)
def test_who_is_left_out_is_never_chosen(mean: list[float], sd: float | list[float]) -> None:
    chosen = int(top_two(np.array(mean), np.broadcast_to(sd, len(mean)), np.random.default_rng(4)))
    assert np.isfinite(mean[chosen])


def test_the_same_numbers_give_the_same_choice() -> None:
    mean, sd = np.arange(20.0) / 10, np.full(20, 0.7)
    once, again = (top_two(np.tile(mean, (50, 1)), sd, np.random.default_rng(5)) for _ in range(2))
    assert (once == again).all()
    assert len(set(once)) > 3


def test_seeds_by_top_two_find_a_better_candidate_than_seeds_for_all() -> None:
    """30 candidates, 60 trainings in each of 400 races: once each, then by top two, against twice each."""
    rng, variances, runs, many = np.random.default_rng(6), Variances(0.8, 0.8), 400, 30
    truth = rng.normal(0, variances.between, (runs, many))
    total, n, rows = truth + rng.normal(0, variances.within, truth.shape), np.ones((runs, many)), np.arange(runs)
    evenly = (2 * total + rng.normal(0, variances.within, truth.shape) - total + truth) / 2
    for _ in range(many):
        at = top_two(*posterior(total / n, n, 0.0, variances), rng)
        total[rows, at] += truth[rows, at] + rng.normal(0, variances.within, runs)
        n[rows, at] += 1
    chosen = posterior(total / n, n, 0.0, variances)[0].argmax(axis=1)
    assert truth[rows, chosen].mean() > truth[rows, evenly.argmax(axis=1)].mean() + 0.05


def test_further_seeds_take_their_share() -> None:
    assert list(wants_seed(np.array([0, 24, 25]), 100, 0.25, 5)) == [True, True, False]
    assert not wants_seed(0, 100, 0.25, 4)
    assert not wants_seed(0, 100, 0.0, 50)


def test_the_best_paused_one_continues_if_it_is_in_the_share() -> None:
    early = np.array([[3.0, 2.0, 1.0, np.nan], [3.0, 2.0, 1.0, 2.5], [3.0, np.nan, np.nan, np.nan], [np.nan] * 4])
    paused = np.array([[False, True, True, False], [False, True, True, True], [True] + [False] * 3, [False] * 4])
    assert list(to_continue(early, paused, 0.5)) == [1, 3, 0, -1]
    assert list(to_continue(early, paused, 0.3)) == [-1, 3, 0, -1]  # one of three, two of four, one of one
    assert to_continue(early[1], paused[1], 0.25) == -1
