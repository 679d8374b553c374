from __future__ import annotations

import html.parser
from dataclasses import replace
from pathlib import Path

import pytest

import arch
import reports
from reports.figures.run_figures import figures_of
from reports.page.report import report
from reports.page.summary import summarised
from reports.runs.load import export
from reports.runs.splits import splits
from reports.stats import mean_std
from reports.tables.insight import importance
from reports.tables.overview import best_and_base, summary, trials
from reports.tables.paired import scored
from reports.tables.run_tables import tables_of
from reports.tables.table import percent
from search.engines.task import Task
from search.engines.task import run as run_task
from search.record.layout import BASE
from search.study.run import run_study
from tests.support import MICRO, RESULTS, study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "micro"
    space = {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}}
    base = arch.cost(arch.load(MICRO)).macs
    run_study(study(space=space, trials=5, max_macs=round(base * 1.1)), folder)
    return folder


@pytest.fixture(scope="module")
def reported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's report."""
    folder = tmp_path_factory.mktemp("reported")
    report(finished, folder)
    return folder


def test_frames_are_tidy(finished: Path) -> None:
    run = reports.load(finished)
    assert len(run.ranked) == 5
    assert run.trials["trial"].iloc[0] == "base"
    assert len(run.epochs) == 6 * 2
    best = run.ranked.iloc[0]
    assert best["val_accuracy"] == run.ranked["val_accuracy"].max()
    assert best["row.3a"] == splits(run.specs["best"])["3a"]
    assert 0 <= best["aux_weight.3a"] <= 0.6
    assert 0 <= best["searched.split.3a.b1x1"] <= 1
    assert run.specs["best"].id == best["spec_id"]


def test_tables_hold_what_the_records_hold(finished: Path) -> None:
    run = reports.load(finished)
    table = trials(run)
    assert len(table.frame) == 6
    row = table.frame[table.frame["trial"] == "base"].iloc[0]
    assert row["macs"] == pytest.approx(arch.cost(arch.load(MICRO)).macs / 1e6)
    assert table.printed().iloc[0]["held-out accuracy (%)"] == percent(run.trials["val_accuracy"].max())
    beside = best_and_base(run)
    assert beside is not None
    total = beside.frame.iloc[-1]
    assert total["best_macs"] == pytest.approx(arch.cost(run.specs["best"]).macs / 1e6)
    assert total["best_macs"] == pytest.approx(beside.frame["best_macs"].iloc[:-1].sum())
    shares = importance(run)
    assert shares is not None
    assert shares.frame["importance"].sum() == pytest.approx(1, abs=1e-6)
    over = int((run.trials["state"] == "infeasible").sum())
    assert dict(summary(run).frame.values)["by state"] == "5 complete" + (f", {over} infeasible" if over else "")
    assert any("n = 1" in note and "seed 0" in note for note in table.notes)
    assert any("torch" in note and "cores" in note for note in table.notes)


def test_the_report_is_one_offline_page_with_files_next_to_it(reported: Path) -> None:
    text = (reported / "index.html").read_text()
    assert "src=" not in text.replace("img-src", "")
    assert "<link" not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text

    class Tags(html.parser.HTMLParser):
        found: dict[str, int] = {}

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.found[tag] = self.found.get(tag, 0) + 1

    Tags().feed(text)
    assert Tags.found["svg"] == 10 + 2  # with the two networks
    assert Tags.found["table"] == 7 - 1  # the summary is no table there
    for name in ("summary", "trials", "best", "front", "distribution", "aux_effect", "importance"):
        for ending in ("csv", "md", "tex"):
            assert (reported / "tables" / f"{name}.{ending}").stat().st_size > 50
    pictures = ("learning_curves", "accuracy_against_macs", "search_progress", "hypervolume", "distribution")
    more = ("aux_effect", "importance", "accuracy_against_params", "composition", "cost_by_row")
    for name in (*pictures, *more):
        assert (reported / "figures" / f"{name}.svg").read_text().startswith("<?xml")
        assert (reported / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_tables_come_out_of_what_a_report_exports(finished: Path, reported: Path) -> None:
    again, whole = reports.load(reported), reports.load(finished)
    for table in tables_of(again):
        assert table.csv() == (reported / "tables" / f"{table.name}.csv").read_text()
        assert table.markdown() == (reported / "tables" / f"{table.name}.md").read_text()
    assert [name for name, _, _ in figures_of(again, tables_of(again))] == [
        name for name, _, _ in figures_of(whole, tables_of(whole))
    ]
    assert [table.sources for table in tables_of(again)] == [table.sources for table in tables_of(whole)]


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.glob("*/trials.csv")), ids=lambda path: path.name
)
def test_committed_results_rebuild_their_tables(folder: Path) -> None:
    """Each result in docs/results holds the frames that its tables are made of."""
    for file in ("trials.csv", "epochs.csv", "environment.json", "attempts.jsonl"):
        assert (folder / file).exists()
    tables = tables_of(reports.load(folder))
    assert len(tables) >= 2
    for table in tables:
        assert table.csv() == (folder / "tables" / f"{table.name}.csv").read_text()
        assert table.markdown() == (folder / "tables" / f"{table.name}.md").read_text()


