"""Who proposes: what the samplers hand on from trial to trial changes no proposal, and saves the walk."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

import arch
import search
from search.space.candidates import decode
from search.space.choosers import Sampled
from search.study.config import StudyConfig, load_study
from search.study.proposer import Proposer
from tests.support import MICRO, study

optuna.logging.set_verbosity(optuna.logging.WARNING)
BASE, RECIPE = arch.load(MICRO), search.load_recipe("default")
WEIGHT = {"aux_weight": {"low": 0.0, "high": 0.6}}
ALWAYS = WEIGHT | {"splits": {"round": 4, "minimum": 4}}
SOMETIMES = WEIGHT | {
    "family": {"per": "row", "choices": ["inception_v1", "inception_v3"]},
    "kernel": {"per": "row", "choices": [3, 5]},
}
SAMPLERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "random"}, SOMETIMES),
    ({"name": "tpe", "n_startup_trials": 3}, SOMETIMES),
    ({"name": "tpe", "n_startup_trials": 3, "multivariate": True, "group": True}, SOMETIMES),
    ({"name": "nsga2", "population_size": 3}, SOMETIMES),
    ({"name": "nsga3", "population_size": 3}, SOMETIMES),
    ({"name": "mixture", "startup": 3}, SOMETIMES),
    ({"name": "surrogate", "startup": 5, "worth": 0.0, "candidates": 4}, SOMETIMES),
    ({"name": "cmaes", "popsize": 4}, ALWAYS),
    ({"name": "gp", "n_startup_trials": 3}, ALWAYS),
]


def configured(sampler: dict[str, Any], space: dict[str, Any]) -> StudyConfig:
    return load_study(study(sampler=sampler, space=space))


def asked(proposer: Proposer) -> Trial:
    """The next trial, with all its parameters drawn."""
    trial = proposer.ask(())
    decode(proposer.config.space, BASE, RECIPE, Sampled(trial))
    return trial


def first_of_all(optuna_study: optuna.Study, others: int) -> None:
    """Let a trial without a kernel in row 3a wait, and then others with one."""
    for family in ("inception_v1", *["inception_v3"] * others):
        optuna_study.enqueue_trial({"family.3a": family, "family.4a": "inception_v3"})


def proposals(config: StudyConfig, count: int, forget: bool) -> list[tuple[Any, Any]]:
    """What every trial was proposed from and as, where some are pruned or fail, and some end only after the next ones.

    Parameters
    ----------
    forget : whether each trial is asked for by a proposer that knows nothing of those before, as after a kill.
    """
    optuna_study = optuna.create_study(direction="maximize")
    first_of_all(optuna_study, others=count // 2 - 1)
    proposer, found, running = Proposer(config, BASE, RECIPE, optuna_study), [], []
    for number in range(count):
        proposer = Proposer(config, BASE, RECIPE, optuna_study) if forget else proposer
        trial = asked(proposer)
        found.append((trial.relative_search_space, trial.params))
        if number % 5 == 1:
            optuna_study.tell(trial, state=TrialState.PRUNED)
        elif number % 5 == 3:
            optuna_study.tell(trial, state=TrialState.FAIL)
        else:
            running.append(trial)
        if number % 4 == 3:  # the latest end first; the first of all in the middle of the study
            while len(running) > (1 if number < count // 2 - 1 else 0):
                optuna_study.tell(done := running.pop(), done.number % 7 / 7)
    assert {t.state for t in optuna_study.trials} == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    return found


@pytest.mark.parametrize(
    ("sampler", "space"),
    [pytest.param(*s, marks=pytest.mark.slow if s[0]["name"] == "gp" else (), id=s[0]["name"]) for s in SAMPLERS],
)
def test_what_is_handed_on_changes_no_proposal(sampler: dict[str, Any], space: dict[str, Any]) -> None:
    config = configured(sampler, space)
    kept = proposals(config, 24, forget=False)
    assert kept == proposals(config, 24, forget=True)
    assert len({str(params) for _, params in kept}) > 12


def test_parameters_that_a_late_trial_lacks_are_no_longer_drawn_together() -> None:
    """What is handed on must shrink: of trials that all have a kernel, one that has none comes to its end last."""
    config = configured({"name": "tpe", "n_startup_trials": 3}, SOMETIMES)
    optuna_study = optuna.create_study()
    first_of_all(optuna_study, others=4)
    proposer = Proposer(config, BASE, RECIPE, optuna_study)
    without, *others = [asked(proposer) for _ in range(5)]
    for trial in others:
        optuna_study.tell(trial, 0.5)
    before = asked(proposer)
    optuna_study.tell(without, 0.5)
    after = asked(proposer)
    assert set(before.relative_search_space or {}) - set(after.relative_search_space or {}) == {"kernel.3a"}


def walked(monkeypatch: pytest.MonkeyPatch, proposer: Proposer) -> int:
    """How many trials a sampler looks at before it knows which parameters it can draw together, for one more trial."""
    looked: set[int] = set()

    def distributions(self: FrozenTrial) -> dict[str, BaseDistribution]:
        looked.add(self.number)
        return self._distributions

    trial = proposer.ask(())
    frozen = proposer.study.get_trials(deepcopy=False)[trial.number]
    with monkeypatch.context() as patch:
        patch.setattr(FrozenTrial, "distributions", property(distributions))
        proposer.study.sampler.infer_relative_search_space(proposer.study, frozen)
    decode(proposer.config.space, BASE, RECIPE, Sampled(trial))
    proposer.study.tell(trial, 0.5)
    return len(looked)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3", "cmaes", "gp"])
def test_no_trial_is_walked_through_twice(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the time of a proposal would grow with the study, beyond what the sampler itself needs."""
    start = {"cmaes": "n_startup_trials", "gp": "n_startup_trials", "tpe": "n_startup_trials"}
    config = configured({"name": sampler, start.get(sampler, "population_size"): 100}, ALWAYS)
    optuna_study = optuna.create_study()
    first = Proposer(config, BASE, RECIPE, optuna_study)
    for _ in range(20):
        optuna_study.tell(asked(first), 0.5)
    proposer = Proposer(config, BASE, RECIPE, optuna_study)
    assert walked(monkeypatch, proposer) == 20
    assert [walked(monkeypatch, proposer) for _ in range(3)] == [1, 1, 1]
