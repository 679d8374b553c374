"""The measurement of the surrogate: recorded networks are read back, and the committed figures follow from them."""

from __future__ import annotations

import json

import numpy as np
import optuna
import pytest
from sklearn.linear_model import BayesianRidge

import arch
from benchmarks.surrogate import RESULTS, SAMPLERS, SCORES, of_study, ranks, study_of, summary
from search.sampling.figures import figures
from search.sampling.prediction import Known

optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_the_committed_correlation_follows_from_the_record() -> None:
    specs, found = of_study("iso_families_tpe")
    committed = json.loads((RESULTS / "search" / "surrogate.json").read_text())["records"]["iso_families_tpe"]
    known = [figures(spec) for spec in specs]
    assert len(specs) == committed["networks"] == 40
    for score in SCORES:
        assert ranks(BayesianRidge(), known, found[score]) == pytest.approx(committed[score]["ridge"], abs=0.02)
    sampled = Known(known, found[SCORES[0]], np.ones(len(known))).rank_correlation()
    assert sampled == pytest.approx(committed[SCORES[0]]["ridge"], abs=0.02)  # what the sampler itself computes


def test_a_simulated_study_sees_the_truth_with_noise() -> None:
    true, seen, notes = study_of("mixture", 3, lambda spec: arch.cost(spec).activations / 1e4, 4)
    assert (len(true), len(set(true))) == (4, 4)
    noise = np.subtract(seen, true)
    assert 0 < np.abs(noise).max() < 5
    assert notes == [None] * 4


def test_the_summary_pairs_by_seed() -> None:
    seeds = [{name: {"chosen": c + seed, "proposals": c} for c, name in enumerate(SAMPLERS)} for seed in range(4)]
    found = summary(seeds)
    assert found["means"]["mixture.chosen"] == 2.5
    assert found["chosen, surrogate minus random"]["mean"] == 2.0
    assert found["chosen, surrogate minus random"]["standard error"] == 0.0
    assert found["proposals, surrogate minus mixture"]["better"] == "4 of 4"
