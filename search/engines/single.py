"""One training, with a progress display: what `inceptory train` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arch.modules.plain import Execution
from search.data.dataset import data_config
from search.engines.task import Task, answered, cached_data, in_words, run
from search.evaluation.test_set import check_test, figures_on_test_set
from search.progress import Silent
from search.recipes.load import load_recipe
from search.record.files import (
    read_json,
)
from search.record.layout import check_kind, write_result
from search.record.lock import Held, locked
from search.signals import caught
from search.training.fit import Control, Stopped
from search.training.hardware import pick_device, pick_execution
from search.training.weights import read_weights


def train(task: Task, show: Silent) -> tuple[dict[str, Any], int]:
    """Run a task with a progress display; return its result, and the signal that stopped it or 0.

    A folder that holds a finished training of the same task is answered from its record; one of
    another is refused.
    """
    folder = Path(task.folder)
    if task.test:
        check_test(data_config(task.data))
    check_kind(folder, "spec.yaml")
    with locked(folder, "this training") as held:
        known = answered(task)
        if known and known["state"] == "complete":
            return _with_test(folder, task, known), 0
        return _train(held, task, show)


def _train(held: Held, task: Task, show: Silent) -> tuple[dict[str, Any], int]:
    folder, control = held.folder, _DisplayControl(show)
    show.begin(folder.name, 1, 0)
    show.started(control.key, task.recipe)
    try:
        with caught(control.catch):
            for epoch in run(task, control):
                held.check()
                show.epoch(control.key, epoch.payload())
        result = read_json(folder / "result.json")
        show.finished(control.key, in_words(result), 1, result)
    except Stopped:
        return {"state": "stopped"}, control.signal
    finally:
        show.close()
    return result, 0


def _with_test(folder: Path, task: Task, known: dict[str, Any]) -> dict[str, Any]:
    """Return a finished training's result; open the test set now if the task wants it and it was not opened before."""
    if not task.test or "test_accuracy" in known:
        return known
    device = pick_device(task.device)
    how: Execution = "fused" if pick_execution(task.execution, device) == "fused" else "plain"
    network = read_weights(folder).network(device, how)
    recipe, data = load_recipe(task.recipe), cached_data(data_config(task.data))
    known |= figures_on_test_set(folder, network, data, recipe, device)
    write_result(folder, known)
    return known


class _DisplayControl(Control):
    """Shows each step, and stops at the first signal."""

    key = "training"

    def __init__(self, show: Silent) -> None:
        super().__init__()
        self.show, self.signal = show, 0

    def catch(self, number: int) -> None:
        self.signal, self.stop = number, True

    def tick(self, done: int, steps: int) -> bool:
        self.show.step(self.key, done, steps)
        return not self.stop
