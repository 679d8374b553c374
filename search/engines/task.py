"""One training and its folder: every trial, confirmation, ablation and single `train` runs one of these."""

from __future__ import annotations

import statistics
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from arch.analysis.cost import cost
from arch.errors import InputError
from arch.modules.fused.fused import runs_as
from arch.modules.plain import Network
from arch.specs.read import from_mapping
from arch.specs.spec import Spec
from arch.specs.write import to_yaml
from search.data.dataset import Data, data_config, load_data
from search.evaluation.measurements.registry import MEASUREMENTS
from search.evaluation.test_set import figures_on_test_set
from search.evaluation.untrained import proxies_of
from search.recipes.load import load_recipe
from search.recipes.recipe import Recipe
from search.record.differences import differing
from search.record.environment import environment
from search.record.files import (
    Damaged,
    WriteError,
    clear_leftovers,
    read_json,
    read_lines,
    write_json,
    write_lines,
    write_text,
    write_yaml,
)
from search.record.layout import CHECKPOINT, mend_training, write_result
from search.training.fit import Control, Diverged, Epoch, Stopped, fit
from search.training.hardware import pick_device, pick_execution, pick_precision
from search.training.initial_weights import weights_checksum
from search.training.tensorboard import check_events, event_files
from search.training.weights import CLASSES, WEIGHTS, About, save_weights, write_classes


@dataclass(frozen=True)
class Task:
    """Everything that a training needs, as plain data that can be sent to another process.

    `init` is a file of weights to begin with. `test` opens the test set after the last epoch, `measured`
    names what is measured on the trained network, `proxies` what is computed before the training. `about` goes into
    the result as it is. With `pauses` a pruned training keeps its checkpoint.
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
    measured: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    init: str = ""
    pauses: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)


cached_data = lru_cache(maxsize=1)(load_data)  # a worker's next trial is nearly always on the same images


def run(task: Task, control: Control | None = None) -> Iterator[Epoch]:
    """Train in the task's folder and yield each epoch; the folder holds everything at any moment.

    A loop left early (`close`) leaves the checkpoint, or ends the trial as pruned where
    `control.prune` says so. Called again on the same folder, it resumes from the checkpoint.

    Raises
    ------
    InputError
        Spec, data, recipe and checkpoint do not go together; nothing was written.
    Stopped
        `control` stopped it; the checkpoint is written.
    WriteError
        The disk is full; the last recorded epoch is complete.
    """
    control = control or Control()
    job = _Job.of(task)
    epochs = job.fit(control)
    job.write_inputs()
    recorded = _epochs_in(job.folder)
    rows: list[dict[str, Any]] = []
    last: Epoch | None = None
    found: dict[str, Any] = {}
    try:
        found = job.before()
        with event_files(job.folder, job.recipe) as note:
            for last in epochs:
                rows.append(last.metrics())
                if not last.restored or len(rows) > recorded:  # a record never shrinks, not even for a moment
                    write_lines(job.folder / "metrics.jsonl", rows)
                note(rows[-1])
                yield last
        ended = {"state": "complete"}
    except GeneratorExit:
        if not control.prune:  # the consumer died: what is recorded waits for the next start
            return
        ended = {"state": "pruned"}
    except (Stopped, InputError, WriteError):
        raise
    except Diverged as error:
        ended = {"state": "failed", "reason": f"diverged: {error}"}
    except Exception as error:
        # Whatever error a training raises must not stop the study that it belongs to.
        ended = {"state": "failed", "reason": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    job.write_end(found | ended, rows, last)


@dataclass(frozen=True)
class _Job:
    """A task with what it names loaded, and the files that its folder gets."""

    task: Task
    folder: Path
    spec: Spec
    recipe: Recipe
    data: Data
    device: torch.device

    @classmethod
    def of(cls, task: Task) -> _Job:
        spec, recipe = from_mapping(task.spec, "spec of the trial"), load_recipe(task.recipe)
        check_events(recipe)
        data = cached_data(data_config(task.data))
        return cls(task, Path(task.folder), spec, recipe, data, pick_device(task.device))

    def fit(self, control: Control) -> Iterator[Epoch]:
        """Return the epochs; what does not fit together is refused here, before anything is written."""
        task = self.task
        return fit(
            self.spec,
            self.data,
            self.recipe,
            seed=task.seed,
            on="everything" if task.everything else "train",
            device=task.device,
            execution=task.execution,
            init=Path(task.init) if task.init else None,
            checkpoint=self.folder / CHECKPOINT,
            control=control,
        )

    def write_inputs(self) -> None:
        """Write what is trained; remove the temporary files of a write that a kill cut short."""
        clear_leftovers(self.folder)
        write_text(self.folder / "spec.yaml", to_yaml(self.spec))
        write_yaml(self.folder / "recipe.yaml", self.recipe.model_dump())

    def before(self) -> dict[str, Any]:
        """Return what the task wants to know of the network before it is trained."""
        names = self.task.proxies
        if not names:
            return {}
        found = proxies_of(self.spec, self.data, self.recipe, names, self.task.seed, str(self.device))
        return {"proxies": found}

    def write_end(self, ended: Mapping[str, Any], rows: list[dict[str, Any]], last: Epoch | None) -> None:
        """Write how the training ended; the result comes last, as it marks a complete folder."""
        result = {**self._about(), **ended}
        if rows:
            result |= _last_figures(rows)
        if last and last.network and ended["state"] == "complete":
            result |= self._write_trained(last.network)
        machine = environment(threads=torch.get_num_threads(), device=str(self.device), execution=_execution(self.task))
        write_json(self.folder / "environment.json", machine)
        write_result(self.folder, result)
        if not (self.task.pauses and ended["state"] == "pruned"):
            (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def _about(self) -> dict[str, Any]:
        """Return what a result records of its training, apart from how it ended."""
        task = self.task
        return {
            "state": "running",
            **task.about,
            "network": self.spec.name,
            "recipe": self.recipe.name,
            **identity(task),
            "execution": _execution(task),
            "precision": pick_precision(self.recipe.precision, self.device),
            **costs_of(self.spec),
            "train_images": len(self.data.everything if task.everything else self.data.train),
            "val_images": 0 if task.everything else len(self.data.val),
        }

    def _write_trained(self, network: Network) -> dict[str, Any]:
        """Keep a trained network's weights; return the test set's figures and the measurements that the task wants."""
        task = self.task
        found: dict[str, Any] = {}
        about = About.of(self.spec, self.data, self.recipe, data_config(task.data), task.everything)
        save_weights(self.folder / WEIGHTS, network, about)
        write_classes(self.folder / CLASSES, self.data.classes)
        if task.test:
            found |= figures_on_test_set(self.folder, network, self.data, self.recipe, self.device)
        for name in task.measured:
            found |= MEASUREMENTS.get(name)(network, pick_precision(self.recipe.precision, self.device) == "bf16")
        return found


def costs_of(spec: Spec) -> dict[str, int]:
    """Return a network's parameters, multiply-adds and activations for its result, those of auxiliary heads apart."""
    costs = cost(spec)
    return {
        "params": costs.params,
        "aux_params": costs.aux_params,
        "macs": costs.macs,
        "aux_macs": costs.aux_macs,
        "activations": costs.activations,
    }


