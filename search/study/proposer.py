"""How trials are proposed: a sampler for each, seeded by its number; and the parameters and points of a space."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from arch.errors import InputError
from arch.specs.spec import Spec
from search.data.batches import mix
from search.recipes.recipe import Recipe
from search.record.quiet import quiet
from search.sampling.samplers import SAMPLERS, Grid, NumberedQMC, make_sampler
from search.sampling.surrogate import Surrogate
from search.space.candidates import Candidate, decode
from search.space.choosers import Endless, Enumerated, Sampled
from search.space.encode import encode, middle
from search.space.feasible import Limit
from search.space.space import Space
from search.storage.tell import SURROGATE
from search.study.config import StudyConfig

MOST_ENUMERATED = 5_000
_DRAWS = 32  # to find out which parameters a space has


def parameters(space: Space, base: Spec, recipe: Recipe) -> tuple[dict[str, BaseDistribution], list[str]]:
    """Return a space's parameters with their distributions, and the names of those that only some candidates have."""
    found: dict[str, BaseDistribution] = {}
    drawn = []
    with quiet():
        study = optuna.create_study()
    for number in range(_DRAWS):
        study.sampler = RandomSampler(seed=number)
        trial = study.ask()
        decode(space, base, recipe, Sampled(trial))
        found |= trial.distributions
        drawn.append(set(trial.distributions))
    return found, [name for name in found if any(name not in names for names in drawn)]


def points(space: Space, base: Spec, recipe: Recipe) -> list[tuple[Candidate, dict[str, Any]]]:
    """Return every candidate of a space once, with parameter values that `decode` turns into it.

    A grid over the parameters themselves would not do: an ordered pick is coded as a quantile, and how many
    quantiles differ depends on the picks before.

    Raises
    ------
    InputError
        There are infinitely or too many; says what to change.
    """
    walker = _RecordingWalk()
    found: dict[str, tuple[Candidate, dict[str, Any]]] = {}
    while True:
        walker.values = {}
        try:
            candidate = decode(space, base, recipe, walker)
        except Endless:
            raise InputError(
                f"sampler grid: cannot enumerate {walker.last}, a range or one value for several rows; "
                "give it choices, use splits.per: row, or another sampler such as qmc or random."
            ) from None
        found.setdefault(candidate.key, (candidate, walker.values))
        if len(found) > MOST_ENUMERATED:
            raise InputError(
                f"sampler grid: the space holds more than {MOST_ENUMERATED:,} candidates; coarsen it, "
                "or use another sampler such as qmc or random."
            )
        if not walker.advance():
            return list(found.values())


