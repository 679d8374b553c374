from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import reports
from reports.page.report import report
from reports.page.summary import summarised
from reports.runs.load import export
from reports.tables.candidates import NO_REPEATS, answer, candidates, evidence, leaders, standings
from reports.tables.overview import best_and_base
from reports.tables.run_tables import tables_of
from search.record.files import read_json
from search.record.layout import BASE, objectives_of, trial_folder
from search.record.layout import results as results_of
from search.record.status import status
from search.record.work import work_of
from search.statistics.standing import standing
from search.study.config import load_study
from search.study.duplicates import ranked
from search.study.prepare import prepared
from search.study.run import run_study
from search.study.warm_start import starts
from tests.support import RESULTS, study
from tests.support.races import race


def test_every_place_has_the_same_order(race_run: Path) -> None:
    run, stand = reports.load(race_run), standing(race_run)
    assert stand
    numbers = ranked(race_run, objectives_of(race_run))
    assert numbers == stand.ranked == [int(trial) for trial in run.ranked["trial"]]
    table = candidates(run)
    assert table
    shown = [name for name in table.frame["candidate"] if name.isdigit()]
    assert list(map(int, shown)) == numbers
    assert table.frame["expected"].is_monotonic_decreasing
    assert run.specs["best"].id == read_json(trial_folder(race_run, numbers[0]) / "result.json")["spec_id"]
    best = best_and_base(run)
    assert best
    assert best.frame["best"].iloc[-1] == f"trial {numbers[0]}"


def test_a_candidate_counts_once_whatever_repeats_or_continues_it(race_run: Path) -> None:
    run, found = reports.load(race_run), list(results_of(race_run))
    assert {key for result in found for key in result} > {"replicate_of", "continues", "duplicate_of"}
    keys = run.ranked["key"].tolist()
    assert len(set(keys)) == len(keys)
    assert read_json(race_run / BASE / "result.json")["key"] not in keys
    assert set(run.ranked["state"]) == {"complete"}
    table = candidates(run)
    assert table
    own = {result["key"] for result in found if result["state"] == "complete"} - {run.trials["key"].iloc[0]}
    assert {name for name in table.frame["candidate"] if name.isdigit()} == {
        str(min(r["trial"] for r in found if r["key"] == key and r["state"] == "complete")) for key in own
    }
    for row, folders in zip(table.frame.itertuples(), table.sources, strict=True):
        assert len(folders) == row.n
        assert all((race_run / folder / "result.json").exists() for folder in folders)


def test_what_was_seen_is_shrunk_and_the_note_says_by_what(race_run: Path) -> None:
    run = reports.load(race_run)
    table, stand = candidates(run), run.standing
    assert table
    assert stand
    frame = table.frame
    assert (frame["low"] < frame["expected"]).all()
    assert (frame["expected"] < frame["high"]).all()
    assert frame["chance"].between(0, 100).all()
    spread = (frame["expected"].max() - frame["expected"].min()) / (frame["seen"].max() - frame["seen"].min())
    assert spread < 1
    assert f"reliability of one score {stand.effects.variances.reliability:.2f}" in table.notes[0]
    assert "held-out loss and training accuracy together" in table.notes[0]
    assert "n = 1 to" in " ".join(table.notes)


def test_the_weights_that_stay_are_the_leaders(race_run: Path) -> None:
    kept = {int(path.parent.name) for path in race_run.glob("trials/*/weights.safetensors")}
    assert kept
    assert kept <= set(ranked(race_run, objectives_of(race_run))[:3])


def test_an_exported_race_stands_as_its_record(race_run: Path, tmp_path: Path) -> None:
    run = reports.load(race_run)
    export(run, tmp_path)
    again = reports.load(tmp_path)
    pd.testing.assert_frame_equal(standings(again), standings(run), check_dtype=False)
    assert again.ranked["trial"].tolist() == run.ranked["trial"].tolist()
    work = work_of(race_run)
    assert again.work.epochs == run.work.epochs == work.epochs
    assert again.work.seconds == pytest.approx(work.seconds)
    assert run.work.seconds == pytest.approx(work.seconds)
    assert [t.name for t in tables_of(again)] == [t.name for t in tables_of(run)]


