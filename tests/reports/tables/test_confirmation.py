from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import reports
from reports.figures.run_figures import figures_of
from reports.page.report import report
from reports.page.summary import summarised
from reports.runs.run import Comparison
from reports.tables.confirmation import confirmation_prediction, confirmation_tables, verdicts
from reports.tables.paired import scored
from reports.tables.run_tables import tables_of
from reports.tables.trace import trace
from search.comparison.confirm import confirm_study
from search.study.run import run_study
from tests.support import study
from tests.support.confirmations import BASE, confirmation, run_with, shifted


def test_scores_shrinkage_and_what_selection_adds() -> None:
    """By hand: base 60.00 searched, 70.00 confirmed; trial 66.00 searched, 71.00 confirmed: -10, -5, 5 more."""
    scores, differences, runs = confirmation_tables(run_with(confirmation(base=BASE, trial_1=[v + 0.01 for v in BASE])))
    base, trial = scores.frame.to_dict("records")
    assert base["mean"] == pytest.approx(70.0)
    assert base["shrinkage"] == pytest.approx(-10.0)
    assert trial["shrinkage"] == pytest.approx(-5.0)
    assert trial["beyond"] == pytest.approx(5.0)
    assert scores.printed()["beyond the base's"].tolist() == ["-", "+5.00"]
    assert base["sd"] == pytest.approx(math.sqrt(2))  # squares 0 1 1 0 4 4 over 5
    text = " ".join(scores.notes)
    assert "held-out accuracy after 1 epochs on 900 images" in text
    assert "test accuracy after 3 epochs on all 1,000 training images" in text
    assert "seeds 11, 12, 13, 14, 15, 16" in text
    assert differences.frame["difference"].tolist() == [pytest.approx(1.0)]
    assert len(runs.frame) == 12


def expecting(found: Comparison, epochs: int = 3, **changes: object) -> Comparison:
    """The confirmation of a race that had expected +1.5 points, and trained for 3 epochs as the confirmation does."""
    recipe = {"recipe": found.plan["recipe"]}
    said = {"expected": 1.5, "interval": [0.5, 2.5], "chance": 0.98, "trainings": 4, "epochs": epochs} | changes
    networks = {name: network | recipe for name, network in found.plan["networks"].items()}
    for name in set(networks) - {"base"}:
        networks[name] = networks[name] | {"searched": networks[name]["searched"] | said}
    return replace(found, plan=found.plan | {"networks": networks})


def test_how_a_prediction_came_out() -> None:
    found = expecting(confirmation(base=BASE, trial_1=shifted(0.02), trial_2=shifted(-0.02)))
    table = confirmation_prediction(run_with(found))
    assert table
    one, two = table.frame.to_dict("records")
    assert (one["expected"], one["low"], one["high"], one["trainings"]) == (1.5, 0.5, 2.5, 4)
    assert one["confirmed"] == pytest.approx(2.02, abs=0.05)
    assert one["confirmed_low"] < one["confirmed"] < one["confirmed_high"]
    assert (one["agree"], two["agree"]) == ("yes", "no")
    assert "other" not in table.notes[0]
    assert table.name in [made.name for made in confirmation_tables(run_with(found))]
    assert confirmation_prediction(run_with(confirmation(base=BASE, trial_1=BASE))) is None


def test_only_like_lengths_are_compared() -> None:
    found = expecting(confirmation(base=BASE, trial_1=shifted(0.02)), epochs=1)
    table = confirmation_prediction(run_with(found))
    assert table
    assert table.frame["agree"].tolist() == ["other length"]
    assert "trained for 3 epochs and not 1" in table.notes[0]
    unknown = expecting(confirmation(base=BASE, trial_1=shifted(0.02)), interval=[None, None])
    table = confirmation_prediction(run_with(unknown))
    assert table
    assert table.printed()["agree"].tolist() == ["-"]


def test_verdicts_in_words() -> None:
    wild = [0.75, 0.66, 0.74, 0.65, 0.70, 0.71]
    found = confirmation(base=BASE, trial_1=shifted(0.02), trial_2=shifted(-0.02), trial_3=wild)
    table = confirmation_tables(run_with(found))[1]
    assert table.frame["words"].tolist() == ["better", "worse", "inconclusive"]
    assert (table.frame["holm"] >= table.frame["p"]).all()
    assert table.frame["floor"].tolist() == [2 / 64] * 3
    assert table.frame["free"].tolist()[:2] == [2 / 64] * 2
    said = verdicts(run_with(found))
    assert "trial-1 +2.00 (better)" in said or "trial-1 +2.02 (better)" in said
    assert "(inconclusive)" in said
    assert said == summarised(run_with(found)).certainty


def test_one_candidate_that_is_better_alone_may_not_be_among_many() -> None:
    """A p of about 0.02 stands alone, and not among four."""
    edge = [value + d for value, d in zip(BASE, [0.02, 0.01, 0.005, 0.03, 0.012, -0.001], strict=True)]
    alone = scored(confirmation(base=BASE, trial_1=edge)).compared["trial-1"]
    assert 0.0125 < alone.p < 0.05
    assert alone.verdict == "better"
    others = {f"trial_{k}": shifted(0.0) for k in (2, 3, 4)}
    among = scored(confirmation(base=BASE, trial_1=edge, **others)).compared["trial-1"]
    assert (among.p, among.verdict) == (alone.p, "inconclusive")


