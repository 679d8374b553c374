from __future__ import annotations

import io
import json
import time
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

import arch
from search.engines.single import train
from search.engines.task import run
from search.progress import Pace, Silent, display, left
from search.record.files import read_lines
from tests.support import DOCS
from tests.support.trainings import task

METRICS = {"epoch": 1, "epochs": 2, "train_loss": 1.5, "val_accuracy": 0.25, "images_per_second": 99.6}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second at each look."""
    ticks = count(1)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))


def test_what_a_checkpoint_held_counts_as_no_work(clock: None) -> None:
    pace = Pace(batch=10)
    pace.note(600, 1000)
    assert pace.speed is None
    assert pace.remaining is None
    pace.note(640, 1000)
    assert (pace.speed, pace.remaining) == (400.0, 9.0)
    pace.note(620, 1000)  # another attempt, from an earlier checkpoint
    assert pace.speed is None
    assert left(3723.4) == "1:02:03 left"


def test_progress_on_a_terminal_and_in_a_log(clock: None) -> None:
    told = {
        True: ["study", "trial 3", "96/128", "0:00:01 left", "held-out accuracy 25.00%, 3200 img/s"],
        False: ["study: 1 of 4 done", "(2 of 4)", "100 img/s, restored", "100 img/s, 0:00:02 left"],
    }
    for terminal, expected in told.items():
        text = io.StringIO()
        shown = display(Console(file=text, force_terminal=terminal, width=160))
        shown.begin("study", 4, 1)
        shown.started("trial 3", {"epochs": 2, "batch": 100})
        shown.step("trial 3", 64, 128)
        shown.epoch("trial 3", METRICS | {"restored": True})
        shown.step("trial 3", 96, 128)
        if terminal:
            shown.bars.refresh()
        shown.epoch("trial 3", METRICS)
        shown.rejected("trial 4", "too large")
        shown.finished("trial 3", "complete", 2, {"state": "complete"})
        shown.close()
        for part in [*expected, "epoch 1/2: loss 1.5000, held-out accuracy 25.00%", "trial 3 complete"]:
            assert part in text.getvalue(), part


def test_json_lines_of_a_training_that_goes_on(micro: arch.Spec, tmp_path: Path) -> None:
    """Every event's keys are those that docs/batch_jobs.md promises."""
    page = (DOCS / "batch_jobs.md").read_text()
    promised = {
        cells[1].strip("` "): cells[2].replace("`", "").split(",")
        for line in page.splitlines()
        if len(cells := line.split("|")) == 5 and cells[1].startswith(" `")
    }
    text = io.StringIO()
    shown = display(Console(file=text), "json")
    begun = task(tmp_path, micro)
    epochs = run(begun)
    next(epochs)
    epochs.close()
    train(begun, shown)
    shown.note("a word")
    shown.rejected("trial 4", "too large")
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "begin",
        "started",
        "epoch",
        "epoch",
        "finished",
        "end",
        "note",
        "rejected",
    ]
    for line in lines:
        assert list(line) == ["event", "time", *(key.strip() for key in promised[line["event"]] if key.strip())]
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["restored"] for line in epochs] == [True, False]
    for line, recorded in zip(epochs, read_lines(tmp_path / "metrics.jsonl"), strict=True):
        assert {key: line[key] for key in recorded} == recorded
    assert epochs[1]["remaining_seconds"] == 0
    ended = lines[4]
    assert (ended["state"], ended["done"], ended["total"]) == ("complete", 1, 1)
    assert ended["val_accuracy"] == epochs[1]["val_accuracy"]


def test_quiet_says_nothing() -> None:
    text = io.StringIO()
    assert type(display(Console(file=text, force_terminal=True), "quiet")) is Silent


def test_steps_of_all_epochs_are_told_also_where_the_steps_are_limited(micro: arch.Spec, tmp_path: Path) -> None:
    class Heard(Silent):
        def step(self, key: str, done: int, steps: int) -> None:
            heard.append((done, steps))

    heard: list[tuple[int, int]] = []
    recipe = {"epochs": 100, "max_steps": 15, "batch": 128, "precision": "fp32"}  # 13 steps an epoch
    train(task(tmp_path, micro, recipe=recipe), Heard())
    assert heard == [(step, 15) for step in range(1, 16)]
