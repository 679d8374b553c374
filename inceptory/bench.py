"""The command that times a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arch.errors import InputError
from inceptory.app import TRAINING, app
from inceptory.options import (
    ClassesOption,
    DeviceOption,
    Format,
    FormatOption,
    InputOption,
    NetworkArgument,
    network_of,
)
from inceptory.printing import print_tables

if TYPE_CHECKING:
    from search.evaluation.bench import Bench


@app.command(rich_help_panel=TRAINING)
def bench(
    network: NetworkArgument,
    batch: Annotated[str, typer.Option(help="Time batches of these sizes.")] = "1,32,128",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Use so many CPU threads.")] = 1,
    train: Annotated[bool, typer.Option("--train", help="Time training steps too.")] = False,
    batches: Annotated[int, typer.Option(min=2, max=1_000_000, help="Time so many batches of each size.")] = 100,
    warm_up: Annotated[int, typer.Option(min=0, max=1_000_000, help="Run so many batches before them.")] = 10,
    recipe: Annotated[str, typer.Option(help="Train with the optimizer of this recipe.")] = "default",
    input: InputOption = None,
    classes: ClassesOption = None,
    device: DeviceOption = "auto",
    execution: Annotated[
        str, typer.Option(help="Compute the maps this way: auto, plain, fused (for CPUs) or compiled (for GPUs).")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="Compute in this precision: auto, fp32 or bf16.")] = "auto",
    format: FormatOption = Format.table,
) -> None:
    """Time a network's batches, forward and in training."""
    sizes = _sizes(batch)
    if precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"--precision is '{precision}', but it must be auto, fp32 or bf16.")
    from search.evaluation.bench import bench as timed
    from search.recipes.load import load_recipe

    how: dict[str, Any] = {"threads": threads, "device": device, "execution": execution, "precision": precision}
    spec, chosen = network_of(network, input, classes), load_recipe(recipe)
    found = timed(spec, sizes, train=train, repeats=batches, warm_up=warm_up, recipe=chosen, **how)
    if format is Format.json:
        print(json.dumps(found.record(), indent=2))
    else:
        print_tables([_table(found)], format)


def _sizes(text: str) -> list[int]:
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(sizes) < 1:
        raise InputError(f"--batch is '{text}', but it must be whole numbers from 1, as 1,32,128.")
    return sizes


def _table(found: Bench) -> Any:
    import pandas as pd

    from reports.tables.table import Table, decimals, integer

    rows = [
        {
            "mode": timing.mode,
            "batch": timing.batch,
            "mean (ms)": timing.mean_ms,
            "std (ms)": timing.std_ms,
            "img/s": timing.images_per_second,
            "GMACs/s": timing.macs_per_second / 1e9,
        }
        for timing in found.timings
    ]
    formats = {"mean (ms)": decimals(3), "std (ms)": decimals(3), "img/s": integer, "GMACs/s": decimals(2)}
    return Table("bench", f"Time of a batch of {found.network}", pd.DataFrame(rows), formats, tuple(_notes(found)))


def _notes(found: Bench) -> list[str]:
    """Return what was timed and on what, and by which convention a training step's MACs are counted."""
    from search.evaluation.bench import BACKWARD

    ran = found.environment
    notes = [
        f"{found.network}, {'x'.join(map(str, found.input))}; mean and standard deviation over "
        f"{found.timings[0].batches} batches after {found.warm_up} of warm-up; {ran['processor']}, {ran['device']}, "
        f"{ran['threads']} thread(s), {ran['precision']}, {ran['execution']}; torch {ran['versions']['torch']}, "
        f"Python {ran['python']}."
    ]
    if found.recipe:
        notes.append(
            f"Training: forward with all heads, loss, backward and the optimizer of recipe {found.recipe}; its MACs are "
            f"{BACKWARD} times those of its forward pass, by convention."
        )
    return notes
