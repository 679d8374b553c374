"""The sampler that predicts: Optuna's own tests of samplers, when it proposes, what, and what it records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import BaseTrial

import arch
import reports
from arch.registry import Reduced
from arch.specs.edit import Split, with_split
from reports.tables.surrogate import surrogate as table_of
from search.record.layout import results
from search.sampling.mixture import Mixture
from search.sampling.surrogate import Surrogate
from search.study.run import run_study
from tests.support import MICRO, study

optuna.logging.set_verbosity(optuna.logging.WARNING)
BASE = arch.load(MICRO)
LEARNT = {"worth": 0.3, "candidates": 32, "startup": 8}


class TestSurrogate(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: Surrogate(seed=0)


def networks(trial: BaseTrial) -> tuple[arch.Spec, bool]:
    """Two widths, one only where a choice says so; at most 60 channels."""
    b1x1 = 4 * int(trial.suggest_float("b1x1", 1, 10))
    b3x3 = 4 * int(trial.suggest_float("b3x3", 1, 10)) if trial.suggest_categorical("wide", ["a", "b"]) == "b" else 4
    return with_split(BASE, "3a", Split(b1x1, Reduced(4, b3x3), Reduced(4, 4), 4)), b1x1 + b3x3 <= 60


def value(spec: arch.Spec, sign: float) -> float:
    return sign * arch.cost(spec).activations / 1e3


def driven(sampler: Callable[[int], BaseSampler], number: int, score: Callable[[arch.Spec], float]) -> list[Any]:
    """Let a fresh sampler propose each trial; return the values, parameters and records."""
    minimise = score(BASE) < 0
    run = optuna.create_study(direction="minimize" if minimise else "maximize")
    found = []
    for index in range(number):
        run.sampler = sampler(index)
        trial = run.ask()
        spec, _ = networks(trial)
        run.tell(trial, score(spec))
        found.append((score(spec), trial.params, getattr(run.sampler, "record", None)))
    return found


def surrogate(**options: Any) -> Callable[[int], BaseSampler]:
    def fresh(number: int) -> BaseSampler:
        sampler = Surrogate(seed=number, **LEARNT | options)
        sampler.networks = networks
        return sampler

    return fresh


def mixture(number: int) -> BaseSampler:
    return Mixture(seed=number, startup=8)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_proposes_what_promises_most_and_may_be_trained(sign: float) -> None:
    found = driven(surrogate(), 14, lambda spec: value(spec, sign))
    for number, (reached, params, record) in enumerate(found):
        assert bool(record) is (number >= 8)
        if record:
            assert (record["networks"], record["proposes"]) == (number, True)
            assert record["rank_correlation"] > 0.9
            assert record["expected"] == pytest.approx(reached, abs=4 * record["sd"] + 0.05)
            assert 4 * int(params["b1x1"]) + 4 * int(params.get("b3x3", 1)) <= 60
    start, proposed = ([abs(reached) for reached, _, _ in part] for part in (found[:8], found[8:]))
    assert np.mean(proposed) > np.quantile(start, 0.8)
    drawn = [abs(reached) for reached, _, _ in driven(mixture, 14, lambda spec: value(spec, sign))[8:]]
    assert np.mean(proposed) > np.mean(drawn)
    assert any("b3x3" in params for _, params, _ in found[8:])  # a parameter that only some have


def test_below_its_worth_it_draws_as_mixture_does() -> None:
    def noise(spec: arch.Spec) -> float:
        return float(np.random.default_rng(arch.cost(spec).macs).normal())

    found = driven(surrogate(worth=0.95), 14, lambda spec: 9 + noise(spec))
    assert [params for _, params, _ in found] == [p for _, p, _ in driven(mixture, 14, lambda spec: 9 + noise(spec))]
    records = [record for _, _, record in found if record]
    assert len(records) == 6
    assert not any(record["proposes"] or "expected" in record for record in records)
    assert all(record["rank_correlation"] is None or record["rank_correlation"] < 0.95 for record in records)


def test_what_was_seen_and_its_weight_count_where_a_race_gives_them() -> None:
    run = optuna.create_study(direction="maximize")
    rng = np.random.default_rng(0)
    for _ in range(10):
        trial = run.ask()
        params = {"b1x1": float(rng.uniform(1, 6)), "wide": "a"}
        run.enqueue_trial(params)
        trial = run.ask()
        spec, _ = networks(trial)
        trial.set_user_attr("seen", value(spec, 1.0))
        trial.set_user_attr("weight", 0.5)
        run.tell(trial, float(rng.normal()))  # says nothing
    sampler = run.sampler = surrogate()(0)
    run.ask()
    assert sampler.record["rank_correlation"] > 0.9  # type: ignore[attr-defined]


def test_an_enqueued_trial_is_not_predicted() -> None:
    run = optuna.create_study(direction="maximize")
    for _ in range(9):
        networks(trial := run.ask())
        run.tell(trial, 1.0)
    sampler = run.sampler = surrogate()(0)
    run.enqueue_trial({"b1x1": 2.0, "wide": "a"})
    trial = run.ask()
    networks(trial)
    assert (trial.params, sampler.record) == ({"b1x1": 2.0, "wide": "a"}, {})  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [{"worth": 1.5}, {"candidates": 0}, {"optimism": -1.0}, {"optimism": float("nan")}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"worth is|candidates is|optimism counts"):
        Surrogate(**options)


RACE = {"race": {"base_seeds": 2, "replicates": 0.3, "pilot": 0}, "budget": {"epochs": 36}, "trials": 0}


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("changes", [{"trials": 10}, RACE], ids=["trials", "race"])
def test_a_study_records_and_reports_how_well_it_ranked(changes: dict[str, Any], tmp_path: Path) -> None:
    sampler = {"name": "surrogate", "startup": 6, "worth": -1.0, "candidates": 8}
    limit = arch.cost(BASE).macs
    run_study(study(sampler=sampler, max_macs=limit, **changes), tmp_path)
    found = [result for result in results(tmp_path) if "surrogate" in result]
    assert len(found) > 3
    for result in found:
        assert result["state"] == "complete" or not result["surrogate"]["proposes"]
        assert result["surrogate"].keys() >= {"rank_correlation", "networks", "proposes"}
    stored = optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}").get_trials()
    assert [stored[r["trial"]].user_attrs["surrogate"] for r in found] == [r["surrogate"] for r in found]
    table = table_of(reports.load(tmp_path))
    assert table
    assert table.frame["trial"].tolist() == [str(result["trial"]) for result in found]
    assert table.frame["networks"].tolist() == [result["surrogate"]["networks"] for result in found]
    assert "rank correlation" in table.markdown()
