"""A sampler that predicts networks' values from their own figures, and proposes only where it ranks them well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial, TrialState

from arch.specs.spec import Spec
from search.record.quiet import quiet
from search.sampling.figures import Figures, figures
from search.sampling.mixture import Mixture
from search.sampling.prediction import Known

_FEWEST = 5  # networks, of which a rank correlation says something

Networks = Callable[[BaseTrial], tuple[Spec, bool]]


class Surrogate(Mixture):
    """Draws many candidates as `mixture` does, and proposes the one of which a prediction promises most.

    Ridge regression on the networks' figures (`search.sampling.figures`) predicts the objective. A prediction is worth
    something where it ranks well: each completed network is predicted from all others, and only where Spearman's
    correlation of these predictions with what was trained reaches `worth` does it propose. Else one candidate is drawn
    as `mixture` draws it.

    Of `candidates` draws the one with the highest expected value plus `optimism` standard deviations is proposed.
    A study's values are what was trained, all alike. A race gives `seen`, each network's mean difference to the base,
    and `weight`, how reliable that is, as attributes of its trials.

    What is proposed depends on the seed, the trial's number and the completed trials alone.

    Attributes
    ----------
    networks : returns the network of a trial's parameters, and whether it is new and may be trained. It draws
        parameters that the trial lacks. None: it draws as `mixture` does.
    record : the `rank_correlation` (None: predictions or values do not vary) among how many `networks`, whether it
        `proposes`, and then the `expected` value and its `sd`. Empty where too few trials are complete.
    """

    def __init__(
        self,
        *,
        worth: float = 0.3,
        candidates: int = 64,
        optimism: float = 0.5,
        prior: float = 0.3,
        mutate: float = 0.6,
        wide: float = 0.1,
        step: float = 0.2,
        startup: int = 15,
        seed: int | None = None,
    ) -> None:
        super().__init__(prior=prior, mutate=mutate, wide=wide, step=step, startup=startup, seed=seed)
        if not -1 <= worth <= 1:
            raise ValueError(f"worth is a rank correlation, from -1 to 1, and is {worth}")
        if candidates < 1:
            raise ValueError(f"candidates is how many are drawn, at least 1, and is {candidates}")
        if not 0 <= optimism < float("inf"):
            raise ValueError(f"optimism counts standard deviations, 0 or more, and is {optimism}")
        self.worth, self.candidates, self.optimism = worth, candidates, optimism
        self.networks: Networks | None = None
        self.record: dict[str, Any] = {}
        self._proposal: FrozenTrial | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose what is proposed, so that `record` is known before any parameter is drawn."""
        self._proposal = self._proposed(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the candidate that is proposed, or what `mixture` draws together."""
        if self._proposal is None:
            return super().infer_relative_search_space(study, trial)
        return dict(self._proposal.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of the candidate that is proposed, or those that `mixture` draws."""
        if self._proposal is None:
            return super().sample_relative(study, trial, search_space)
        return {name: self._proposal.params[name] for name in search_space}

    def _proposed(self, study: Study, trial: FrozenTrial) -> FrozenTrial | None:
        """Return the candidate that promises most, with its parameters; None where no prediction is worth it."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        given = "fixed_params" in trial.system_attrs  # enqueued: nothing is drawn
        if self.networks is None or given or len(complete) < max(self.startup, _FEWEST):
            return None
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        known = self._known(complete, self.networks, sign)
        rho = known.rank_correlation()
        proposes = bool(rho >= self.worth)
        self.record = {"rank_correlation": None if np.isnan(rho) else rho, "networks": len(complete)}
        drawn = self._drawn(study, trial, complete, self.networks) if proposes else []
        self.record["proposes"] = bool(drawn)
        if not drawn:
            return None
        mean, sd = known.predict([figures for _, figures in drawn])
        best = int(np.argmax(mean + self.optimism * sd))
        self.record |= {"expected": sign * float(mean[best]), "sd": float(sd[best])}
        return drawn[best][0]

    def _known(self, complete: Sequence[FrozenTrial], networks: Networks, sign: int) -> Known:
        return Known(
            [figures(networks(FixedTrial(trial.params))[0]) for trial in complete],
            sign * np.array([trial.user_attrs.get("seen", trial.value) for trial in complete]),
            np.array([trial.user_attrs.get("weight", 1.0) for trial in complete]),
        )

    def _drawn(
        self, study: Study, trial: FrozenTrial, complete: Sequence[FrozenTrial], networks: Networks
    ) -> list[tuple[FrozenTrial, Figures]]:
        """Return draws that are new and may be trained, each a trial with its network's figures."""
        seed = int(self._rng(trial, "candidates").integers(2**32))
        mixture = Mixture(**self.shares, step=self.step, startup=1, seed=seed)
        with quiet():
            pool = optuna.create_study(direction=study.direction, sampler=mixture)
        pool.add_trials(complete)
        found = []
        for _ in range(self.candidates):
            draw = pool.ask()
            spec, may = networks(draw)
            if may:
                found.append((pool.get_trials(deepcopy=False)[draw.number], figures(spec)))
        return found
