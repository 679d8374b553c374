"""The simulation of large studies against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scaling import PAGE, RECORD, Service, page, simulate
from search.record.files import read_json


def test_a_driver_that_takes_no_time_keeps_all_workers_busy() -> None:
    outcome = simulate(Service(0.0, 0.0), np.full(10, 60.0), workers=10, trials=100)
    assert outcome.hours == pytest.approx(10 * 60 / 3600)
    assert outcome.used == pytest.approx(1.0)
    assert outcome.saturated_at is None


def test_a_slow_driver_sets_the_pace() -> None:
    # 1 s a trial for one driver: 100 workers of 10 s each can be served at a tenth of what they could do
    outcome = simulate(Service(1.0, 0.0), np.full(10, 10.0), workers=100, trials=2_000)
    assert outcome.hours == pytest.approx((2_000 + 10) / 3600)
    assert outcome.used == pytest.approx(0.1, rel=0.01)
    assert outcome.saturated_at is not None


def test_a_driver_that_slows_down_saturates_where_its_time_reaches_the_workers_pace() -> None:
    # 10 workers of 10 s want a trial a second; 1 ms more for each trial reaches that at trial 1,000, where serving alone
    # takes the tenth of a trial that counts as waiting, and the queue begins a little before
    outcome = simulate(Service(0.0, 0.001), np.full(10, 10.0), workers=10, trials=4_000)
    assert outcome.saturated_at is not None
    assert 900 <= outcome.saturated_at <= 1_000


def test_the_page_is_what_the_records_say() -> None:
    assert PAGE.read_text() == page(read_json(RECORD))
