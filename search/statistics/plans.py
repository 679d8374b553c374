"""What a race can be expected to find for a budget, simulated before it is paid for; and whether it can pay at all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from arch.errors import InputError
from search.statistics.allocation import MIN_COMPLETE, posterior, to_continue, top_two, wants_seed
from search.statistics.effects import Variances

PAYS = 0.8  # the chance that what is chosen beats the base, from which on a search pays
RUNS = 400  # simulated races of a plan
_FIRST_RUNS, _FINALISTS = 80, 3  # all plans are looked at in few races, the best ones in all
_SHARES = (0.0, 0.25, 0.45)  # of work for further seeds
_KEEPS = (0.5, 0.25)  # of those that reach the pause
_BASE_SEEDS = 3
_MULTIPLES = (2, 4, 8)  # of a budget that does not do


@dataclass(frozen=True)
class Around:
    """The space around the base: its middle minus the base, and its spread as a part of the whole space's."""

    middle: float
    factor: float


@dataclass(frozen=True)
class Situation:
    """What a pilot found; points of the score throughout. Lengths are in epochs.

    Attributes
    ----------
    within : noise of one training, by length or by the epoch of a pause.
    between : spread of candidates' true values, by the same; the longest length is the target.
    middle : the space's mean minus the base.
    transfer : correlation of true values at a shorter length or a pause with those at the target: (short, target).
    around : the same for draws around the base, if it is known.
    """

    within: Mapping[int, float]
    between: Mapping[int, float]
    middle: float
    transfer: Mapping[tuple[int, int], float]
    around: Around | None = None

    @property
    def target(self) -> int:
        """The length at which a gain counts."""
        return max(self.between)

    def correlation(self, epochs: int) -> float:
        """Return the correlation of true values at a length with those at the target.

        Raises
        ------
        InputError
            The pilot did not measure this length.
        """
        pair = (epochs, self.target)
        if not {epochs} <= self.within.keys() & self.between.keys() or (
            epochs != self.target and pair not in self.transfer
        ):
            raise InputError(
                f"A plan uses lengths that the pilot measured: noise, spread and transfer to {self.target} epochs; "
                f"{epochs} epochs are not among them ({', '.join(map(str, sorted(self.within)))})."
            )
        return 1.0 if epochs == self.target else self.transfer[pair]


@dataclass(frozen=True)
class RacePlan:
    """How a race spends its budget.

    Attributes
    ----------
    epochs : length of a training.
    replicates : share of the work for further seeds, which top-two sampling gives out.
    base_seeds : trainings of the base at the start.
    pause : epoch at which new candidates pause; 0 for none.
    keep : share that continues after the pause.
    candidates : how many fit into the budget.
    around : whether candidates are drawn around the base.
    """

    epochs: int
    replicates: float
    base_seeds: int = _BASE_SEEDS
    pause: int = 0
    keep: float = 1.0
    candidates: int = 0
    around: bool = False


class Expected(NamedTuple):
    """What simulated races found.

    Attributes
    ----------
    gain : mean true gain over the base, at the target, of what is chosen.
    chance : share of races whose choice is truly better than the base.
    said : mean gain that the race itself would state, at its own length.
    epochs : mean work.
    low, high : the gain's quantiles of 10 and 90 % over the situations that a pilot allows, the gain their median;
        None of a single situation.
    """

    gain: float
    chance: float
    said: float
    epochs: float
    low: float | None = None
    high: float | None = None


class Verdict(NamedTuple):
    """Whether a search pays: the best plan's chance is at least `PAYS`; if not, the smallest multiple that does."""

    pays: bool
    text: str
    multiple: int | None = None


class Recommendation(NamedTuple):
    """All plans with what they promise, the largest gain first, and the verdict."""

    plans: list[tuple[RacePlan, Expected]]
    verdict: Verdict


