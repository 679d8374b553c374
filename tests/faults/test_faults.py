"""Disks that are full, read-only or gone; trainings that fail alike; a driver that is told to stop, once and twice."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import arch
import search
from reports.page.report import report
from search.data.dataset import Data
from search.engines.single import train
from search.engines.task import Task, run
from search.progress import Silent
from search.record.files import WriteError, append_line, read_json, read_lines, write_json
from search.record.layout import results
from search.record.lock import locked
from search.study.run import run_study
from search.training.checkpoint import save_checkpoint
from tests.support import MICRO, study
from tests.support.driving import start, wait_for
from tests.support.notes import Notes

LONG = {"base": "default", "epochs": 400, "batch": 256, "precision": "fp32"}


class Disk:
    """A small file system of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ballast = folder, folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes free."""
        free = shutil.disk_usage(self.folder).free
        with open(self.ballast, "wb") as file:
            file.write(bytes(max(0, free - leave)))

    def make_room(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "inceptory-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount the small disk that this test fills")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


WRITES = {
    "checkpoint.pt": lambda path, size: save_checkpoint(path, {"w": torch.zeros(size // 4)}, {}),
    "weights.safetensors": lambda path, size: _weights(path, size),
    "result.json": lambda path, size: write_json(path, {"text": "x" * size}),
    "metrics.jsonl": lambda path, size: append_line(path, '{"text": "' + "x" * size + '"}'),
}


def _weights(path: Path, size: int) -> None:
    from safetensors.torch import save_file

    from search.record.files import replace_file

    replace_file(path, lambda temporary: save_file({"w": torch.zeros(size // 4)}, temporary))


@pytest.mark.fault("the disk is full")
@pytest.mark.parametrize("name", WRITES)
def test_on_a_full_disk_the_file_and_the_room_are_named_and_the_old_file_is_whole(name: str, disk: Disk) -> None:
    path, write = disk.folder / name, WRITES[name]
    write(path, 1000)
    before = path.read_bytes()
    disk.fill(leave=200_000)
    with pytest.raises(WriteError, match=rf"{name}: cannot be written .*0\.\d MiB are left in .*free some space"):
        write(path, 1_000_000)
    assert path.read_bytes() == before
    assert [p.name for p in disk.folder.iterdir() if p.name != "ballast"] == [name]
    disk.make_room()
    write(path, 1_000_000)
    assert path.stat().st_size > 1_000_000


@pytest.mark.fault("the disk is read-only")
@pytest.mark.parametrize("name", WRITES)
def test_on_a_read_only_disk_the_file_is_named(name: str, disk: Disk) -> None:
    path, write = disk.folder / name, WRITES[name]
    write(path, 1000)
    gc.collect()
    disk.remount("ro")
    with pytest.raises(WriteError, match=rf"{name}: cannot be written \(Read-only file system\).*writable"):
        write(path, 1000)
    disk.remount("rw")


@pytest.mark.fault("the limit on file size is reached (RLIMIT_FSIZE)")
@pytest.mark.parametrize("name", WRITES)
def test_at_the_file_size_limit_the_limit_is_named(name: str, tmp_path: Path) -> None:
    """RLIMIT_FSIZE, as a batch system sets it; the signal that comes with it does not end the process."""
    path = tmp_path / name
    WRITES[name](path, 1000)
    before, limit = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(WriteError, match=rf"{name}: cannot be written .*ulimit -f.*raise that limit"):
            WRITES[name](path, 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.fault("the disk is full")
@pytest.mark.parametrize("engine", ["inprocess", pytest.param("local", marks=pytest.mark.slow)])
def test_a_full_disk_stops_a_search_and_fails_no_trial(disk: Disk, engine: str) -> None:
    """Full while trainings write checkpoints; after room is made it ends as if nothing had been."""
    asked = study(trials=2, recipe=LONG | {"epochs": 4}, engine={"name": engine, "workers": 1, "threads": 1})
    run_ = disk.folder / "run"

    class Filling(Notes):
        def epoch(self, key: str, metrics: Any) -> None:
            if key == "trial 0" and not disk.ballast.exists():
                disk.fill()

    with pytest.raises(WriteError, match=r"cannot be written \(.*\); 0\.\d MiB are left in"):
        run_study(asked, run_, show=Filling([]))  # type: ignore[arg-type]
    assert not list(results(run_))
    disk.make_room()
    assert run_study(asked, run_).finished == 2
    whole = study(trials=2, recipe=LONG | {"epochs": 4}, engine={"workers": 1, "threads": 1})
    run_study(whole, disk.folder.parent / "whole")
    figures = [
        [(r["trial"], r["state"], r["val_loss"]) for r in results(p)] for p in (run_, disk.folder.parent / "whole")
    ]
    assert figures[0] == figures[1]


@pytest.mark.fault("the disk is full")
@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("storage", [pytest.param("", marks=pytest.mark.slow), "journal"])
def test_a_full_disk_under_the_storage_and_the_report(disk: Disk, tmp_path: Path, storage: str) -> None:
    url = {"": f"sqlite:///{disk.folder / 'study.db'}", "journal": f"journal://{disk.folder / 'study.log'}"}[storage]
    asked, run_ = study(trials=20, storage=url), tmp_path / "run"

    class Filling(Notes):
        def finished(self, key: str, words: str, number: int, *_: Any) -> None:
            if number == 2:
                disk.fill()

    with pytest.raises(
        WriteError, match=r"study\.(db|log): cannot be written \(.*\); 0\.\d MiB are left in .*free some space"
    ):
        run_study(asked, run_, show=Filling([]))  # type: ignore[arg-type]
    known = len(list(results(run_)))
    disk.make_room()
    assert run_study(asked, run_, trials=known + 1).finished == known + 1
    disk.fill()
    page = disk.folder / "report"
    with pytest.raises(OSError, match=r"report.*cannot be written"):
        report(run_, page)
    disk.make_room()
    assert report(run_, page).exists()


@pytest.mark.fault("the run directory is removed under a search")
def test_a_run_directory_that_is_removed_stops_the_search(tmp_path: Path) -> None:
    run_ = tmp_path / "run"

    class Removing(Notes):
        def epoch(self, key: str, metrics: Any) -> None:
            shutil.rmtree(run_, ignore_errors=True)

    with pytest.raises(WriteError, match=r"was removed or replaced while this process was at work in it"):
        run_study(study(recipe=LONG), run_, show=Removing([]))  # type: ignore[arg-type]
    assert not (run_ / "base" / "result.json").exists()


@pytest.mark.fault("a second driver in one directory")
def test_two_trainings_in_one_folder_are_refused_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"from search.record.lock import locked; import os, pathlib, time\n"
               f"with locked(pathlib.Path({str(tmp_path)!r}), 'x'): print('held', flush=True); time.sleep(60)"]  # fmt: skip
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.getcwd()})
    assert holder.stdout is not None
    holder.stdout.readline()
    task = Task(str(tmp_path), arch.to_mapping(arch.load(MICRO)), {"epochs": 1}, {"name": "digits"})
    with pytest.raises(arch.InputError, match="another process is at work on this training"):
        train(task, Silent())
    holder.kill()
    holder.communicate()
    with locked(tmp_path, "x"):
        pass


@pytest.mark.fault("the loss is NaN or infinite")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_fails_the_training_with_its_reason(
    value: float, micro: arch.Spec, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr("search.recipes.losses.F.cross_entropy", lambda *a, **k: loss(*a, **k) * value)
    recipe = {"epochs": 2, "batch": 512, "precision": "fp32"}
    assert not list(run(Task(str(tmp_path), arch.to_mapping(micro), recipe, {"name": "digits"})))
    result = read_json(tmp_path / "result.json")
    assert result["state"] == "failed"
    assert f"diverged: the training loss is {value}" in result["reason"] or "nan" in result["reason"]


@pytest.mark.fault("trainings that fail alike, one after the other")
@pytest.mark.usefixtures("instant")
def test_failures_of_one_kind_in_a_row_end_a_study_with_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support import fake

    def failing(task: Task, control: Any) -> Any:
        yield from fake.train(task, control)
        result = read_json(Path(task.folder) / "result.json")
        number = result["trial"]
        if number != "base" and (number > 3 or number == 1):
            reason = f"RuntimeError: node {number} lost 0x{number}"
            write_json(Path(task.folder) / "result.json", result | {"state": "failed", "reason": reason})

    monkeypatch.setattr("search.engines.in_process.run", failing)
    said: list[str] = []
    outcome = run_study(study(trials=9, most_failures_in_a_row=3), tmp_path, show=Notes(said))  # type: ignore[arg-type]
    assert (outcome.ended, outcome.finished) == ("failing", 7)
    assert "3 trainings in a row failed alike (RuntimeError: node 6 lost 0x6)" in said[-1]
    assert read_lines(tmp_path / "attempts.jsonl")[-1]["ended"] == "failing"
    monkeypatch.setattr("search.engines.in_process.run", fake.train)  # the cause is gone
    assert run_study(study(trials=9, most_failures_in_a_row=3), tmp_path).finished == 9


@pytest.mark.fault("a worker segfaults")
@pytest.mark.slow
def test_a_worker_that_segfaults_fails_its_trial_and_the_study_goes_on(tmp_path: Path) -> None:
    """SIGSEGV on every attempt at the first trial."""
    config = study(trials=2, recipe=LONG | {"epochs": 12}, engine={"name": "local", "workers": 1, "threads": 1})

    class Hitting(Notes):
        def epoch(self, key: str, metrics: Any) -> None:
            if key == "trial 0":
                children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
                for child in children:
                    if b"search.engines.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                        os.kill(int(child), signal.SIGSEGV)

    assert run_study(config, tmp_path, show=Hitting([])).finished == 2  # type: ignore[arg-type]
    first, second = results(tmp_path)
    assert (first["state"], first["reason"]) == ("failed", "its process ended with signal SIGSEGV, 3 times")
    assert second["state"] == "complete"


@pytest.mark.fault("SIGTERM or Ctrl-C")
@pytest.mark.slow  # the fast one: tests/inceptory/test_app.py
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_told_to_stop_leaves_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "inceptory", "train", str(MICRO), "--data", "digits", "--run", str(tmp_path)]
    command += ["--set=recipe.epochs=4000", "--threads=1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for((tmp_path / "metrics.jsonl").exists, process)
    began = time.monotonic()
    process.send_signal(number)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, text
    assert "To resume: inceptory train" in text
    assert time.monotonic() - began < 30  # within what batch systems wait before SIGKILL
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "result.json").exists()


@pytest.mark.fault("SIGTERM or Ctrl-C")
@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once_and_once_more_sigterm_does_not(tmp_path: Path) -> None:
    """The worker is frozen, so that it cannot stop by itself: the driver does not wait for its checkpoint."""
    asked = study(recipe=LONG | {"epochs": 4000}, engine={"name": "local", "workers": 1, "threads": 1})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(asked))
    process = start(tmp_path)
    run_ = tmp_path / "run"
    wait_for((run_ / "base" / "metrics.jsonl").exists, process)
    worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    os.kill(worker, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None  # each of them asked for a checkpoint
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=30)[0]
    assert process.returncode == 130, text
    assert "stopped at once; what is recorded stays. To resume: inceptory search" in text
    assert read_lines(run_ / "attempts.jsonl")[-1]["ended"] == "interrupted"
    assert not Path(f"/proc/{worker}").exists()
    assert (run_ / "base" / "checkpoint.pt").exists()


@pytest.mark.usefixtures("instant")
def test_a_run_of_another_kind_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    """Their files would mix: each kind of run has an `environment.json` of its own."""
    task = Task(str(tmp_path / "study"), arch.to_mapping(arch.load(MICRO)), {"epochs": 1}, {"name": "digits"})
    ablation = {"name": "a", "network": str(MICRO), "data": "digits", "changes": {"none": {"heads": []}}}
    run_study(study(trials=1), tmp_path / "study")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "spec.yaml").write_text(MICRO.read_text())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(arch.InputError, match=r"study: holds a study already \(study\.yaml\); name another folder"):
        train(task, Silent())
    with pytest.raises(arch.InputError, match="holds a study already"):
        search.run_ablation(ablation, tmp_path / "study")
    with pytest.raises(arch.InputError, match="holds a training already"):
        run_study(study(trials=1), tmp_path / "training")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
