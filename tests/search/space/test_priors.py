"""How likely each split is, held against enumerations."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import optuna
import pytest
from scipy.stats import chisquare

from arch.registry import Reduced
from arch.specs.edit import Split
from search.space.choosers import Enumerated, Sampled
from search.space.compositions import SplitRules, draw_split, reduction_bounds
from search.space.encode import middle
from search.space.priors import Around, Prior, Uniform

REFERENCE = Split(3, Reduced(4, 6), Reduced(1, 2), 1)
RULES = SplitRules(round=1, minimum=1, reduce=(0.25, 1.0))
optuna.logging.set_verbosity(optuna.logging.WARNING)


class Weighed(Enumerated):
    """Walks through every split, with the probability that independent uniform picks lead to it."""

    chance = 1.0

    def pick(self, name: str, weights: Sequence[float]) -> int:
        index = super().pick(name, weights)
        self.chance *= weights[index] / sum(weights)
        return index


def chances(prior: Prior, out: int, rules: SplitRules = RULES) -> dict[Split, float]:
    """Return the probability of every split of `out` channels."""
    walker, found = Weighed(), {}
    while True:
        walker.chance = 1.0
        split = draw_split(rules, out, "split.x", walker, prior)
        found[split] = walker.chance
        if not walker.advance():
            return found


def expected(reference: Split, spread: float, out: int) -> dict[Split, float]:
    """Return the same from the definition, without sums in between."""

    def kernel(ratio: float, wanted: float) -> float:
        return math.exp(-0.5 * (math.log(ratio / wanted) / spread) ** 2)

    def reductions(width: int, wanted: Reduced) -> dict[int, float]:
        low, high = reduction_bounds(RULES, width)
        weights = {r: kernel(r / width, wanted.reduce / wanted.out) for r in range(low, high + 1)}
        return {r: weight / sum(weights.values()) for r, weight in weights.items()}

    wanted = reference.b1x1, reference.b3x3.out, reference.b5x5.out, reference.pool
    weights = {
        parts: math.prod(kernel(p / out, w / reference.out) for p, w in zip(parts, wanted, strict=True))
        for parts in itertools.product(range(1, out), repeat=4)
        if sum(parts) == out
    }
    total = sum(weights.values())
    return {
        Split(a, Reduced(r3, b), Reduced(r5, c), d): weight / total * p3 * p5
        for (a, b, c, d), weight in weights.items()
        for r3, p3 in reductions(b, reference.b3x3).items()
        for r5, p5 in reductions(c, reference.b5x5).items()
    }


@pytest.mark.parametrize("spread", [0.2, 0.35, 1.0, 5.0])
@pytest.mark.parametrize("out", [9, 12])
def test_picks_draw_exactly_from_the_kernels_product(spread: float, out: int) -> None:
    wanted = expected(REFERENCE, spread, out)
    found = chances(Around(REFERENCE, spread), out)
    assert found.keys() == wanted.keys()
    assert sum(found.values()) == pytest.approx(1)
    for split, chance in wanted.items():
        assert found[split] == pytest.approx(chance, rel=1e-9, abs=1e-7)  # the floor adds at most that


def test_random_draws_follow_it() -> None:
    wanted = expected(REFERENCE, 0.5, 9)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: Counter[Split] = Counter(
        draw_split(RULES, 9, "split.x", Sampled(study.ask()), Around(REFERENCE, 0.5)) for _ in range(3_000)
    )
    likely = [split for split, chance in wanted.items() if chance * 3_000 >= 5]
    rest = 3_000 - sum(seen[split] for split in likely)
    counts = [wanted[split] * 3_000 for split in likely]
    assert chisquare([*(seen[s] for s in likely), rest], [*counts, 3_000 - sum(counts)]).pvalue > 0.001


def test_a_large_spread_is_uniform() -> None:
    plain, wide = chances(Uniform(), 11), chances(Around(REFERENCE, 1e5), 11)
    assert plain.keys() == wide.keys()
    assert all(wide[split] == pytest.approx(chance, rel=1e-6) for split, chance in plain.items())


def test_the_reference_is_the_likeliest_of_its_width() -> None:
    found = chances(Around(REFERENCE, 0.35), REFERENCE.out)
    assert max(found, key=lambda split: found[split]) == REFERENCE


def test_shares_are_compared_and_not_widths() -> None:
    double = Split(6, Reduced(8, 12), Reduced(2, 4), 2)
    one, two = Around(REFERENCE, 0.35), Around(double, 0.35)
    assert one.widths(0, 12, 12, 1) == two.widths(0, 12, 12, 1)
    twice = chances(two, 24, SplitRules(round=2, minimum=2))
    assert max(twice, key=lambda split: twice[split]) == double


@pytest.mark.parametrize("spread", [0.01, 0.05, 0.35])
def test_every_width_has_a_quantile_however_far_it_is(spread: float) -> None:
    """Its kernel would be 0 as a float; the branches after a far one still have weights."""
    prior = Around(Split(2, Reduced(190, 194), Reduced(1, 2), 2), spread)
    for left in (200, 10):  # nothing taken yet, or nearly all by a branch that should have little
        weights = prior.widths(1, left, 200, 1)
        for index in range(len(weights)):
            trial = optuna.trial.FixedTrial({"x": middle(weights, index)})
            assert Sampled(trial).pick("x", weights) == index  # type: ignore[arg-type]
