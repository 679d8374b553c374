"""What a machine does beside: its clock jumps, its shared memory is full."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.record.files import read_json, read_lines
from search.record.layout import results
from search.study.run import run_study
from tests.support import study

DAY = 86_400.0


def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wall clock go a day forth or back each time it is looked at; monotonic clocks do not jump."""
    real, looks = time.time, iter(range(10**9))

    def now() -> float:
        return real() + (DAY if next(looks) % 2 else -DAY)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime.fromtimestamp(now(), tz)

    monkeypatch.setattr(time, "time", now)
    for name, module in list(sys.modules.items()):  # Optuna takes the class, not the module
        if name.startswith(("optuna.", "search.")) and getattr(module, "datetime", None) is datetime.datetime:
            monkeypatch.setattr(module, "datetime", Clock)


@pytest.mark.fault("the clock jumps by a day, forth and back")
@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_clock_that_jumps_changes_nothing(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle and begun again, in another year."""

    def figures(run: Path) -> list[tuple[object, ...]]:
        return [(r["trial"], r["state"], r["val_loss"], r["train_loss"], r["searched"]) for r in results(run)]

    asked = study(sampler={"name": "tpe", "n_startup_trials": 1}, trials=3)
    run_study(asked, tmp_path / "whole")
    asked["storage"] = f"journal://{tmp_path / 'study.log'}" if storage == "journal" else ""
    with monkeypatch.context() as clock:
        jumping(clock)
        run_study(asked, tmp_path / "run", trials=2)
    with monkeypatch.context() as clock:
        real = time.time
        clock.setattr(time, "time", lambda: real() - 365 * DAY)
        assert run_study(asked, tmp_path / "run").finished == 3
    assert figures(tmp_path / "run") == figures(tmp_path / "whole")


@pytest.mark.fault("/dev/shm is full")
@pytest.mark.slow
@pytest.mark.parametrize("room", ["4k", "60k"])
def test_full_shared_memory_costs_only_time(room: str, tmp_path: Path) -> None:
    """A /dev/shm of a page, or of room for semaphores but for no batch, and images that worker processes decode."""
    noise = np.random.default_rng(0)
    for part in ("train", "test"):
        for number in range(20):
            folder = tmp_path / "images" / part / f"class{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = noise.integers(0, 256, (100 + number, 120, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    train = [sys.executable, "-m", "inceptory", "train", "googlenet_cifar_tiny", "--threads", "1", "--seed", "3"]
    train += [
        f"--data={tmp_path / 'images'}",
        "--set=recipe.epochs=2",
        "--set=recipe.batch=16",
        "--set=recipe.resize=32",
        "--set=recipe.normalise=half",  # the images stay in their files
        "--classes=2",
    ]
    full = f"mount -t tmpfs -o size={room} inceptory-test /dev/shm && exec "
    commands = {
        "full": ["unshare", "--mount", "sh", "-c", full + '"$@"', "sh", *train, f"--run={tmp_path / 'full'}"],
        "whole": [*train, f"--run={tmp_path / 'whole'}"],
    }
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root may put a small file system over /dev/shm")
    for command in commands.values():
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
    epochs = [
        [row["train_loss"] for row in read_lines(tmp_path / name / "metrics.jsonl")] for name in ("full", "whole")
    ]
    assert epochs[0] == epochs[1]
    assert len(epochs[0]) == read_json(tmp_path / "whole" / "result.json")["epochs"] == 2
