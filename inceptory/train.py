"""The command that trains one network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import arch
from inceptory.app import TRAINING, app
from inceptory.options import (
    ClassesOption,
    DeviceOption,
    DownloadOption,
    InputOption,
    NetworkArgument,
    ProgressOption,
    ProgressStyle,
    SetOption,
    network_of,
    overrides,
)
from inceptory.printing import err, exit_stopped, say


@app.command(rich_help_panel=TRAINING)
def train(
    network: NetworkArgument,
    data: Annotated[
        str, typer.Option(help="Train on this data set, or on a folder with train/ and test/.")
    ] = "cifar10",
    recipe: Annotated[str, typer.Option(help="Train by this recipe, a name or a YAML file.")] = "default",
    run: Annotated[
        Path | None,
        typer.Option(help="Write into this run directory; without it runs/ NETWORK-RECIPE-DATA-SEED."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draw weights and batches with this seed.")] = 0,
    set: SetOption = None,
    input: InputOption = None,
    classes: ClassesOption = None,
    everything: Annotated[bool, typer.Option("--everything", help="Train on the held-out images too.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Open the test set after the last epoch; this is recorded.")
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from these weights (.safetensors, .pt or .pth). Heads for other classes start from random weights."
        ),
    ] = None,
    device: DeviceOption = "auto",
    execution: Annotated[
        str,
        typer.Option(
            help="Compute the maps this way: auto, plain, fused (for CPUs) or compiled (for GPUs). The results agree."
        ),
    ] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, max=1024, help="Use so many CPU threads; 0 takes torch's default.")
    ] = 0,
    download: DownloadOption = False,
    progress: ProgressOption = ProgressStyle.auto,
) -> None:
    """Train one network.

    The same command resumes a training that was stopped.
    """
    import torch

    from search.data.dataset import data_config, load_data
    from search.engines.single import train as train_task
    from search.engines.task import Task
    from search.progress import display
    from search.recipes.load import load_recipe
    from search.training.checks import check_fit
    from search.training.hardware import pick_device, pick_execution, torch_threads

    spec = network_of(network, input, classes)
    changes = overrides(set, ("recipe", "data"))
    chosen = load_recipe(recipe, changes["recipe"])
    config = data_config({"name": data} | changes["data"])
    pick_execution(execution, pick_device(device))  # refuses a wrong one before any work
    check_fit(spec, load_data(config, download=download), chosen)
    if init:
        _say_skipped_heads(spec, init)
    folder = run or Path("runs") / f"{spec.name}-{chosen.name}-{Path(data).name}-{seed}"
    task = Task(
        folder=str(folder),
        spec=arch.to_mapping(spec),
        recipe=chosen.model_dump(),
        data=config.model_dump(),
        seed=seed,
        everything=everything,
        test=test,
        device=device,
        execution=execution,
        init=str(init or ""),
    )
    with torch_threads(threads or torch.get_num_threads()):
        result, signal = train_task(task, display(err, progress.value))
    if signal:
        exit_stopped(signal)
    _say_result(folder, result)


def _say_skipped_heads(spec: arch.Spec, init: Path) -> None:
    from search.training.initial_weights import initial_weights

    for row, why in initial_weights(spec, init).skipped.items():
        text = f"{init}: head {row} is not used ({why}); it starts from random weights"
        err.print(text, markup=False, highlight=False)


def _say_result(folder: Path, result: Mapping[str, Any]) -> None:
    if result["state"] != "complete":
        raise RuntimeError(f"{folder}: {result['state']}: {result.get('reason', '')}")
    for key in ("val_accuracy", "test_accuracy"):
        if result.get(key) is not None:
            say(f"{key.replace('_', ' ')} {result[key]:.2%}")
    say(f"written to {folder}; `inceptory report {folder}` makes the page")
