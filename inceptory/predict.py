"""The command that classifies images with trained weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from inceptory.app import TRAINING, app
from inceptory.options import DeviceOption, Format, FormatOption, InferenceOption, WeightsArgument
from inceptory.printing import err, print_rows


@app.command(rich_help_panel=TRAINING)
def predict(
    weights: WeightsArgument,
    images: Annotated[list[str] | None, typer.Argument(help="Image files, and folders of them.")] = None,
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="Fetch an image from this http(s) address; may be repeated."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Name so many classes for each image.")] = 5,
    classes_file: Annotated[
        Path | None,
        typer.Option("--classes-file", help="Take the classes' names from this class_indices.json."),
    ] = None,
    device: DeviceOption = "auto",
    execution: InferenceOption = "auto",
    format: FormatOption = Format.table,
) -> None:
    """Name the most probable classes of images.

    The exit code is 1 if an image cannot be read; the others are classified.
    """
    from search.evaluation.predict import predict as predictions

    how: dict[str, Any] = {"classes_file": classes_file, "device": device, "execution": execution}
    found = predictions(weights, images or [], urls=url or [], top=top, **how)
    rows = [
        {"image": prediction.image, "rank": rank, "class": name, "probability": value}
        for prediction in found
        for rank, (name, value) in enumerate(prediction.top, 1)
    ]
    if format is Format.json:
        print(json.dumps([prediction.record() for prediction in found], indent=2))
    elif rows:
        print_rows(rows, format, name="predictions")
    errors = [prediction.error for prediction in found if prediction.error]
    for error in errors:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
    if errors:
        raise typer.Exit(1)
