from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from arch.errors import InputError
from search.statistics.plans import Around, RacePlan, Situation, plans, recommend, simulate

# As on CIFAR-10: a space whose middle is 0.9 points under the base.
SITUATION = Situation(
    within={1: 0.75, 3: 0.45}, between={1: 0.8, 3: 0.7}, middle=-0.9, transfer={(1, 3): 0.6}
)  # fmt: skip


def test_best_of_n_without_noise_is_the_largest_of_n_normals() -> None:
    """20 candidates of a standard normal: the expected largest is 1.867 (Harter 1961, table 1)."""
    situation = Situation(within={1: 1e-9}, between={1: 1.0}, middle=0.0, transfer={})
    found = simulate(RacePlan(1, 0.0, base_seeds=1), situation, 21, runs=4000)
    assert found.gain == pytest.approx(1.867, abs=0.03)
    assert found.chance == pytest.approx(1.0)
    assert found.said == pytest.approx(found.gain, abs=1e-6)
    assert found.epochs == 21


def test_with_noise_the_choice_gains_what_reliability_leaves() -> None:
    """The same with noise as large as the spread: the chosen one's gain is sqrt(1/2) of 1.867."""
    situation = Situation(within={1: 1.0}, between={1: 1.0}, middle=0.0, transfer={})
    found = simulate(RacePlan(1, 0.0, base_seeds=1), situation, 21, runs=4000)
    assert found.gain == pytest.approx(1.867 * 0.5**0.5, abs=0.05)
    assert found.said == pytest.approx(found.gain, abs=0.08)


def test_a_short_length_keeps_its_correlation_of_the_gain() -> None:
    situation = Situation(within={1: 1e-9, 3: 1e-9}, between={1: 2.0, 3: 1.0}, middle=0.0, transfer={(1, 3): 0.5})
    found = simulate(RacePlan(1, 0.0, base_seeds=1), situation, 21, runs=4000)
    assert found.gain == pytest.approx(0.5 * 1.867, abs=0.05)
    assert found.said == pytest.approx(2 * 1.867, abs=0.08)  # its own length promises more


def test_around_is_another_middle_and_spread() -> None:
    near = dataclasses.replace(SITUATION, around=Around(-0.1, 0.5))
    plain = Situation(SITUATION.within, {1: 0.4, 3: 0.35}, -0.1, SITUATION.transfer)
    plan = RacePlan(3, 0.25)
    found = simulate(dataclasses.replace(plan, around=True), near, 90, runs=200)
    assert found == pytest.approx(simulate(plan, plain, 90, runs=200))
    with pytest.raises(InputError, match="needs the situation's `around`"):
        simulate(dataclasses.replace(plan, around=True), SITUATION, 90)


@pytest.mark.parametrize(("pause", "keep"), [(0, 1.0), (1, 0.5)])
@pytest.mark.parametrize("replicates", [0.0, 0.5])
def test_the_budget_is_kept_and_nearly_spent(pause: int, keep: float, replicates: float) -> None:
    found = simulate(RacePlan(3, replicates, 3, pause, keep), SITUATION, 100, runs=100)
    assert 97 <= found.epochs <= 100


def test_seeds_and_pauses_find_more_where_the_situation_rewards_them() -> None:
    noisy = dataclasses.replace(SITUATION, within={1: 0.3, 3: 0.9}, transfer={(1, 3): 0.9})
    plain, paused = (simulate(RacePlan(3, 0.0, 3, *how), noisy, 170, runs=400).gain for how in ((0, 1.0), (1, 0.25)))
    seeds = simulate(RacePlan(3, 0.5, 3), noisy, 170, runs=400).gain
    assert paused > plain + 0.1
    assert seeds > plain


def test_a_race_of_one_seed_is_no_better_than_chance_at_one_epoch_and_pays_at_three() -> None:
    """The diagnosis: 170 epochs in this situation."""
    short, long = (simulate(RacePlan(epochs, 0.25), SITUATION, 170, runs=200) for epochs in (1, 3))
    assert short.chance < 0.65 < 0.8 < long.chance
    assert short.said > short.gain + 0.5
    assert long.said == pytest.approx(long.gain, abs=0.12)


def test_plans_fit_the_budget() -> None:
    found = plans(100, [1, 3], [1], around=True)
    assert {plan.around for plan in found} == {False, True}
    assert {(plan.epochs, plan.pause) for plan in found} == {(1, 0), (3, 0), (3, 1)}
    for plan in found:
        cost = plan.pause + plan.keep * (plan.epochs - plan.pause)
        assert plan.candidates * cost / (1 - plan.replicates) + plan.base_seeds * plan.epochs <= 100
        assert plan.candidates * plan.keep >= 5
        assert plan.base_seeds * plan.epochs <= 20
    assert plans(10, [3]) == []


def test_recommendation() -> None:
    found = recommend(SITUATION, 170, [1, 3], [1], runs=150)
    gains = [expected.gain for _, expected in found.plans[:3]]
    assert gains == sorted(gains, reverse=True)
    assert found.plans[0][0].epochs == 3
    assert found.verdict.pays
    assert "This search pays" in found.verdict.text
    assert found == recommend(SITUATION, 170, [1, 3], [1], runs=150)


def test_what_a_pilot_does_not_know_widens_its_promise() -> None:
    unsure = [dataclasses.replace(SITUATION, middle=SITUATION.middle + off) for off in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    sure, found = (recommend(SITUATION, 90, [3], runs=100, possible=of).plans[0][1] for of in ([], unsure))
    assert (sure.low, sure.high) == (None, None)
    assert found.low is not None
    assert found.high is not None
    assert found.low + 0.5 < found.gain < found.high - 0.5
    assert found.chance < sure.chance


def test_a_space_that_cannot_pay_says_so_and_what_would() -> None:
    short = recommend(SITUATION, 60, [1], runs=30).verdict
    assert not short.pays
    assert "cannot pay at this budget" in short.text
    assert "if they halve the middle's distance" in short.text
    longer = recommend(SITUATION, 150, [1], runs=30).verdict
    assert "With trainings of 3 epochs it would." in longer.text
    more = recommend(SITUATION, 60, [3], runs=100).verdict
    assert more.multiple in (2, 4)
    assert f"With {more.multiple} times the budget it would." in more.text
    hopeless = dataclasses.replace(SITUATION, middle=-5.0, around=Around(-5.0, 1.0))
    assert "Not with 8 times the budget either." in recommend(hopeless, 60, [3], runs=20).verdict.text


def test_errors() -> None:
    with pytest.raises(InputError, match="5 epochs are not among them \\(1, 3\\)"):
        simulate(RacePlan(5, 0.0), SITUATION, 100)
    with pytest.raises(InputError, match="at least one complete candidate"):
        simulate(RacePlan(3, 0.0, base_seeds=3), SITUATION, 10)
    with pytest.raises(InputError, match="10 epochs are too few"):
        recommend(SITUATION, 10, [3])


def test_a_race_is_the_same_for_the_same_seed() -> None:
    once, again, other = (simulate(RacePlan(3, 0.5), SITUATION, 90, runs=50, seed=seed) for seed in (1, 1, 2))
    assert once == again != other
    assert np.isfinite(once[:4]).all()
