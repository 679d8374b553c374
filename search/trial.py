"""One training and its folder: what a study's trial, a single `train` and every later run are made of."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from arch.cost import cost
from arch.errors import InputError
from arch.spec import from_mapping, to_yaml
from search.checkpoint import save_weights
from search.data import DataConfig, load_data
from search.hardware import pick_device, pick_precision
from search.interrupt import caught
from search.progress import Silent
from search.recipe import load_recipe
from search.record import differing, environment, read_json, write_json, write_lines, write_text, write_yaml
from search.training import Control, Diverged, Epoch, Judged, Stopped, fit, judge


@dataclass(frozen=True)
class Task:
    """Everything that a training needs, as plain data that can be sent to another process.

    `test` opens the test set after the last epoch. `about` goes into the result as it is.
    """

    folder: str
    spec: Mapping[str, Any]
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    seed: int = 0
    everything: bool = False
    test: bool = False
    device: str = "auto"
    about: Mapping[str, Any] = field(default_factory=dict)


_loaded = lru_cache(maxsize=1)(load_data)  # a worker's next trial is nearly always on the same images


def run(task: Task, control: Control | None = None) -> Iterator[Epoch]:
    """Train in the task's folder and yield each epoch; the folder holds everything at any moment.

    A loop left early (`close`) ends the trial as pruned. Called again on the same folder, it goes on
    from the checkpoint.

    Raises
    ------
    Stopped
        `control` asked to stop; the checkpoint is written.
    """
    folder = Path(task.folder)
    spec, recipe, data_config = (
        from_mapping(task.spec, "spec of the trial"),
        load_recipe(task.recipe),
        DataConfig(**task.data),
    )
    write_text(folder / "spec.yaml", to_yaml(spec))
    write_yaml(folder / "recipe.yaml", recipe.model_dump())
    costs = cost(spec)
    result: dict[str, Any] = {
        "state": "running",
        **task.about,
        "network": spec.name,
        "spec_id": spec.id,
        "recipe": recipe.name,
        "recipe_id": recipe.id,
        "data": data_config.name,
        "seed": task.seed,
        "params": costs.params,
        "aux_params": costs.aux_params,
        "macs": costs.macs,
        "aux_macs": costs.aux_macs,
    }
    rows: list[dict[str, Any]] = []
    last: Epoch | None = None
    try:
        data = _loaded(data_config)
        result |= {"train_images": len(data.everything if task.everything else data.train), "val_images": len(data.val)}
        epochs = fit(
            spec,
            data,
            recipe,
            seed=task.seed,
            on="everything" if task.everything else "train",
            device=task.device,
            checkpoint=folder / "checkpoint.pt",
            control=control,
        )
        for last in epochs:
            rows.append(last.metrics())
            write_lines(folder / "metrics.jsonl", rows)
            yield last
        if task.test and last and last.network:
            part = data.open_test(folder / "test_openings.jsonl", f"{spec.name} after its last epoch, {last.epoch}")
            device = pick_device(task.device)
            judged = judge(last.network, data, part, recipe, pick_precision(recipe.precision, device) == "bf16")
            result |= _test_figures(judged, part.labels, data.classes)
        result["state"] = "complete"
    except GeneratorExit:
        result["state"] = "pruned"
    except Diverged as error:
        result |= {"state": "failed", "reason": f"diverged: {error}"}
    except Stopped:
        raise
    except InputError as error:
        result |= {"state": "failed", "reason": str(error)}
    except (RuntimeError, MemoryError) as error:
        result |= {"state": "failed", "reason": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    if last:
        result |= _last_figures(rows)
        if last.network and result["state"] == "complete":
            about = {
                "classes": data.classes,
                "recipe": recipe.model_dump(),
                "mean": data.mean.tolist(),
                "std": data.std.tolist(),
            }
            save_weights(folder / "weights.safetensors", last.network, about)
    write_json(
        folder / "environment.json", environment(threads=torch.get_num_threads(), device=str(pick_device(task.device)))
    )
    write_json(folder / "result.json", result)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def train(task: Task, show: Silent) -> tuple[dict[str, Any], int]:
    """Run a task to its end with progress shown; return its result, and the signal that stopped it or 0.

    A folder that holds a finished training of the same task is answered from its record; one of
    another is refused.
    """
    folder, reins = Path(task.folder), _Shown(show)
    if (folder / "result.json").exists():
        known = read_json(folder / "result.json")
        ids = {
            "spec_id": from_mapping(task.spec).id,
            "recipe_id": load_recipe(task.recipe).id,
            "seed": task.seed,
            "data": task.data["name"],
        }
        differences = list(differing({key: known.get(key) for key in ids}, ids))
        if differences:
            raise InputError(
                f"{folder}: holds another training ({'; '.join(differences)}); name a new folder with --run."
            )
        if known["state"] == "complete" and ("test_accuracy" in known or not task.test):
            return known, 0
    show.begin(folder.name, 1, 0)
    show.started(reins.key, int(task.recipe["epochs"]))
    try:
        with caught(reins.catch):
            for epoch in run(task, reins):
                show.epoch(reins.key, epoch.metrics())
    except Stopped:
        return {"state": "stopped"}, reins.signal
    finally:
        show.close()
    return read_json(folder / "result.json"), 0


class _Shown(Control):
    """Shows each step, and stops at the first signal."""

    key = "training"

    def __init__(self, show: Silent) -> None:
        super().__init__()
        self.show, self.signal = show, 0

    def catch(self, number: int) -> None:
        self.signal, self.stop = number, True

    def tick(self, epoch: int, step: int, steps: int) -> bool:
        self.show.step(self.key, epoch, step, steps)
        return not self.stop


def _last_figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    last = rows[-1]
    speeds = sorted(row["images_per_second"] for row in rows)
    return {
        "epochs": last["epoch"],
        "val_accuracy": last["val_accuracy"],
        "val_loss": last["val_loss"],
        "val_aux_accuracy": last["val_aux_accuracy"],
        "train_loss": last["train_loss"],
        "train_accuracy": last["train_accuracy"],
        "seconds": sum(row["seconds"] for row in rows),
        "images_per_second": speeds[len(speeds) // 2],
    }


def _test_figures(judged: Judged, labels: torch.Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    right = judged.predictions == labels
    return {
        "test_accuracy": judged.accuracy,
        "test_loss": judged.loss,
        "test_aux_accuracy": judged.aux_accuracy,
        "test_class_accuracy": {
            name: float(right[labels == index].float().mean()) for index, name in enumerate(classes)
        },
    }
