"""A sampler that mixes draws of the prior, mutations of the leader, and draws far out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

_LEADERS = 4  # how many of the best may lead


class Mixture(BaseSampler):
    """Draws the prior, a mutation of the leader, or far out, each with a given probability.

    - `prior` draws every parameter uniformly, which is the space's own distribution.
    - `mutate` draws two or three parameters of the leader again, and keeps the others: a number takes a normal step of
      `step` times its range, reflected at the bounds, and a choice becomes another one. Parameters that the leader
      lacks are drawn from the prior, and so is everything before `startup` trials are complete.
    - `wide` draws numbers from the arcsine distribution (Beta(1/2, 1/2)), whose mass lies at both bounds.

    As scores are noisy, the best completed trial leads only half the time, else the second half the time, and so on to
    the fourth. Of several objectives one of the front leads, all alike.

    What is drawn depends on the seed, the trial's number and the completed trials alone.
    """

    def __init__(
        self,
        *,
        prior: float = 0.3,
        mutate: float = 0.6,
        wide: float = 0.1,
        step: float = 0.2,
        startup: int = 10,
        seed: int | None = None,
    ) -> None:
        shares = {"prior": prior, "mutate": mutate, "wide": wide}
        if min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1):
            raise ValueError(f"prior, mutate and wide are shares with the sum 1, and are {prior}, {mutate} and {wide}")
        if not 0 < step <= 1:
            raise ValueError(f"step is a part of a parameter's range, above 0 and at most 1, and is {step}")
        self.shares, self.step, self.startup = shares, step, startup
        self._entropy = np.random.SeedSequence(seed).generate_state(4).tolist()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the trial that leads, where it is mutated."""
        leader = self._leader(study, trial)
        return dict(sorted(leader.distributions.items())) if leader else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a value for each parameter: the leader's, mutated, or where there is none a draw."""
        leader = self._leader(study, trial)
        kept = self._mutated(trial, leader.params, search_space) if leader else {}
        return {
            name: kept[name] if name in kept else self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a draw of the prior, or one far out."""
        rng = self._rng(trial, f"draw {param_name}")
        if self._kind(trial) == "wide" and not isinstance(param_distribution, CategoricalDistribution):
            return _value(param_distribution, rng.beta(0.5, 0.5))
        return _value(param_distribution, rng.random())

    def _rng(self, trial: FrozenTrial, purpose: str) -> np.random.Generator:
        """Return random numbers of their own for each purpose, so that no order of calls matters."""
        return np.random.default_rng([*self._entropy, trial.number, crc32(purpose.encode())])

    def _kind(self, trial: FrozenTrial) -> str:
        return str(self._rng(trial, "kind").choice(list(self.shares), p=list(self.shares.values())))

    def _leader(self, study: Study, trial: FrozenTrial) -> FrozenTrial | None:
        """Return the trial to mutate; None where another kind is drawn, or too few trials are complete."""
        if self._kind(trial) != "mutate":
            return None
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < max(1, self.startup):
            return None
        rng = self._rng(trial, "leader")
        if len(study.directions) > 1:
            front = sorted(study.best_trials, key=lambda best: best.number)
            return front[rng.integers(len(front))] if front else None
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        best = sorted(complete, key=lambda other: (sign * other.values[0], other.number))[:_LEADERS]
        return best[min(int(rng.geometric(0.5)), len(best)) - 1]

    def _mutated(
        self, trial: FrozenTrial, values: Mapping[str, Any], search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the leader's values with two or three of them drawn again."""
        rng = self._rng(trial, "mutation")
        kept = {name: values[name] for name in search_space if name in values}
        able = [name for name in kept if not search_space[name].single()]
        amount = rng.integers(2, 4)
        return kept | {
            able[place]: self._step(search_space[able[place]], kept[able[place]], rng)
            for place in rng.permutation(len(able))[:amount]
        }

    def _step(self, distribution: BaseDistribution, value: Any, rng: np.random.Generator) -> Any:
        """Return another choice, or a number nearby."""
        if isinstance(distribution, CategoricalDistribution):
            place = distribution.choices.index(value)
            others = distribution.choices[:place] + distribution.choices[place + 1 :]
            return others[rng.integers(len(others))]
        quantile = float(_scale(distribution).transform({"": value})[0]) + rng.normal(0.0, self.step)
        # Reflected at both bounds as often as needed: a triangle wave with the period 2.
        return _value(distribution, 1 - abs(quantile % 2 - 1))


def _scale(distribution: BaseDistribution) -> _SearchSpaceTransform:
    """Return Optuna's own mapping of a number to the range 0 to 1, logarithms and steps heeded."""
    return _SearchSpaceTransform({"": distribution}, transform_0_1=True)


def _value(distribution: BaseDistribution, quantile: float) -> Any:
    """Return the value at a quantile of a uniform distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(quantile * len(distribution.choices))]
    return _scale(distribution).untransform(np.array([quantile]))[""]
