from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import reports
from reports.figures.gains import gains
from reports.figures.run_figures import figures_of
from reports.figures.style import COLUMN, TEXT
from reports.runs.frames import curves
from reports.tables.run_tables import tables_of


@pytest.mark.parametrize("width", [TEXT, COLUMN])
def test_seen_and_expected_stand_on_one_line_and_the_base_at_0(width: float) -> None:
    frame = pd.DataFrame({"candidate": ["7", "3"], "n": [2, 1], "seen": [1.0, 3.0], "expected": [0.6, 0.5]})
    frame = frame.assign(low=frame["expected"] - 1, high=frame["expected"] + 1)
    (axes,) = gains(frame, width).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["seen"].get_xdata()) == [1.0, 3.0]
    assert list(lines["base network"].get_xdata()) == [0, 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["7 (n = 2)", "3 (n = 1)"]
    expected = next(container for container in axes.containers if container.get_label() == "expected")
    assert list(expected.lines[0].get_xdata()) == [0.6, 0.5]
    segments = [segment.tolist() for segment in expected.lines[2][0].get_segments()]
    assert segments == [[[-0.4, 1], [1.6, 1]], [[-0.5, 0], [1.5, 0]]]


def test_a_race_has_the_figure_and_others_have_not(race_run: Path) -> None:
    run = reports.load(race_run)
    assert "gains" in [name for name, _, _ in figures_of(run, tables_of(run))]
    plain = replace(run, trials=run.trials[run.trials["replicate_of"].isna()], pilot=None, forecast={})
    plain = replace(plain, config=run.config | {"race": None}, epochs=run.epochs.iloc[:0])
    assert "gains" not in [name for name, _, _ in figures_of(plain, tables_of(plain))]


def test_all_seeds_of_a_network_are_one_series(race_run: Path) -> None:
    run = reports.load(race_run)
    found = curves(run)
    best = run.ranked.iloc[0]
    trained = run.trials[run.trials["state"].eq("complete") & run.trials["duplicate_of"].isna()]
    for series, key in (("base network", run.trials["key"].iloc[0]), (f"best (trial {best['trial']})", best["key"])):
        assert found.loc[found["series"] == series, "training"].nunique() == trained["key"].eq(key).sum()
