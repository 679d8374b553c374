"""Reports that are written again, and folders of runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import reports
from arch.errors import InputError
from reports.page import watch as watching
from reports.page.index import headline, index
from reports.page.watch import watch, write
from reports.runs.progress import progress
from tests.support import RESULTS
from tests.support.confirmations import BASE, confirmation, run_with, shifted


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A training of two epochs of which one is over."""
    run = tmp_path / "begun"
    run.mkdir()
    results = RESULTS / "googlenet_cifar_small"
    shutil.copy(results / "base.yaml", run / "spec.yaml")
    (run / "recipe.yaml").write_text("name: short\nepochs: 2\nbatch: 8\n")
    epoch(run, 1)
    return run


def epoch(run: Path, number: int) -> None:
    metrics = {"epoch": number, "train_accuracy": 0.2, "val_accuracy": 0.1 * number, "lr": 0.1, "images_per_second": 9}
    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps(metrics | {"train_loss": 2.0, "val_loss": 2.0, "seconds": 1.0}) + "\n")


def finish(run: Path) -> None:
    epoch(run, 2)
    result = {"state": "complete", "val_accuracy": 0.2, "params": 9, "macs": 99, "seconds": 2.0, "seed": 0}
    (run / "result.json").write_text(json.dumps(result))


def steps(monkeypatch: pytest.MonkeyPatch, *happen: Callable[[], object]) -> list[float]:
    """Let these happen instead of the pauses, one each; return the pauses that were asked for."""
    waiting, asked = list(happen), []

    def pause(seconds: float) -> None:
        asked.append(seconds)
        waiting.pop(0)()

    monkeypatch.setattr(watching.time, "sleep", pause)
    return asked


def reloads(page: Path) -> bool:
    return "data-reload" in page.read_text()


def test_it_is_written_where_the_record_grew_and_ends_with_the_run(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = steps(monkeypatch, lambda: None, lambda: finish(begun))
    written = watch(begun, static=True, every=7)
    page = next(written)
    assert reloads(page)
    assert "1 of 2 epochs so far" in page.read_text()
    assert list(written) == [page]  # nothing grew in the first pause
    assert asked == [7, 7]
    assert not reloads(page)
    assert "so far" not in page.read_text()
    assert "20.00 % of the held-out images" in page.read_text()


def test_interrupted_the_page_that_stays_does_not_reload(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    steps(monkeypatch, interrupt)
    written = watch(begun, static=True)
    page = next(written)
    with pytest.raises(KeyboardInterrupt):
        next(written)
    assert not reloads(page)
    assert "1 of 2 epochs so far" in page.read_text()


def test_what_a_report_writes_is_no_news(begun: Path) -> None:
    before = watching._record(begun)
    write(begun, static=True)
    assert watching._record(begun) == before
    epoch(begun, 2)
    assert watching._record(begun) != before


def test_how_far_a_study_and_its_confirmation_are() -> None:
    assert str(progress(reports.load(RESULTS / "splits_cifar10"))) == "16 of 16 trials"
    half = run_with(confirmation(base=BASE, trial_1=["", "", "", "failed", "", 0.7]))
    assert progress(half) == (8, 12, "trainings of the confirmation", False)
    assert progress(run_with(confirmation(base=BASE, trial_1=BASE))).complete


def test_a_folder_of_runs_is_a_page_of_rows(begun: Path) -> None:
    finish(begun)
    shutil.copytree(RESULTS / "splits_cifar10", begun.parent / "deep" / "study")
    (begun.parent / "damaged").mkdir()
    (begun.parent / "damaged" / "spec.yaml").write_text("rows: 1")
    page = write(begun.parent).read_text()
    assert [cells[0] for cells in rows(page)] == ["deep/study", "begun"]
    run = reports.load(RESULTS / "splits_cifar10")
    assert run.base
    best, base = (f"{100 * row['val_accuracy']:.2f}" for row in (run.ranked.iloc[0], run.base))
    assert rows(page)[0][3:8] == ["complete, 16 of 16 trials", best, base, "held-out", "1"]
    assert "damaged/spec.yaml" in page
    assert "href" not in page.partition("<tbody>")[2].partition("</tbody>")[0]
    write(begun, static=True)
    assert 'href="begun/report/index.html"' in index(begun.parent).read_text()
    with pytest.raises(InputError, match="--to goes with one run"):
        write(begun.parent, begun.parent / "elsewhere")
    with pytest.raises(InputError, match="no run"):
        write(begun.parent / "deep" / "study" / "figures")


def rows(page: str) -> list[list[str]]:
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td[^>]*>(?:<a[^>]*>)?([^<]*)", row) for row in body.split("<tr>")[1:]]


def test_a_confirmed_study_is_known_by_its_test_accuracy() -> None:
    """The best of the search, not whichever did best on the test set."""
    found = headline(run_with(confirmation(base=BASE, trial_1=shifted(0.01), trial_2=shifted(0.05))))
    assert (found.images, found.n) == ("test", 6)
    assert found.base == pytest.approx(100 * sum(BASE) / 6)
    assert found.best == pytest.approx(100 * sum(shifted(0.01)) / 6)
