"""Prediction from figures: what can be learnt is ranked, what cannot is not, and weights and standard deviations count."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.sampling.prediction import Known


def known(amount: int, signal: float, seed: int, weights: np.ndarray | None = None, features: int = 12) -> Known:
    """Networks with figures of very different scales, whose values follow one of them by `signal`, and noise."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(amount, features))
    values = signal * table[:, 0] + rng.normal(size=amount)
    scaled = table * 10.0 ** np.arange(-3, features - 3)
    figures = [{f"f{i}": float(value) for i, value in enumerate(row)} for row in scaled]
    return Known(figures, values, np.ones(amount) if weights is None else weights)


def test_a_signal_is_ranked() -> None:
    found = [known(40, 3.0, seed).rank_correlation() for seed in range(5)]
    assert min(found) > 0.7


def test_without_a_signal_the_rank_is_near_0_and_errs_downward() -> None:
    """Predictions of one from all others tend to the mean of the others, which is lower where the one is better."""
    found = [known(20, 0.0, seed).rank_correlation() for seed in range(24)]
    assert -0.3 < float(np.nanmean(found)) < 0.1
    assert sum(rho > 0.3 for rho in found) <= 5


def test_networks_or_values_that_are_all_the_same_have_no_rank() -> None:
    same = [{"a": 1.0}] * 8
    for values in (np.arange(8.0), np.random.default_rng(0).normal(75, 1, 8)):  # nor does rounding rank them
        assert math.isnan(Known(same, values, np.linspace(0.3, 0.9, 8)).rank_correlation())
    varied = [{"a": float(i)} for i in range(8)]
    assert math.isnan(Known(varied, np.ones(8), np.ones(8)).rank_correlation())
    assert math.isnan(Known(varied, np.arange(8.0), np.zeros(8)).rank_correlation())  # no value is a network's own


def test_what_weighs_nothing_changes_nothing() -> None:
    weights = np.r_[np.ones(20), np.full(5, 1e-9)]
    some = known(25, 1.0, 0, weights)
    spoilt = Known(some.figures, np.r_[some.values[:20], np.full(5, 50.0)], weights)
    mean, _ = some.predict(some.figures[:5])
    assert spoilt.predict(some.figures[:5])[0] == pytest.approx(mean, abs=1e-3)
    alike = Known(spoilt.figures, spoilt.values, np.ones(25)).predict(some.figures[:5])[0]
    assert alike != pytest.approx(mean, abs=1.0)


def test_a_figure_that_a_network_lacks_is_0() -> None:
    networks = [{"a": float(i), **({"b": 1.0} if i % 2 else {})} for i in range(12)]
    values = np.array([0.1 * i + 5.0 * (i % 2) for i in range(12)])
    mean, sd = Known(networks, values, np.ones(12)).predict([{"a": 5.0, "b": 1.0}, {"a": 5.0}, {"a": 5.0, "c": 9.0}])
    assert mean[0] - mean[1] == pytest.approx(5.0, abs=0.5)
    assert mean[2] == mean[1]  # no value says anything of it
    assert (sd > 0).all()


def test_far_away_is_less_certain() -> None:
    some = known(20, 1.0, 3)
    near, far = ({name: scale * value for name, value in some.figures[0].items()} for scale in (1, 30))
    _, sd = some.predict([near, far])
    assert sd[1] > 2 * sd[0]