def write_failed(task: Task, reason: str) -> None:
    """Write the result of a training whose process died before it could."""
    about = {**task.about, **identity(task), **costs_of(from_mapping(task.spec))}
    write_result(Path(task.folder), {**about, "state": "failed", "reason": reason})


def _epochs_in(folder: Path) -> int:
    """Return how many epochs a training's record holds; 0 for a damaged one, as it is written again."""
    try:
        return len(read_lines(folder / "metrics.jsonl"))
    except Damaged:
        return 0


def identity(task: Task) -> dict[str, Any]:
    """Return what makes two trainings the same, whatever their names and folders."""
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
        "init": weights_checksum(task.init) if task.init else None,
    }


def _execution(task: Task) -> str:
    """Return which execution computes a task here."""
    device = pick_device(task.device)
    return runs_as(pick_execution(task.execution, device), device.type)


def in_words(result: Mapping[str, Any]) -> str:
    """Return in a few words how a training ended."""
    figures = ((key.replace("_", " "), result.get(key)) for key in ("val_accuracy", "test_accuracy"))
    shown = "".join(f", {name} {value:.4f}" for name, value in figures if value is not None)
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"{result['state']}{shown}{reason}"


def answered(task: Task) -> dict[str, Any] | None:
    """Return the result that a task's folder holds, or None where there is none yet.

    Damaged files are set aside, and the result with them, so that the task is trained again.

    Raises
    ------
    InputError
        The folder holds another training; names the differences.
    """
    path = Path(task.folder) / "result.json"
    for damage in mend_training(path.parent):
        warnings.warn(f"{damage}; it is trained again", stacklevel=2)
    if not path.exists():
        return None
    known: dict[str, Any] = read_json(path)
    own = identity(task)
    differences = list(differing({key: known.get(key) for key in own}, own))
    if differences:
        raise InputError(
            f"{task.folder}: holds another training ({'; '.join(differences)}); name a new folder with --run."
        )
    return known


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
