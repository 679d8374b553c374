from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reports
from reports.stats import spearman
from reports.tables.candidates import standings
from reports.tables.proxies import proxies
from tests.support import RESULTS


def test_a_race_holds_figures_against_what_is_expected_not_what_was_seen_once(race_run: Path) -> None:
    run = reports.load(race_run)
    table = proxies(run)
    assert table
    gains = standings(run)
    gains = gains[gains["candidate"].str.isdigit()]
    row = table.frame.set_index("figure").loc["params"]
    rho, interval = spearman(gains["params"].astype(float).tolist(), gains["expected"].tolist())
    assert (row["rho"], (row["low"], row["high"])) == (pytest.approx(rho), pytest.approx(interval))
    assert row["n"] == len(gains) == len(run.ranked)
    assert "the expected gain (points)" in table.caption


def test_trainings_of_the_pilot_have_no_proxies_and_n_says_so(race_run: Path) -> None:
    run = reports.load(race_run)
    values = np.arange(len(run.trials), dtype=float)
    values[1::2] = np.nan
    found = replace(run, trials=run.trials.assign(**{"proxies.naswot": values}))
    table = proxies(found)
    assert table
    row = table.frame.set_index("figure").loc["naswot"]
    assert row["n"] == found.ranked["proxies.naswot"].notna().sum() < len(found.ranked)


def test_without_proxies_and_race_there_is_no_table() -> None:
    assert proxies(reports.load(RESULTS / "splits_cifar10")) is None
