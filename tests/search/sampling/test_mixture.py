"""The sampler that mixes: Optuna's own tests of samplers, and what each of its kinds draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from scipy.stats import beta, kstest

from search.sampling.mixture import Mixture

optuna.logging.set_verbosity(optuna.logging.WARNING)
UNIT = FloatDistribution(0.0, 1.0)
MUTATE = {"prior": 0.0, "mutate": 1.0, "wide": 0.0, "startup": 1}
WIDE = {"prior": 0.0, "mutate": 0.0, "wide": 1.0}


class TestMixture(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[{}, MUTATE, WIDE], ids=["all kinds", "mutate", "wide"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: Mixture(seed=0, **request.param)


def completed(value: float, params: dict[str, float], **more: CategoricalDistribution) -> FrozenTrial:
    distributions = {name: more.get(name, UNIT) for name in params}
    return create_trial(params=params, distributions=distributions, value=value)


def study_of(*trials: FrozenTrial, seed: int = 0, **options: float) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=Mixture(seed=seed, **options))
    study.add_trials(trials)
    return study


def drawn(study: optuna.Study, names: int = 6) -> dict[str, float]:
    trial = study.ask()
    return {name: trial.suggest_float(name, 0.0, 1.0) for name in map(str, range(names))}


LEADER = completed(1.0, {str(i): 0.5 for i in range(6)})


def test_a_mutation_draws_two_or_three_parameters_of_the_leader_again() -> None:
    study = study_of(LEADER, **MUTATE, step=0.05)
    found = [drawn(study) for _ in range(200)]
    changed = [[name for name, value in values.items() if value != 0.5] for values in found]
    assert {len(names) for names in changed} == {2, 3}
    assert {name for names in changed for name in names} == set(map(str, range(6)))
    steps = [values[name] - 0.5 for values, names in zip(found, changed, strict=True) for name in names]
    assert kstest(steps, "norm", args=(0, 0.05)).pvalue > 0.001


def test_steps_are_reflected_into_the_range() -> None:
    study = study_of(completed(1.0, {"0": 0.02, "1": 0.99}), **MUTATE, step=1.0)
    found = [value for _ in range(200) for value in drawn(study, names=2).values()]
    assert all(0 <= value <= 1 for value in found)
    assert sum(value in (0.0, 1.0) for value in found) == 0  # not cut off at the bounds


def test_a_choice_becomes_another_one() -> None:
    kinds = CategoricalDistribution(["a", "b", "c"])
    study = study_of(completed(1.0, {"x": "b", "y": "c"}, x=kinds, y=kinds), **MUTATE)  # type: ignore[dict-item]
    found = [study.ask({"x": kinds, "y": kinds}).params for _ in range(40)]
    assert {values["x"] for values in found} == {"a", "c"}
    assert {values["y"] for values in found} == {"a", "b"}


def test_the_best_leads_half_the_time_and_the_fifth_never() -> None:
    values = [0.3, 0.9, 0.1, 0.7, 0.5]
    leaders = [completed(value, {str(i): value for i in range(9)}) for value in values]
    study = study_of(*leaders, **MUTATE)
    seen = Counter(Counter(drawn(study, names=9).values()).most_common(1)[0][0] for _ in range(400))
    assert set(seen) == {0.9, 0.7, 0.5, 0.3}
    assert [seen[value] for value in (0.9, 0.7, 0.5, 0.3)] == pytest.approx([200, 100, 50, 50], abs=35)


def test_one_of_the_front_leads_where_there_are_several_objectives() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=Mixture(seed=0, **MUTATE))
    for place, values in enumerate([(1.0, 1.0), (0.0, 0.0), (0.0, 1.0)]):  # the last is behind both
        params = {str(i): (place + 1) / 4 for i in range(9)}
        study.add_trial(create_trial(params=params, distributions=dict.fromkeys(params, UNIT), values=list(values)))
    seen = {Counter(drawn(study, names=9).values()).most_common(1)[0][0] for _ in range(40)}
    assert seen == {0.25, 0.5}


@pytest.mark.parametrize("startup", [0, 3])
def test_before_enough_trials_are_complete_the_prior_is_drawn(startup: int) -> None:
    study = study_of(*[LEADER] * max(0, startup - 1), **MUTATE | {"startup": startup})
    study.add_trial(create_trial(params={"0": 0.5}, distributions={"0": UNIT}, state=TrialState.PRUNED))
    found = [value for _ in range(60) for value in drawn(study).values()]
    assert kstest(found, "uniform").pvalue > 0.001
    study.add_trial(LEADER)
    assert sum(value == 0.5 for value in drawn(study).values()) >= 3


def test_a_wide_draw_lies_at_the_bounds() -> None:
    found = [value for study in [study_of(**WIDE)] for _ in range(60) for value in drawn(study).values()]
    assert kstest(found, beta(0.5, 0.5).cdf).pvalue > 0.001


def test_the_shares_are_kept() -> None:
    study = study_of(LEADER, prior=0.5, mutate=0.3, wide=0.2, startup=1)
    mutated = sum(0.5 in drawn(study).values() for _ in range(400))
    assert mutated == pytest.approx(120, abs=35)


def test_a_parameter_that_the_leader_lacks_is_drawn() -> None:
    study = study_of(completed(1.0, {"x": 0.5, "y": 0.5}), **MUTATE)
    trial = study.ask({"x": UNIT, "y": UNIT, "late": IntDistribution(1, 9)})
    assert 1 <= trial.params["late"] <= 9
    assert trial.relative_params.keys() == {"x", "y"}


def test_numbers_keep_their_steps_and_logarithms() -> None:
    kinds = {"whole": IntDistribution(1, 9, step=2), "log": FloatDistribution(1e-4, 1.0, log=True)}
    study = study_of(create_trial(params={"whole": 5, "log": 1e-2}, distributions=kinds, value=1.0), **MUTATE, step=0.1)
    found = [study.ask(dict(kinds)).params for _ in range(100)]
    assert {3, 5, 7} <= {values["whole"] for values in found} <= {1, 3, 5, 7, 9}
    below = sum(values["log"] < 1e-2 for values in found)
    assert 30 < below < 70  # a step of the logarithm: of the value itself, nearly all would be above


def test_a_draw_depends_on_the_seed_the_number_and_the_trials_alone() -> None:
    def asked(seed: int, order: str) -> list[dict[str, float]]:
        def values(trial: Trial) -> dict[str, float]:
            return {name: trial.suggest_float(name, 0.0, 1.0) for name in order}

        study = study_of(LEADER, seed=seed)
        found = []
        for _ in range(12):
            study.sampler = Mixture(seed=seed, startup=4)  # nothing is remembered from trial to trial
            trial = study.ask()
            found.append(values(trial))
            study.tell(trial, 0.5)
        return found

    assert asked(1, "012345") == asked(1, "543210")
    assert asked(1, "012345") != asked(2, "012345")


@pytest.mark.parametrize(
    "options", [{"prior": 0.5}, {"prior": -0.1, "mutate": 1.0}, {"wide": float("nan")}, {"step": 0.0}, {"step": 2.0}]
)
def test_shares_that_are_none_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"is a part of|are shares with the sum 1"):
        Mixture(**options)
