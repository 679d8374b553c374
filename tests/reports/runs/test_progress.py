from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import reports
from reports.page.summary import summarised
from reports.runs.progress import progress


def test_a_budget_counts_its_work_and_ends_where_no_training_fits(race_run: Path) -> None:
    run = reports.load(race_run)
    done = progress(run)
    assert str(done) == f"{run.work.epochs} of 200 epochs"
    assert done.done < 200
    assert done.complete
    stopped = replace(run, attempts=[*run.attempts, {"ended": "interrupted"}])
    assert not progress(stopped).complete
    assert not progress(replace(run, attempts=run.attempts[:-1])).complete


def test_hours_are_counted_on_every_thread(race_run: Path) -> None:
    run = reports.load(race_run)
    engine = run.config["engine"] | {"threads": 2}
    config = run.config | {"budget": {"epochs": 0, "core_hours": 1.0}, "engine": engine}
    minutes = 2 * 0.1 * run.work.epochs / 60
    assert str(progress(replace(run, config=config))) == f"{round(minutes)} of 60 core-minutes"


def test_trials_next_to_a_budget_are_counted_first(race_run: Path) -> None:
    run = reports.load(race_run)
    both = replace(run, config=run.config | {"trials": 500})
    assert progress(both)[1:3] == (500, "trials")
    assert progress(both).complete


def test_a_hopeless_race_has_ended_and_the_page_says_so(race_run: Path) -> None:
    run = reports.load(race_run)
    hopeless = replace(run, attempts=[*run.attempts[:-1], {"ended": "hopeless"}])
    assert progress(hopeless).complete
    assert "ended early" in summarised(hopeless).certainty
    assert "ended early" not in summarised(run).certainty
