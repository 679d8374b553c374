"""One training and its folder: what a study's trial, a single `train` and every later run are made of."""

from __future__ import annotations

import statistics
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from arch.cost import cost
from arch.errors import InputError
from arch.fuse import runs_as
from arch.modules import Execution, Network
from arch.spec import from_mapping, to_yaml
from search.data import Data, data_config, data_root, load_data
from search.events import check_events, event_files
from search.folder import find_folder
from search.hardware import pick_device, pick_execution, pick_precision
from search.initial import checksum
from search.interrupt import caught
from search.latency import latency
from search.lock import Held, locked
from search.predictions import Predictions, predictions_of
from search.progress import Silent
from search.recipe import Recipe, load_recipe
from search.record import (
    Damaged,
    WriteError,
    check_kind,
    clear_leftovers,
    differing,
    environment,
    mend,
    read_json,
    read_lines,
    write_json,
    write_lines,
    write_result,
    write_text,
    write_yaml,
)
from search.training import Control, Diverged, Epoch, Judged, Stopped, fit
from search.weights import CLASSES, WEIGHTS, About, read_weights, save_weights, write_classes

_AT_THE_END = "after its last epoch"


@dataclass(frozen=True)
class Task:
    """Everything that a training needs, as plain data that can be sent to another process.

    `init` is a file of weights to begin with. `test` opens the test set after the last epoch, `latency` has the
    trained network's forward time taken. `about` goes into the result as it is.
    """

    folder: str
    spec: Mapping[str, Any]
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    seed: int = 0
    everything: bool = False
    test: bool = False
    device: str = "auto"
    execution: str = "auto"
    latency: bool = False
    init: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


_loaded = lru_cache(maxsize=1)(load_data)  # a worker's next trial is nearly always on the same images


