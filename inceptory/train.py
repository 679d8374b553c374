"""The command that trains one network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import arch
from inceptory.app import app
from inceptory.options import (
    ClassesOption,
    DownloadOption,
    InputOption,
    Progress,
    ProgressOption,
    SetOption,
    network_of,
    overrides,
)
from inceptory.printing import err, say, stopped


@app.command()
def train(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    data: Annotated[str, typer.Option(help="a data set, or a folder with train/ and test/")] = "cifar10",
    recipe: Annotated[str, typer.Option(help="a recipe's name or YAML file")] = "default",
    run: Annotated[
        Path | None, typer.Option(help="the run directory; by default runs/NETWORK-RECIPE-DATA-SEED")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set: SetOption = None,
    input: InputOption = None,
    classes: ClassesOption = None,
    everything: Annotated[bool, typer.Option("--everything", help="Train on the held-out images too.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Open the test set after the last epoch; recorded.")] = False,
    init: Annotated[
        Path | None,
        typer.Option(help="weights to begin with: .safetensors, .pt or .pth; heads for other classes start anew"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    execution: Annotated[
        str, typer.Option(help="auto, plain, fused (for CPUs) or compiled (for GPUs); how, never what, is computed")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=1024, help="CPU threads; 0 takes torch's default")] = 0,
    download: DownloadOption = False,
    progress: ProgressOption = Progress.auto,
) -> None:
    """Train one network; the same command goes on where it was stopped."""
    import torch

    from search.data.dataset import data_config, load_data
    from search.engines.single import train as train_task
    from search.engines.task import Task
    from search.progress import display
    from search.recipes.load import load_recipe
    from search.training.checks import check_fit
    from search.training.hardware import pick_device, pick_execution

    spec = network_of(network, input, classes)
    changes = overrides(set, ("recipe", "data"))
    chosen = load_recipe(recipe, changes["recipe"])
    config = data_config({"name": data} | changes["data"])
    pick_execution(execution, pick_device(device))
    if threads:
        torch.set_num_threads(threads)
    check_fit(spec, load_data(config, download=download), chosen)
    if init:
        from search.training.initial_weights import initial_weights

        for row, why in initial_weights(spec, init).skipped.items():
            err.print(f"{init}: head {row} is not taken ({why}); it starts anew", markup=False, highlight=False)
    folder = run or Path("runs") / f"{spec.name}-{chosen.name}-{Path(data).name}-{seed}"
    task = Task(
        str(folder),
        arch.to_mapping(spec),
        chosen.model_dump(),
        config.model_dump(),
        seed,
        everything,
        test,
        device,
        execution,
        init=str(init) if init else "",
    )
    result, caught = train_task(task, display(err, progress.value))
    if caught:
        stopped(caught)
    if result["state"] != "complete":
        raise RuntimeError(f"{folder}: {result['state']}: {result.get('reason', '')}")
    for key in ("val_accuracy", "test_accuracy"):
        if result.get(key) is not None:
            say(f"{key.replace('_', ' ')} {result[key]:.2%}")
    say(f"written to {folder}; `inceptory report {folder}` makes the page")
