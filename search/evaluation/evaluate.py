"""Evaluate trained weights on a data set: accuracy, by class, confusion, calibration, each auxiliary head."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from arch.errors import InputError
from arch.modules.fused.fused import runs_as
from arch.modules.plain import Execution
from search.data.dataset import Data, DataConfig, data_config, load_data
from search.evaluation.test_set import judge_test
from search.record.environment import environment
from search.record.files import read_json, write_json
from search.record.predictions import (
    Predictions,
    calibration_error,
    class_figures,
    confusion,
    reliability,
    top_accuracy,
)
from search.training.checks import check_input
from search.training.hardware import pick_device, pick_execution, pick_precision
from search.training.judge import Judged, predictions_of
from search.training.weights import Weights, read_weights

JudgedPart = Literal["val", "test"]
TOP = 5
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """The figures of some weights on one part of a data set, as plain data. Accuracies are fractions.

    `top5_accuracy` is None with 5 classes or fewer, where it says nothing; guessing reaches 5 / classes.
    `confusion` counts the images of each class (rows) by the class they were given (columns). `heads` are the
    auxiliary heads' accuracies by row. `calibration_error` is the expected calibration error over the `bins` of
    confidence (Guo et al. 2017, arXiv 1706.04599). `train_images_known` says whether the weights record what they
    were trained on.
    """

    weights: str
    network: str
    recipe: str
    data: str
    split: str
    images: int
    accuracy: float
    top5_accuracy: float | None
    loss: float
    calibration_error: float
    heads: dict[str, float]
    classes: list[dict[str, Any]]
    confusion: list[list[int]]
    bins: list[dict[str, Any]]
    environment: dict[str, Any]
    train_images_known: bool = True

    def record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Request:
    """Weights and the data to judge them on; `own` says that they were trained on that data set."""

    weights: Weights
    data: Data
    own: bool
    known: bool


def evaluate(
    run_or_weights: str | Path,
    data: str | None = None,
    split: JudgedPart = "val",
    *,
    device: str = "auto",
    execution: str = "auto",
) -> Evaluation:
    """Judge the weights in a file, or in the folder of a training, on the images that they were not trained on.

    Images, normalisation and precision are those of the training, as the weights record them. Given a training's
    folder and its own data set, the figures are written to `evaluation.json` there.

    Parameters
    ----------
    data : another data set's name or folder; by default the one that was trained on.
    split : `val`, the held-out part, the same images as in the training; `test` opens the test set, which leaves a
        record in `test_openings.jsonl` and the predictions in `predictions.npz`, next to the weights.

    Raises
    ------
    InputError
        The weights cannot be read, the data is not for them, or the held-out images were trained on.
    """
    if split not in ("val", "test"):
        raise InputError(f"split is '{split}', but images to judge by are those of val or of test.")
    request = _request(read_weights(run_or_weights), data)
    if split == "val":
        _check_held_out(request)
    where = pick_device(device)
    how: Execution = "fused" if pick_execution(execution, where) == "fused" else "plain"
    network, recipe = request.weights.network(where, how), request.weights.about.recipe
    folder = request.weights.path.parent
    if split == "test":
        judged, found = judge_test(folder, network, request.data, recipe, where, "by evaluate", keep=request.own)
    else:
        bf16 = pick_precision(recipe.precision, where) == "bf16"
        judged, found = predictions_of(network, request.data, request.data.val.on(where), recipe, bf16)
    about = environment(
        threads=torch.get_num_threads(),
        device=str(where),
        execution=runs_as(how, where.type),
        precision=pick_precision(recipe.precision, where),
    )
    result = _figures(request, split, judged, found, about)
    if request.own and Path(run_or_weights).is_dir():
        write_json(folder / EVALUATION, result.record())
    return result


def _request(weights: Weights, name: str | None) -> _Request:
    """Return the data set to judge weights on, as their training divided and normalised it."""
    about, trained_on = weights.about, _trained_on(weights)
    if name is None and trained_on is None:
        raise InputError(f"{weights.path}: does not say which images it was trained on; name a data set with --data.")
    config = trained_on if trained_on and name in (None, trained_on.name) else DataConfig(name=str(name))
    data = load_data(config)
    own = data.fingerprint == about.fingerprint if about.fingerprint else config is trained_on
    if config is trained_on and not own:
        raise InputError(
            f"data {config.name}: its training images are not those that {weights.path} was trained on (changed since "
            "then?), so nothing says which were held out; restore them, or evaluate a data set of another name."
        )
    if data.classes != about.classes:
        raise InputError(
            f"data {config.name} has the classes {_named(data.classes)}, but {weights.path} tells "
            f"{_named(about.classes)} apart; name a data set of the same classes."
        )
    data = replace(data, mean=torch.tensor(about.mean), std=torch.tensor(about.std))  # as in the training
    check_input(weights.spec, data, about.recipe)
    return _Request(weights, data, own, trained_on is not None)


def _trained_on(weights: Weights) -> DataConfig | None:
    """Return the data that weights say they were trained on, or that the training's result next to them says."""
    record = weights.path.parent / "result.json"
    if weights.about.data or not record.is_file():
        return weights.about.data
    known = read_json(record)
    if known.get("spec_id") != weights.spec.id or "data" not in known:
        return None
    keys = ("val_fraction", "split_seed", "train_fraction")
    return data_config({"name": known["data"]} | {key: known[key] for key in keys if key in known})


def _check_held_out(request: _Request) -> None:
    """Raise InputError where the held-out images are known to be among those trained on."""
    about, path = request.weights.about, request.weights.path
    everything = about.everything
    if everything is None and (path.parent / "result.json").is_file():
        everything = read_json(path.parent / "result.json").get("everything")
    if request.own and everything:
        raise InputError(
            f"{path}: was trained on everything, the held-out images too, so they cannot judge it; "
            "use --split test, which is recorded, or other images with --data."
        )
    if request.own and about.split and request.data.split != about.split:
        raise InputError(
            f"data {request.data.name}: its held-out part ({request.data.split}) is not that of the training "
            f"({about.split}); restore it, or use --split test."
        )


def _figures(request: _Request, split: str, judged: Judged, found: Predictions, about: dict[str, Any]) -> Evaluation:
    bins = reliability(found)
    return Evaluation(
        weights=str(request.weights.path),
        network=request.weights.spec.name,
        recipe=request.weights.about.recipe.name,
        data=request.data.name,
        split=split,
        images=len(found.labels),
        accuracy=judged.accuracy,
        top5_accuracy=top_accuracy(found, TOP) if len(found.classes) > TOP else None,
        loss=judged.loss,
        calibration_error=calibration_error(bins),
        heads=judged.aux_accuracy,
        classes=class_figures(found),
        confusion=confusion(found).tolist(),
        bins=bins,
        environment=about,
        train_images_known=request.known,
    )


def _named(classes: tuple[str, ...]) -> str:
    return f"{', '.join(classes[:4])}{f' and {len(classes) - 4} more' if len(classes) > 4 else ''}"