def run(task: Task, control: Control | None = None) -> Iterator[Epoch]:
    """Train in the task's folder and yield each epoch; the folder holds everything at any moment.

    A loop left early (`close`) leaves the checkpoint, or ends the trial as pruned where
    `control.prune` says so. Called again on the same folder, it goes on from the checkpoint.

    Raises
    ------
    InputError
        Spec, data, recipe and checkpoint do not go together; nothing was written.
    Stopped
        `control` asked to stop; the checkpoint is written.
    WriteError
        There is no room; the last epoch that was recorded is whole.
    """
    control = control or Control()
    folder = Path(task.folder)
    spec, recipe = from_mapping(task.spec, "spec of the trial"), load_recipe(task.recipe)
    check_events(recipe)
    data = _loaded(data_config(task.data))
    on: Literal["train", "everything"] = "everything" if task.everything else "train"
    checkpoint = folder / "checkpoint.pt"
    how: dict[str, Any] = {"device": task.device, "execution": task.execution}
    how["init"] = Path(task.init) if task.init else None
    epochs = fit(spec, data, recipe, seed=task.seed, on=on, **how, checkpoint=checkpoint, control=control)
    clear_leftovers(folder)
    write_text(folder / "spec.yaml", to_yaml(spec))
    write_yaml(folder / "recipe.yaml", recipe.model_dump())
    costs = cost(spec)
    result: dict[str, Any] = {
        "state": "running",
        **task.about,
        "network": spec.name,
        "recipe": recipe.name,
        **identity(task),
        "execution": _execution(task),
        "precision": pick_precision(recipe.precision, pick_device(task.device)),
        "params": costs.params,
        "aux_params": costs.aux_params,
        "macs": costs.macs,
        "aux_macs": costs.aux_macs,
        "train_images": len(data.everything if task.everything else data.train),
        "val_images": 0 if task.everything else len(data.val),
    }
    rows: list[dict[str, Any]] = []
    recorded = _epochs_in(folder)
    last: Epoch | None = None
    try:
        with event_files(folder, recipe) as note:
            for last in epochs:
                rows.append(last.metrics())
                if not last.restored or len(rows) > recorded:  # a record never shrinks, not even for a moment
                    write_lines(folder / "metrics.jsonl", rows)
                note(rows[-1])
                yield last
        result["state"] = "complete"
    except GeneratorExit:
        if not control.prune:  # the loop was left by an accident: what is recorded waits for the next start
            return
        result["state"] = "pruned"
    except (Stopped, InputError, WriteError):
        raise
    except Diverged as error:
        result |= {"state": "failed", "reason": f"diverged: {error}"}
    except Exception as error:
        # Whatever a training dies of must not stop the study that it belongs to.
        result |= {"state": "failed", "reason": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    if rows:
        result |= _last_figures(rows)
    if last and last.network and result["state"] == "complete":
        about = About.of(spec, data, recipe, data_config(task.data), task.everything)
        save_weights(folder / WEIGHTS, last.network, about)
        write_classes(folder / CLASSES, data.classes)
        if task.test:
            result |= _test_figures(
                *judge_test(folder, last.network, data, recipe, pick_device(task.device), _AT_THE_END)
            )
        if task.latency:
            result |= latency(last.network, pick_precision(recipe.precision, pick_device(task.device)) == "bf16")
    device = str(pick_device(task.device))
    about_machine = environment(threads=torch.get_num_threads(), device=device, execution=_execution(task))
    write_json(folder / "environment.json", about_machine)
    write_result(folder, result)
    checkpoint.unlink(missing_ok=True)


def _epochs_in(folder: Path) -> int:
    """Return how many epochs a training's record holds; of a damaged one none, as it is written anew."""
    try:
        return len(read_lines(folder / "metrics.jsonl"))
    except Damaged:
        return 0


def identity(task: Task) -> dict[str, Any]:
    """Return what makes two trainings the same, whatever they are called and wherever they lie."""
    spec, recipe, config = from_mapping(task.spec), load_recipe(task.recipe), data_config(task.data)
    return {
        "spec_id": spec.id,
        "recipe_id": recipe.id,
        "data": config.name,
        "val_fraction": config.val_fraction,
        "split_seed": config.split_seed,
        "train_fraction": config.train_fraction,
        "seed": task.seed,
        "everything": task.everything,
        "init": checksum(task.init) if task.init else None,
    }


def _execution(task: Task) -> str:
    """Return what computes the maps of a task here."""
    device = pick_device(task.device)
    return runs_as(pick_execution(task.execution, device), device.type)


def judge_test(
    folder: Path, network: Network, data: Data, recipe: Recipe, device: torch.device, when: str, keep: bool = True
) -> tuple[Judged, Predictions]:
    """Judge a trained network on the test set, and leave a record of having opened it in `folder`.

    The answers go into `predictions.npz` there, unless `keep` is false. Nothing else opens the test set.
    """
    part = data.open_test(folder / "test_openings.jsonl", f"{network.spec.name} {when}")
    bf16 = pick_precision(recipe.precision, device) == "bf16"
    judged, predictions = predictions_of(network, data, part, recipe, bf16)
    if keep:
        predictions.write(folder / "predictions.npz")
    return judged, predictions


def check_test(task: Task) -> None:
    """Raise InputError where a task asks for a test set that is not there, before anything is trained."""
    folder = find_folder(data_config(task.data).name, data_root())
    if task.test and folder and not (folder / "test").is_dir():
        raise InputError(f"{folder}: has no test/ to open; add it, or leave out --test.")


def train(task: Task, show: Silent) -> tuple[dict[str, Any], int]:
    """Run a task to its end with progress shown; return its result, and the signal that stopped it or 0.

    A folder that holds a finished training of the same task is answered from its record; one of
    another is refused.
    """
    folder = Path(task.folder)
    check_test(task)
    check_kind(folder, "spec.yaml")
    with locked(folder, "this training") as held:
        known = answered(task)
        if known and known["state"] == "complete":
            return _with_test(folder, task, known), 0
        return _train(held, task, show)


def _train(held: Held, task: Task, show: Silent) -> tuple[dict[str, Any], int]:
    folder, reins = held.folder, _Shown(show)
    show.begin(folder.name, 1, 0)
    show.started(reins.key, task.recipe)
    try:
        with caught(reins.catch):
            for epoch in run(task, reins):
                held.check()
                show.epoch(reins.key, epoch.told())
        result = read_json(folder / "result.json")
        show.finished(reins.key, in_words(result), 1, result)
    except Stopped:
        return {"state": "stopped"}, reins.signal
    finally:
        show.close()
    return result, 0


def in_words(result: Mapping[str, Any]) -> str:
    """Return in a few words how a training ended."""
    figures = ((key.replace("_", " "), result.get(key)) for key in ("val_accuracy", "test_accuracy"))
    told = "".join(f", {name} {value:.4f}" for name, value in figures if value is not None)
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"{result['state']}{told}{reason}"


def answered(task: Task) -> dict[str, Any] | None:
    """Return the result that a task's folder holds, or None where there is none yet.

    Damaged files are set aside, and the result with them, so that the task is trained again.

    Raises
    ------
    InputError
        The folder holds another training; names the differences.
    """
    path = Path(task.folder) / "result.json"
    for told in mend(path.parent):
        warnings.warn(f"{told}; it is trained again", stacklevel=2)
    if not path.exists():
        return None
    known: dict[str, Any] = read_json(path)
    asked = identity(task)
    differences = list(differing({key: known.get(key) for key in asked}, asked))
    if differences:
        raise InputError(
            f"{task.folder}: holds another training ({'; '.join(differences)}); name a new folder with --run."
        )
    return known


def _with_test(folder: Path, task: Task, known: dict[str, Any]) -> dict[str, Any]:
    """Return a finished training's result, with the test set opened now if it is asked for and was not yet."""
    if not task.test or "test_accuracy" in known:
        return known
    device = pick_device(task.device)
    how: Execution = "fused" if pick_execution(task.execution, device) == "fused" else "plain"
    network = read_weights(folder).network(device, how)
    recipe, data = load_recipe(task.recipe), _loaded(data_config(task.data))
    known |= _test_figures(*judge_test(folder, network, data, recipe, device, _AT_THE_END))
    write_result(folder, known)
    return known


class _Shown(Control):
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


def _last_figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    last = rows[-1]
    return {
        "epochs": last["epoch"],
        "val_accuracy": last["val_accuracy"],
        "val_loss": last["val_loss"],
        "val_aux_accuracy": last["val_aux_accuracy"],
        "train_loss": last["train_loss"],
        "train_accuracy": last["train_accuracy"],
        "seconds": sum(row["seconds"] for row in rows),
        "images_per_second": statistics.median(row["images_per_second"] for row in rows),
    }


def _test_figures(judged: Judged, predictions: Predictions) -> dict[str, Any]:
    labels = torch.from_numpy(predictions.labels)
    right = judged.predictions == labels
    return {
        "test_accuracy": judged.accuracy,
        "test_loss": judged.loss,
        "test_aux_accuracy": judged.aux_accuracy,
        "test_class_accuracy": {
            name: float(right[labels == index].float().mean()) for index, name in enumerate(predictions.classes)
        },
    }