def test_of_equal_trials_the_earliest_is_the_best() -> None:
    run = reports.load(RESULTS / "splits_cifar10")
    level = replace(run, trials=run.trials.assign(val_accuracy=0.5))
    numbers = [int(trial) for trial in level.ranked["trial"]]
    assert numbers == sorted(numbers)
    assert max(numbers) >= 10 > min(numbers)  # where text and numbers sort differently


def test_there_are_committed_results() -> None:
    assert {"splits_cifar10", "googlenet_bn_cifar32", "googlenet_cifar_small"} <= {p.name for p in RESULTS.iterdir()}


def test_the_figures_in_the_texts_are_those_of_the_records() -> None:
    """What docs/results/README.md says, against the records next to it."""
    results = (RESULTS / "README.md").read_text()
    for name in ("googlenet_cifar_small", "googlenet_bn_cifar32"):
        (row,) = reports.load(RESULTS / name).trials.to_dict("records")
        for text in (
            f"{row['macs']:,}",
            f"{row['params']:,}",
            f"{percent(row['val_accuracy'])} %",
            f"{percent(row['test_accuracy'])} %",
            f"| {row['images_per_second']:.0f} | {row['seconds'] / 60:.1f} min |",
        ):
            assert text in results
    run = reports.load(RESULTS / "splits_cifar10")
    assert run.base is not None
    for value in (run.ranked.iloc[0]["val_accuracy"], run.base["val_accuracy"]):
        assert f"{percent(value)} %" in results
    assert f"{run.trials['seconds'].sum() / 60:.1f} minutes of training" in results


@pytest.mark.parametrize("name", ["iso_splits_tpe", "ablation_families", "ablation_aux"])
def test_the_comparisons_in_the_texts_are_those_of_the_records(name: str) -> None:
    results, run = (RESULTS / "README.md").read_text(), reports.load(RESULTS / name)
    comparison = run.confirmation or run.ablation
    assert comparison is not None
    found = scored(comparison)
    for network in found.scores.index:
        mean, std = mean_std(found.scores.loc[network].tolist())
        lines = [line for line in results.splitlines() if f"| {mean:.2f} ± {std:.2f} % |" in line]
        beside = "" if network == BASE else "| {0.mean:+.2f} | {0.verdict} |".format(found.compared[network])
        assert any(beside in line for line in lines), network


def test_a_single_training_is_reported_too(tmp_path: Path) -> None:
    spec = arch.load(MICRO)
    recipe = {"epochs": 2, "batch": 128, "precision": "fp32"}
    list(run_task(Task(str(tmp_path), arch.to_mapping(spec), recipe, {"name": "digits"}, test=True)))
    text = report(tmp_path).read_text()
    assert "test accuracy, last epoch" in text
    assert "n = 1" in text
    assert (tmp_path / "test_openings.jsonl").exists()


def test_a_run_that_has_just_begun_and_no_run_at_all(finished: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("study.yaml", "base.yaml", "environment.json"):
        (begun / name).write_text((finished / name).read_text())
    assert "No trial" in summarised(reports.load(begun)).result
    assert report(begun).exists()
    with pytest.raises(arch.InputError, match="no run is here"):
        reports.load(tmp_path)


def test_names_are_escaped(finished: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    export(reports.load(finished), evil)
    text = (evil / "trials.csv").read_text().replace("digits", "<script>alert(1)</script>", 1)
    (evil / "trials.csv").write_text(text)
    page = report(evil, tmp_path / "page", static=True).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