def test_the_answer_comes_first(race_run: Path, tmp_path: Path) -> None:
    run = reports.load(race_run)
    leader = standings(run).iloc[0]
    said = summarised(run)
    assert said.result.startswith("Does anything beat the base? ")
    assert answer(run) in said.result
    assert f"{leader['chance']:.0f} %" in answer(run)
    assert f"{leader['expected']:+.2f} points (95 % from {leader['low']:+.2f} to {leader['high']:+.2f})" in answer(run)
    assert f"seen were {leader['seen']:+.2f}" in answer(run)
    assert said.question.count("A budget of 200 epochs, trainings of 4 epochs each") == 1
    assert "Before the search, its pilot said: 3 candidates say too little" in said.certainty
    page = report(Path(shutil.copytree(race_run, tmp_path / "micro"))).read_text()
    places = [
        page.index(f'id="table-{name}"') for name in ("candidates", "pilot", "pilot_plans", "predicted", "trials")
    ]
    assert places == sorted(places)
    assert 'id="figure-gains"' in page


def test_few_columns_for_a_terminal(race_run: Path) -> None:
    table = leaders(reports.load(race_run))
    assert table
    assert len(table.frame) == 5
    widths = [max(map(len, [column, *table.printed()[column]])) for column in table.printed()]
    assert sum(widths) + 2 * len(widths) <= 80


def test_a_study_that_repeats_nothing_keeps_its_order(tmp_path: Path, instant: None) -> None:
    run_study(study(trials=5), tmp_path)
    run = reports.load(tmp_path)
    assert run.standing is None
    assert candidates(run) is None
    assert leaders(run) is None
    assert answer(run) == ""
    by_score = sorted(results_of(tmp_path), key=lambda result: -result["val_accuracy"])
    assert run.ranked["trial"].tolist() == [str(result["trial"]) for result in by_score]
    assert ranked(tmp_path, objectives_of(tmp_path)) == [result["trial"] for result in by_score]
    assert reports.load(RESULTS / "splits_cifar10").standing is None


def test_before_anything_is_repeated_a_race_says_so(tmp_path: Path, instant: None) -> None:
    run_study(study(trials=5, race={"base_seeds": 2, "replicates": 0.0, "pilot": 0}), tmp_path)
    run = reports.load(tmp_path)
    once = replace(run, trials=run.trials[run.trials["replicate_of"].isna()])
    table = candidates(once)
    assert table
    assert set(table.frame["evidence"]) == {NO_REPEATS}
    assert "noise and merit cannot be told apart" in " ".join(table.notes)
    assert answer(once).startswith("Not known yet: trial ")
    two = replace(once, trials=once.trials.iloc[:2])
    table = candidates(two)
    assert table
    assert table.frame[["low", "high", "chance"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("chance", "words"),
    [(0.99, "better"), (0.9, "likely better"), (0.5, "open"), (0.15, "likely worse"), (0.01, "worse")],
)
def test_evidence_in_words(chance: float, words: str) -> None:
    assert evidence(chance) == words


def test_status_of_a_race(race_run: Path) -> None:
    found, trials = status(race_run), list(results_of(race_run))
    assert found["of"] is None
    assert found["work"] == f"{work_of(race_run).epochs} of 200 epochs"
    own = [result for result in trials if "duplicate_of" not in result]
    assert found["repeated"] == sum("replicate_of" in result for result in own) > 0
    assert found["paused"] == len(list(race_run.glob("trials/*/checkpoint.pt"))) > 0
    assert json.dumps(found)


def test_a_warm_start_takes_the_largest_expected_gain(race_run: Path) -> None:
    config = load_study(race())
    base, recipe, _ = prepared(config)
    found = starts([str(race_run)], config.space, base, recipe)
    best = ranked(race_run, objectives_of(race_run))[0]
    assert found[0].name == f"{race_run} trial {best}"
    assert math.isfinite(standings(reports.load(race_run))["expected"].iloc[0])
