from __future__ import annotations

import errno
import importlib.util
from pathlib import Path

import pytest

import arch
import search
from search.engines.task import run
from search.record.files import WriteError, read_json, read_lines
from search.study.config import load_study
from search.study.fingerprint import fingerprint
from search.training.fit import Control, Stopped
from search.training.tensorboard import scalars
from tests.support import needs, study
from tests.support.trainings import RECIPE, task

FLAG = RECIPE | {"epochs": 3, "tensorboard": True}


class StopIn(Control):
    """Stops at a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.at = step

    def tick(self, done: int, steps: int) -> bool:
        return done < self.at


def test_event_files_of_a_training_that_was_stopped_hold_each_epoch_once(micro: arch.Spec, tmp_path: Path) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    begun = task(tmp_path, micro, recipe=FLAG)
    with pytest.raises(Stopped):
        list(run(begun, StopIn(20)))  # in the second of three epochs, 13 steps each
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert [e.restored for e in run(begun)] == [True, False, False]
    events = EventAccumulator(str(tmp_path)).Reload()
    rows = [scalars(metrics) for metrics in read_lines(tmp_path / "metrics.jsonl")]
    assert set(events.Tags()["scalars"]) == set(rows[0])
    assert {"loss/train", "accuracy/held-out", "accuracy of heads/3a", "weight of heads/3a", "lr"} <= set(rows[0])
    for tag in rows[0]:
        found = events.Scalars(tag)
        assert [scalar.step for scalar in found] == [1, 2, 3]
        assert [scalar.value for scalar in found] == pytest.approx([row[tag] for row in rows], rel=1e-6)


@pytest.mark.fault("the disk is full")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_full_disk_under_the_event_file_fails_no_training(
    micro: arch.Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("tensorboard")
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(self: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    begun = task(tmp_path, micro, recipe=FLAG)
    with monkeypatch.context() as patched:
        patched.setattr(RecordWriter, "write", full)
        with pytest.raises(
            WriteError, match=r"events\.out\.tfevents: cannot be written .*MiB are left.*free some space"
        ):
            list(run(begun))
    assert not (tmp_path / "result.json").exists()
    list(run(begun))
    assert read_json(tmp_path / "result.json")["state"] == "complete"


def test_the_flag_changes_no_identity(micro: arch.Spec, tmp_path: Path) -> None:
    plain, watched = (search.load_recipe("default", {"tensorboard": flag}) for flag in (False, True))
    assert plain.id == watched.id
    config, data = load_study(study()), search.load_data("digits")
    assert fingerprint(config, micro, plain, data) == fingerprint(config, micro, watched, data)
    list(run(task(tmp_path, micro)))
    assert read_json(tmp_path / "result.json")["recipe_id"] == search.load_recipe(RECIPE).id
    assert not list(tmp_path.glob("events.*"))


def test_without_the_package_nothing_begins(micro: arch.Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    with pytest.raises(arch.InputError, match=r"pip install 'inceptory\[tensorboard\]'"):
        next(run(task(tmp_path / "one", micro, recipe=FLAG)))
    with pytest.raises(arch.InputError, match="tensorboard: true needs"):
        search.run_study(study(recipe={"base": "default", "tensorboard": True}), tmp_path / "study")
    assert not list(tmp_path.iterdir())