def plans(
    budget_epochs: float, lengths: Sequence[int], pauses: Sequence[int] = (), around: bool = False
) -> list[RacePlan]:
    """Return the plans that fit a budget: lengths, shares for further seeds, pauses, and draws around the base.

    Only plans with at least five complete candidates are among them. The base's first trainings take at most a fifth
    of the budget.

    Parameters
    ----------
    budget_epochs : epochs of all trainings together.
    lengths : of a training.
    pauses : epochs at which new candidates may pause; for lengths beyond them.
    around : whether draws around the base are known too.
    """
    found = []
    for epochs, share, pause, near in itertools.product(lengths, _SHARES, (0, *pauses), (False, True)[: 1 + around]):
        for keep in _KEEPS if pause else (1.0,):
            if pause < epochs:
                seeds = max(1, min(_BASE_SEEDS, int(budget_epochs / 5 / epochs)))
                plan = RacePlan(epochs, share, seeds, pause, keep, around=near)
                plan = replace(plan, candidates=_fitting(plan, budget_epochs))
                if plan.candidates * keep >= MIN_COMPLETE:
                    found.append(plan)
    return found


def _fitting(plan: RacePlan, budget: float) -> int:
    """Return how many candidates a budget has room for."""
    cost = plan.pause + plan.keep * (plan.epochs - plan.pause)  # without a pause all of a training
    return int((budget - plan.base_seeds * plan.epochs) * (1 - plan.replicates) / cost)


def simulate(plan: RacePlan, situation: Situation, budget_epochs: float, runs: int = RUNS, seed: int = 0) -> Expected:
    """Return what a plan is to be expected to find, over so many simulated races with known truth.

    A race trains the base, then new candidates or further seeds by the rules of `search.statistics.allocation`. The
    base gets a seed whenever a candidate would have more than it. At the end the largest posterior mean is chosen.
    An early score's noise is taken as independent of the finished training's.

    Raises
    ------
    InputError
        The plan's lengths are not in the situation, or no candidate fits the budget.
    """
    races = _Races(plan, situation, budget_epochs, runs, np.random.default_rng(seed))
    while races.step():
        pass
    if not (races.n > 0).any(axis=1).all():
        raise InputError(
            f"A race needs at least one complete candidate; {budget_epochs:g} epochs are too few for {plan}."
        )
    return races.expected()