class _RecordingWalk(Enumerated):
    """Walks through every combination, and records its parameter values."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.last = ""

    def pick(self, name: str, weights: Sequence[float]) -> int:
        self.last = name
        index = super().pick(name, weights)
        self.values[name] = middle(weights, index)
        return index

    def choice(self, name: str, names: Sequence[str]) -> str:
        value = super().choice(name, names)
        self.values[name] = value
        return value

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        self.last = name
        return super().number(name, low, high, log)


class Proposer:
    """Asks Optuna for trials, each with its own sampler and seed.

    What a sampler draws follows from the study's seed, the trial's number and the trials in the storage, so a
    study that was stopped proposes what it would have proposed anyway.
    """

    def __init__(self, config: StudyConfig, base: Spec, recipe: Recipe, study: optuna.Study) -> None:
        self.config, self.base, self.recipe, self.study = config, base, recipe, study
        found, sometimes = parameters(config.space, base, recipe)
        self.names = None if sometimes else set(found)  # of a candidate's parameters, where all have the same
        self.sampler = SAMPLERS.get(config.sampler["name"])
        self.grid = points(config.space, base, recipe) if self.sampler.grid else []
        trials = study.get_trials(deepcopy=False)
        self.waiting = deque(t.number for t in trials if t.state is TrialState.WAITING)
        self.created = len(trials)
        self._search_spaces: dict[str, IntersectionSearchSpace] = {}  # by the name that the samplers have for it

    def ask(self, tried: Collection[str]) -> Trial:
        """Return the next trial: one that waits, or a new one."""
        number = self.waiting.popleft() if self.waiting else self.created
        self.created = max(self.created, number + 1)
        self.study.sampler = self._sharing(self._sampler(number, tried))
        return _noted(self.study.ask(), self.study.sampler)

    def drawn(self, view: optuna.Study, tried: Collection[str]) -> Trial:
        """Return a trial of a view with the next candidate's parameters, drawn from what the view shows the sampler."""
        view.sampler = self._sampler(self.created, tried)
        trial = _noted(view.ask(), view.sampler)
        decode(self.config.space, self.base, self.recipe, Sampled(trial))
        return trial

    def params_of(self, trial: int | str) -> dict[str, Any]:
        """Return a trial's parameters, or those of the base network; none where it is no point of the space."""
        if isinstance(trial, int):
            return self.study.get_trials(deepcopy=False)[trial].params
        try:
            return encode(self.config.space, self.base, self.recipe, self.base)
        except InputError:
            return {}

    def enqueue(self, params: dict[str, Any], attributes: dict[str, Any]) -> None:
        """Add a trial with given parameters; `ask` returns it next."""
        self.study.enqueue_trial(params, user_attrs=attributes)
        self.waiting.append(self.created)
        self.created += 1

    def resume(self, frozen: FrozenTrial, tried: Collection[str]) -> Trial:
        """Return a trial of an earlier start, with the parameters that were already drawn."""
        if self._is_drawn(frozen):
            self.study.sampler = RandomSampler()  # nothing is left to be drawn
            return Trial(self.study, frozen._trial_id)
        # The same sampler draws the same values again, in the same order: its state is then as it was.
        sampler = self.study.sampler = self._sharing(self._sampler(frozen.number, tried))
        trial = _noted(Trial(self.study, frozen._trial_id), sampler)
        known = trial.relative_params | frozen.system_attrs.get("fixed_params", {})
        for name, distribution in frozen.distributions.items():
            if frozen.params[name] != known.get(name) and not distribution.single():
                sampler.sample_independent(self.study, frozen, name, distribution)
        return trial

    def not_restorable(self, frozen: FrozenTrial) -> str | None:
        """Return in words what cannot be restored of a trial that was partly drawn, or None."""
        if self.sampler.redrawn or self._is_drawn(frozen):
            return None
        return (
            f"trial {frozen.number} was partly drawn when the study stopped; sampler {self.sampler.name} draws "
            "the rest again, and not as it would have"
        )

    def _is_drawn(self, frozen: FrozenTrial) -> bool:
        return self.names is not None and set(frozen.params) >= self.names

    def _sampler(self, number: int, tried: Collection[str]) -> BaseSampler:
        seed = self.config.seed
        sampler = make_sampler(self.config.sampler, seed, mix(seed, number))
        if isinstance(sampler, NumberedQMC):
            sampler.number = number
        if isinstance(sampler, Surrogate):
            sampler.networks = lambda trial: self._network(trial, tried)
        if isinstance(sampler, Grid):
            order = list(self.grid)
            if sampler.shuffle:
                random.Random(seed).shuffle(order)
            limit = self.config.max_macs
            sampler.point.update(
                next((v for c, v in order if c.key not in tried and (not limit or c.macs <= limit)), {})
            )
        return sampler

    def _network(self, trial: BaseTrial, tried: Collection[str]) -> tuple[Spec, bool]:
        """Return the network of a trial, and whether it is new and may be trained."""
        candidate = decode(self.config.space, self.base, self.recipe, Sampled(trial))
        may = candidate.key not in tried and not Limit(self.config.max_macs).why_not(candidate)
        return candidate.spec, may

    def _sharing(self, sampler: BaseSampler) -> BaseSampler:
        """Give a new sampler the search spaces that the samplers before it computed.

        An IntersectionSearchSpace reads every trial once and remembers how far it came; a new one would read all of
        them again, with the same result. It is found by its type, as its attribute's name is private to Optuna.
        """
        for name, own in vars(sampler).items():
            if isinstance(own, IntersectionSearchSpace):
                setattr(sampler, name, self._search_spaces.setdefault(name, own))
        return sampler


def _noted(trial: Trial, sampler: BaseSampler) -> Trial:
    """Return the trial with what its sampler says of the proposal, before any parameter is drawn."""
    if isinstance(sampler, Surrogate) and sampler.record:
        trial.set_user_attr(SURROGATE, sampler.record)
    return trial