def test_missing_and_failed_seeds_are_named_and_never_averaged_away() -> None:
    broken: list[float | str] = [*shifted(0.02)[:4], "diverged: loss is nan", ""]
    found = confirmation(base=BASE, trial_1=broken, trial_2=shifted(0.02))
    scores, differences, runs = confirmation_tables(run_with(found))
    assert scores.frame["n"].tolist() == [6, 4, 6]
    assert differences.frame["pairs"].tolist() == [4, 6]
    assert differences.frame["words"].tolist() == ["no verdict: 2 of 6 pairs missing", "better"]
    for table in (scores, differences):
        assert any("trial-1 15 (failed: diverged: loss is nan); trial-1 16 (not finished)" in n for n in table.notes)
    assert sorted(runs.frame["state"].unique()) == ["complete", "failed", "missing"]
    no_base = confirmation_tables(run_with(confirmation(base=[*BASE[:5], ""], trial_1=shifted(0.02))))
    assert no_base[1].frame["words"].tolist() == ["no verdict: 1 of 6 pairs missing"]


def test_fewer_seeds_give_no_verdict_and_say_so() -> None:
    table = confirmation_tables(run_with(confirmation(base=BASE[:5], trial_1=shifted(0.02)[:5])))[1]
    assert table.frame["words"].tolist() == ["no verdict: 5 of 6 seeds"]
    assert table.frame["p"].iloc[0] < 0.05  # it would have been one
    assert any("5 seed(s) give no verdict: at least 6 are needed." in note for note in table.notes)


def test_a_plan_that_grew_after_a_look_is_told() -> None:
    step = {"finished": 6, "from": {"seeds": 3, "networks": 2}, "to": {"seeds": 6, "networks": 2}}
    looked = confirmation_tables(run_with(confirmation([step], base=BASE, trial_1=shifted(0.02))))[1]
    assert any("from 3 seeds and 2 networks to 6 and 2 once 6 trainings were finished" in n for n in looked.notes)
    unseen = confirmation_tables(run_with(confirmation([step | {"finished": 0}], base=BASE, trial_1=shifted(0.02))))[1]
    assert not any("grew" in note for note in unseen.notes)


def test_nothing_trained_yet_and_no_confirmation_at_all() -> None:
    run = run_with(confirmation(base=[""] * 6, trial_1=[""] * 6))
    assert len(tables_of(run)) == len(tables_of(replace(run, confirmation=None))) + 3
    assert next(name for name, _, _ in figures_of(run, tables_of(run))) == "confirmation"
    assert confirmation_tables(replace(run, confirmation=None)) == []
    assert verdicts(replace(run, confirmation=None)) == ""


def test_in_the_page_and_rebuilt_from_what_it_exports(tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = {"base": "default", "epochs": 1, "batch": 256, "precision": "fp32"}
    run_study(study(recipe=recipe, trials=2), run)
    confirm_study(run, top=1, seeds=2)
    (next((run / "confirm" / "base").iterdir()) / "result.json").unlink()
    every_cell_answers_what_exists(run)
    page = report(run, tmp_path / "page").read_text()
    for text in (
        "Confirmed on the test set",
        "Differences to the base",
        "no verdict: 1 of 2 pairs missing",
        "inceptory confirm",
    ):
        assert text in page
    assert (tmp_path / "page" / "figures" / "confirmation.svg").exists()
    again = reports.load(tmp_path / "page")
    for table in confirmation_tables(again):
        assert table.csv() == (tmp_path / "page" / "tables" / f"{table.name}.csv").read_text()
        assert table.markdown() == (tmp_path / "page" / "tables" / f"{table.name}.md").read_text()


def every_cell_answers_what_exists(folder: Path) -> None:
    run = reports.load(folder)
    tables = tables_of(run)
    assert [table.name for table in tables][:4] == [
        "summary",
        *(f"confirmation{end}" for end in ("", "_differences", "_runs")),
    ]
    for table in tables:
        for row in range(len(table.frame)):
            for column in table.plain():
                first = table.printed().iloc[:, 0]
                named = first.iloc[row] if first.is_unique else str(row + 1)
                found = trace(tables, table.name, named, str(column))
                assert found.folders, (table.name, named, column)
                for source in found.folders:
                    assert (folder / source).exists(), (table.name, named, column, source)
    name = tables[1].frame["network"].iloc[1]
    seeds = [path.name for path in (folder / "confirm" / name).iterdir()]
    found = trace(tables, "confirmation", name, "test, mean (%)")
    assert sorted(found.folders) == sorted(f"confirm/{name}/{seed}" for seed in seeds)
    assert trace(tables, "confirmation", name, "MACs (M)").folders == (
        f"trials/{int(name.removeprefix('trial-')):05d}",
    )
    shrunk = trace(tables, "confirmation", name, "beyond the base's").folders
    assert {"base", *found.folders} < set(shrunk)


def test_bold_only_where_the_paired_test_supports_it() -> None:
    found = confirmation(
        base=BASE, trial_1=shifted(0.02), trial_2=[value + 0.03 for value in [0.75, 0.66, 0.74, 0.65, 0.7, 0.71]]
    )
    scores, differences, _ = confirmation_tables(run_with(found))
    assert scores.bold == {(1, "mean")}  # trial-2 has the larger mean, and no support
    assert scores.frame["mean"].idxmax() == 2
    assert differences.bold == {(0, "words")}
    assert any(note.startswith("Bold: what the paired test supports") for note in scores.notes)
    assert f"| **{scores.printed()['test, mean (%) ± sd (n)'].iloc[1]}**" in scores.markdown()
    worse = confirmation_tables(run_with(confirmation(base=BASE, trial_1=shifted(-0.02))))[0]
    assert worse.bold == {(0, "mean")}
    few = confirmation_tables(run_with(confirmation(base=BASE[:5], trial_1=shifted(0.02)[:5])))[0]
    assert not few.bold
    assert not any(note.startswith("Bold") for note in few.notes)