class _Races:
    """Many races at once. Arrays are (runs, candidates) or (runs,); a candidate's place is drawn before it is trained."""

    def __init__(
        self, plan: RacePlan, situation: Situation, budget: float, runs: int, rng: np.random.Generator
    ) -> None:
        space = situation.around if plan.around else Around(situation.middle, 1.0)
        if space is None:
            raise InputError(f"A plan around the base needs the situation's `around`; it is missing for {plan}.")
        self.plan, self.budget, self.rng = plan, budget, rng
        room = int(1.2 * _fitting(plan, budget)) + 2 * MIN_COMPLETE  # a few more may fit, as seeds come late
        own = rng.standard_normal((runs, room))
        self.truth = space.middle + space.factor * situation.between[situation.target] * own
        self.value = self._at(plan.epochs, situation, space, own)
        self.variances = Variances(situation.within[plan.epochs], space.factor * situation.between[plan.epochs])
        self.early = np.full(own.shape, math.nan)
        self.early_score = own  # never read without a pause
        if plan.pause:
            noise = situation.within[plan.pause] * rng.standard_normal(own.shape)
            self.early_score = self._at(plan.pause, situation, space, own) + noise
        self.total, self.n = np.zeros(own.shape), np.zeros(own.shape)
        self.base_n = np.full(runs, float(plan.base_seeds))
        self.base_total = self.variances.within * math.sqrt(plan.base_seeds) * rng.standard_normal(runs)
        self.work, self.further = self.base_n * plan.epochs, np.zeros(runs)

    def _at(self, epochs: int, situation: Situation, space: Around, own: np.ndarray) -> np.ndarray:
        """Return true values at a length, from those at the target, standardised."""
        rho = situation.correlation(epochs)
        there = rho * own + math.sqrt(1 - rho**2) * self.rng.standard_normal(own.shape)
        return space.middle + space.factor * situation.between[epochs] * there

    def step(self) -> bool:
        """Train once in every race that has the budget left; return whether any had."""
        plan = self.plan
        seeds = wants_seed(self.further, self.work, plan.replicates, (self.n > 0).sum(axis=1))
        chosen = np.full(len(seeds), -1)
        if seeds.any():
            chosen[seeds] = top_two(*self.posteriors(seeds), self.rng)
        base = seeds & (self.n[np.arange(len(seeds)), chosen] + 1 > self.base_n)
        paused = ~np.isnan(self.early) & (self.n == 0)
        onward = np.where(seeds, -1, to_continue(self.early, paused, plan.keep))
        started = (self.n > 0) | paused
        fresh = ~seeds & (onward < 0)
        cost = np.where(fresh, plan.pause or plan.epochs, np.where(onward >= 0, plan.epochs - plan.pause, plan.epochs))
        can = (self.work + cost <= self.budget) & ~(fresh & started.all(axis=1))
        self.work += cost * can
        self.further += cost * (can & seeds)
        self._train_base(can & base)
        self._train(can & seeds & ~base, chosen)
        self._train(can & (onward >= 0), onward)
        new = started.sum(axis=1)  # candidates are trained in order, so this is the next one's index
        if plan.pause:
            rows = np.flatnonzero(can & fresh)
            self.early[rows, new[rows]] = self.early_score[rows, new[rows]]
        else:
            self._train(can & fresh, new)
        return bool(can.any())

    def _train(self, which: np.ndarray, candidate: np.ndarray) -> None:
        rows = np.flatnonzero(which)
        at = candidate[rows]
        self.total[rows, at] += self.value[rows, at] + self.variances.within * self.rng.standard_normal(len(rows))
        self.n[rows, at] += 1

    def _train_base(self, which: np.ndarray) -> None:
        self.base_total[which] += self.variances.within * self.rng.standard_normal(int(which.sum()))
        self.base_n[which] += 1

    def posteriors(self, which: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return each candidate's posterior at the race's length, around the middle that the scores show."""
        n = self.n[which]
        mean = self.total[which] / np.maximum(n, 1)
        weight = n / (n * self.variances.between**2 + self.variances.within**2)
        middle = (weight * mean).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
        found, sd = posterior(mean, n, middle, self.variances)
        return np.where(n > 0, found, -np.inf), sd

    def expected(self) -> Expected:
        """Choose in every race, and compare with the truth."""
        mean, _ = self.posteriors()
        rows, chosen = np.arange(len(mean)), mean.argmax(axis=1)
        gain, said = self.truth[rows, chosen], mean[rows, chosen] - self.base_total / self.base_n
        return Expected(float(gain.mean()), float((gain > 0).mean()), float(said.mean()), float(self.work.mean()))


def recommend(
    situation: Situation,
    budget_epochs: float,
    lengths: Sequence[int],
    pauses: Sequence[int] = (),
    runs: int = RUNS,
    seed: int = 0,
    possible: Sequence[Situation] = (),
) -> Recommendation:
    """Return all plans for a budget, the largest expected gain first, and whether the best one pays.

    A pilot knows its situation roughly. With `possible` situations, drawn as it allows them, the best plans' figures
    are taken over these: one that was taken for sure promises too much.

    If it does not, the verdict says what would: more budget, longer trainings, draws closer to the base. The three best
    of all plans are simulated `runs` times, the others less. Time grows with the square of the candidates: seconds
    for a hundred.

    Raises
    ------
    InputError
        A length is not in the situation, or the budget has no room for any plan.
    """
    fitting = plans(budget_epochs, lengths, pauses, situation.around is not None)
    if not fitting:
        raise InputError(
            f"A race needs {MIN_COMPLETE} candidates and the base; {budget_epochs:g} epochs are too few for "
            f"trainings of {min(lengths)} epochs."
        )
    found = _simulated(fitting, [situation], budget_epochs, min(runs, _FIRST_RUNS), seed)
    finalists = [plan for plan, _ in found[:_FINALISTS]]
    found = _simulated(finalists, possible or [situation], budget_epochs, runs, seed) + found[_FINALISTS:]
    plan, expected = found[0]
    sure = f" ({expected.low:+.2f} to {expected.high:+.2f})" if possible else ""
    what = f"gains {expected.gain:+.2f} points{sure}; it beats the base with a chance of {expected.chance:.0%}"
    if expected.chance >= PAYS:
        return Recommendation(found, Verdict(True, f"This search pays: the best plan {what}."))
    multiple = _multiple(plan, situation, budget_epochs, runs, seed)
    ways = [_more(multiple), *_longer(situation, budget_epochs, lengths, runs, seed)]
    ways += _closer(plan, situation, budget_epochs, runs, seed)
    text = f"This search cannot pay at this budget: the best plan {what}, below {PAYS:.0%}. {' '.join(ways)}"
    return Recommendation(found, Verdict(False, text, multiple))


def _simulated(
    fitting: Sequence[RacePlan], situations: Sequence[Situation], budget: float, runs: int, seed: int
) -> list[tuple[RacePlan, Expected]]:
    """Return plans with what they promise over situations, the largest gain first."""
    if len(situations) == 1:
        found = [(plan, simulate(plan, situations[0], budget, runs, seed)) for plan in fitting]
        return sorted(found, key=lambda pair: -pair[1].gain)
    each = max(1, runs // len(situations))
    found = []
    for plan in fitting:
        outcomes = [simulate(plan, of, budget, each, seed + number) for number, of in enumerate(situations)]
        found.append((plan, _over_situations(outcomes)))
    return sorted(found, key=lambda pair: -pair[1].gain)


def _over_situations(outcomes: Sequence[Expected]) -> Expected:
    """Return medians of gains, as a few draws of a large spread would carry their mean; the others are means."""
    gains = [outcome.gain for outcome in outcomes]
    said = float(np.median([outcome.said for outcome in outcomes]))
    chance, epochs = (float(np.mean([getattr(of, name) for of in outcomes])) for name in ("chance", "epochs"))
    low, high = np.quantile(gains, [0.1, 0.9])
    return Expected(float(np.median(gains)), chance, said, epochs, float(low), float(high))


def _multiple(plan: RacePlan, situation: Situation, budget: float, runs: int, seed: int) -> int | None:
    """Return the smallest multiple of the budget with which a plan pays."""
    for multiple in _MULTIPLES:
        if simulate(plan, situation, multiple * budget, runs, seed).chance >= PAYS:
            return multiple
    return None


def _more(multiple: int | None) -> str:
    if multiple is None:
        return f"Not with {_MULTIPLES[-1]} times the budget either."
    return f"With {multiple} times the budget it would."


def _longer(situation: Situation, budget: float, lengths: Sequence[int], runs: int, seed: int) -> list[str]:
    """Return the first longer length that pays, as a sentence, if any."""
    known = sorted(situation.within.keys() & situation.between.keys())
    for epochs in (epochs for epochs in known if epochs > max(lengths)):
        chances = [simulate(plan, situation, budget, runs, seed).chance for plan in plans(budget, [epochs])]
        if max(chances, default=0.0) >= PAYS:
            return [f"With trainings of {epochs} epochs it would."]
    return []


def _closer(plan: RacePlan, situation: Situation, budget: float, runs: int, seed: int) -> list[str]:
    """Return whether half the distance between middle and base, and half the spread, would pay, as a sentence."""
    if situation.around is not None:
        return []
    half = replace(situation, around=Around(situation.middle / 2, 0.5))
    chance = simulate(replace(plan, around=True), half, budget, runs, seed).chance
    return [
        "Draws around the base were not measured; if they halve the middle's distance to it and the spread, "
        f"the chance is {chance:.0%}."
    ]
