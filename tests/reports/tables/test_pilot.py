from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import reports
from reports.page.summary import summarised
from reports.runs.run import Run
from reports.tables.pilot import forecast, nearest_plan, pilot, pilot_plans, predicted
from search.record.files import read_json
from search.statistics.score import SCORES
from tests.support import RESULTS


@pytest.fixture
def run(race_run: Path) -> Run:
    return reports.load(race_run)


def test_what_the_pilot_measured_with_intervals(run: Run) -> None:
    table = pilot(run)
    assert table
    frame, at = table.frame.set_index(["figure", "epochs"]), run.forecast["measured"]
    for epochs in (4, 1):
        row = frame.loc[("noise of one training (points)", epochs)]
        assert row["estimate"] == at[str(epochs)]["within"]
        assert [row["low"], row["high"]] == at[str(epochs)]["intervals"]["within"]
    reliable = [figure for figure, _ in frame.index if figure.startswith("reliability of")]
    assert len(reliable) == len(SCORES)
    row = frame.loc[("reliability of held-out loss and training accuracy together", 4)]
    assert row["estimate"] == pytest.approx(at["4"]["reliability"])
    moved = frame.loc[("transfer to 4 epochs", 1)]
    assert 0 <= moved["low"] < moved["estimate"] < moved["high"] <= 1


def test_the_trainings_of_the_pilot_are_counted_as_planned(run: Run) -> None:
    assert run.pilot
    plan = run.pilot.plan
    assert len(run.pilot.runs) == sum(len(network["seeds"]) for network in plan["networks"].values())
    assert set(run.pilot.runs["state"]) == {"complete"}
    table = pilot(run)
    assert table
    assert "n = 2 to 3 trainings a network" in " ".join(table.notes)
    assert all((run.folder / folder / "result.json").exists() for folder in table.sources[0])


def test_plans_and_the_verdict_first(run: Run) -> None:
    table = pilot_plans(run)
    assert table
    assert table.lead == run.forecast["text"]
    assert table.frame["gain"].tolist() == [plan["expected_gain"] for plan in run.forecast["plans"]]
    text = table.markdown()
    assert text.index(run.forecast["text"]) < text.index("| epochs") < text.index("Simulated races")
    assert run.forecast["text"] in table.latex().replace("\\%", "%")


def test_predicted_next_to_what_came(run: Run) -> None:
    table, plan = predicted(run), nearest_plan(run)
    assert table
    assert run.standing
    assert (plan["pause"], plan["epochs"]) == (1, 4)
    frame = table.frame.set_index("figure")
    stated = frame.loc["gain of the best, as a race states it (points)"]
    assert stated["predicted"] == plan["expected_said"]
    assert stated["came"] == run.standing.effects.gain.max()
    assert frame.loc["noise of one training (points)", "came"] == run.standing.effects.variances.within


def test_a_pilot_alone_is_reported_before_there_is_a_race(run: Run) -> None:
    alone = replace(run, trials=run.trials.iloc[:0], epochs=run.epochs.iloc[:0])
    assert forecast(alone) in summarised(alone).result
    assert pilot_plans(alone)
    assert predicted(alone) is None
    assert alone.standing
    assert set(alone.standing.effects.trainings) == {2}
    assert alone.ranked.empty


def test_without_a_pilot_there_is_nothing(race_run: Path) -> None:
    run = reports.load(RESULTS / "splits_cifar10")
    assert (pilot(run), pilot_plans(run), predicted(run), forecast(run)) == (None, None, None, "")
    assert read_json(race_run / "pilot" / "pilot.json")["text"]
