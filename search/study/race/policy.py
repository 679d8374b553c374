"""The race of a study: which training starts next, a new candidate's, one more seed's, or the rest of a paused one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field

from search.data.batches import mix
from search.data.dataset import DataConfig
from search.record.layout import BASE
from search.record.quiet import quiet
from search.statistics.allocation import top_two, wants_seed
from search.statistics.effects import Effects
from search.statistics.standing import Ran, estimated

_SEEDS_FROM = -2  # the stream of seeds of a race; confirmations draw from -1
_CHOICES_FROM = -3  # the stream of its random choices


class Hopeless(BaseModel):
    """When a race ends early: no candidate gains enough with enough chance.

    Attributes
    ----------
    gain : in points of held-out accuracy.
    chance : the least chance that the best candidate gains more than that.
    after : the part of the budget that is spent first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    gain: float = 0.2
    chance: float = Field(0.5, gt=0, lt=1)
    after: float = Field(0.5, ge=0, lt=1)


class RaceConfig(BaseModel):
    """How a study divides its work between new candidates and further seeds of those that lead.

    Attributes
    ----------
    base_seeds : the base network is trained with so many seeds first. It gets another one whenever a candidate would
        have more, so that every training has the base's with the same seed and data order as its control.
    replicates : the part of the trainings that repeat a candidate with another seed. Top-two Thompson sampling
        (Russo 2016) takes one whose place at the top is open. A quarter was within 0.05 points of the best share in
        all simulated cases (`benchmarks/calibration.py`).
    score : what they are compared by: `val_accuracy`, `val_loss`, `loss_and_training` (held-out loss and training
        accuracy), or `auto`: the last one, unless the space varies what makes training images or the loss harder.
    resplit : each further seed holds out other images, the same for every network that is trained with it. On fixed
        held-out images a candidate that happens to suit them stays ahead however often it is repeated.
    stop : ends a race that finds nothing, `{}` by the defaults of `Hopeless`; without it all work is done.
    pilot : the largest part of the budget that the pilot takes before the race; 0: no pilot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_seeds: int = Field(3, ge=2, le=1000)
    replicates: float = Field(0.25, ge=0, lt=1)
    score: Literal["auto", "val_accuracy", "val_loss", "loss_and_training"] = "auto"
    resplit: bool = True
    stop: Hopeless | None = None
    pilot: float = Field(0.1, ge=0, le=0.5)


@dataclass(frozen=True)
class Step:
    """What starts next: a new `candidate`, another `seed` of a known one, or the `rest` of a paused training.

    `of` is the trial that is repeated or continues, by its number; `base`: the base network.
    """

    kind: Literal["candidate", "seed", "rest"]
    of: int | str = BASE
    seed: int = 0


class _Value(NamedTuple):
    """What a sampler sees of a candidate: the gain to expect, the difference that was seen, and the weight of that."""

    gain: float
    seen: float
    weight: float


@dataclass
class _Known:
    """A candidate of the race: the number of its first trial, and its seeds."""

    number: int = -1
    seeds: set[int] = field(default_factory=set)


class Race:
    """Decides step by step; each choice follows from the study's seed, the trial's number and what has ended.

    Parameters
    ----------
    base : the key of the base network's candidate.
    epochs : how long a training is that counts; None: of any length.
    score : one of `search.statistics.score.SCORES`.
    pauses : returns whether a trial that paused after an epoch would pause there now.
    """

    def __init__(
        self,
        config: RaceConfig,
        seed: int,
        base: str,
        epochs: int | None,
        score: str,
        pauses: Callable[[int, int], bool],
    ) -> None:
        self.config, self.seed, self.base, self.pauses = config, seed, base, pauses
        self.epochs, self.score = epochs, score
        self.known: dict[str, _Known] = {base: _Known()}
        self.ran: dict[tuple[str, int], Ran] = {}  # by key and seed
        self.barred: set[str] = set()  # candidates that a limit refuses: one may come after they were trained
        self.paused: dict[int, tuple[int, int]] = {}  # trial -> its seed, and the epoch after which it waits

    def begun(self, number: int, key: str, seed: int, continues: int | None = None) -> None:
        """Record a trial that was proposed."""
        if continues is not None:
            self.paused.pop(continues, None)
            return
        candidate = self.known.setdefault(key, _Known())
        if not candidate.seeds:
            candidate.number = number
        candidate.seeds.add(seed)

    def refused(self, result: Mapping[str, Any]) -> None:
        """Record a trial that a limit refuses: its candidate is neither repeated nor continued."""
        self.barred.add(result["key"])
        self.paused.pop(result.get("continues", -1), None)

    def ended(self, result: Mapping[str, Any]) -> None:
        """Record the result of a training; a duplicate's is that of its original."""
        if "duplicate_of" in result:
            return
        if result["state"] == "pruned" and isinstance(result["trial"], int):
            self.paused[result["trial"]] = (result["seed"], result["epochs"])
        if result["state"] == "complete":
            self.ran[result["key"], result["seed"]] = Ran.of(result)

    def step(self, number: int, exhausted: bool) -> Step:
        """Return what the trial of this number is; `exhausted`: the space holds no other candidate."""
        base = self.known[self.base]
        if len(base.seeds) < self.config.base_seeds:
            return Step("seed", BASE, self._next_seed(base.seeds))
        for trial, (seed, epoch) in sorted(self.paused.items()):
            if not self.pauses(trial, epoch):
                return Step("rest", trial, seed)
        complete = len({ran.key for ran in self._counting()} - {self.base})
        if (exhausted and complete) or wants_seed(*self._work(), self.config.replicates, complete):
            return self._repeat(number) or Step("candidate")
        return Step("candidate")

    def _counting(self) -> list[Ran]:
        """Return the trainings that are long enough to count."""
        return [ran for ran in self.ran.values() if self.epochs in (None, ran.epochs)]

    def _work(self) -> tuple[int, int]:
        """Return the epochs of further seeds, and of all trainings; those that wait at a pause count up to it."""
        trainings = sum(len(candidate.seeds) for candidate in self.known.values())
        length = self.epochs or 1  # of different lengths each counts alike
        waiting = sum(length - epoch for _, epoch in self.paused.values()) if self.epochs else 0
        return length * (trainings - len(self.known)), length * trainings - waiting

    def _repeat(self, number: int) -> Step | None:
        effects = self.effects()
        if effects is None:
            return None
        rng = np.random.default_rng(mix(self.seed, _CHOICES_FROM, number))
        open_to = np.array([key not in self.barred for key in effects.candidates])
        if not open_to.any():
            return None
        chosen = top_two(np.where(open_to, effects.gain, -np.inf), effects.sd, rng)
        candidate, base = self.known[effects.candidates[int(chosen)]], self.known[self.base]
        # The base first: it is the control of every seed.
        if len(candidate.seeds) >= len(base.seeds):
            return Step("seed", BASE, self._next_seed(base.seeds))
        return Step("seed", candidate.number, self._next_seed(candidate.seeds))

    def effects(self) -> Effects | None:
        """Return what the trainings say of each candidate's gain over the base; None before both have one."""
        return estimated(self._counting(), self.base, self.epochs, self.score)

    def hopeless(self, spent: float) -> bool:
        """Return whether the race ends early, where a part of its budget is spent."""
        stop = self.config.stop
        if not stop or spent < stop.after:
            return False
        effects = self.effects()
        return effects is not None and float(effects.chance(stop.gain).max()) < stop.chance

    def _next_seed(self, taken: Collection[int]) -> int:
        return next(seed for seed in race_seeds(self.seed) if seed not in taken)

    def view(self, study: optuna.Study) -> optuna.Study:
        """Return the study as a sampler should see it: a trial a candidate, its value the expected gain.

        So no sampler meets a candidate twice, and none takes luck for merit. What was seen, and its weight in a
        regression, are attributes: gains are drawn to the middle, and those with fewer trainings more so.
        """
        values = self._values()
        first = {known.number: key for key, known in self.known.items()}
        with quiet():
            view = optuna.create_study(direction="maximize")
        for trial in study.get_trials(deepcopy=False):
            if seen := _seen(trial, values.get(first.get(trial.number, ""))):
                view.add_trial(seen)
        return view

    def _values(self) -> dict[str, _Value]:
        """Return what is known of each candidate by its key; the base's gain over itself is 0."""
        if (effects := self.effects()) is None:
            return {}
        columns = (effects.gain.tolist(), effects.seen.tolist(), effects.weights.tolist())
        found = {key: _Value(*values) for key, *values in zip(effects.candidates, *columns, strict=True)}
        return found | {self.base: _Value(0.0, 0.0, 1.0)}


def _seen(trial: FrozenTrial, value: _Value | None) -> FrozenTrial | None:
    """Return a trial with another value, or None where a sampler learns nothing from it."""
    if not trial.params or not (value or trial.user_attrs.get("outcome") == "infeasible"):
        return None
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if value else TrialState.PRUNED,
        value=value.gain if value else None,
        params=trial.params,
        distributions=trial.distributions,
        constraints=trial.constraints,
        user_attrs={"seen": value.seen, "weight": value.weight} if value else None,
    )


def data_for(config: RaceConfig | None, data: DataConfig, first: int, seed: int) -> DataConfig:
    """Return the data that a training with a seed of the race is given; `first` is the study's own seed."""
    if not config or not config.resplit or seed == first:
        return data
    place = next(index for index, other in enumerate(race_seeds(first)) if other == seed)
    return data.model_copy(update={"split_seed": data.split_seed + place})


def race_seeds(seed: int) -> Iterator[int]:
    """Yield the seeds of a race in order: the study's own first."""
    yield seed
    yield from (mix(seed, _SEEDS_FROM, index) % 2**31 for index in count())
