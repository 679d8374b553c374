"""The command that evaluates trained weights, and its tables."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inceptory.app import TRAINING, app
from inceptory.options import DeviceOption, Format, FormatOption, InferenceOption, WeightsArgument
from inceptory.printing import print_tables

if TYPE_CHECKING:
    from search.evaluation.evaluate import Evaluation

_LARGEST_MATRIX = 20  # classes up to which all of the confusion matrix is printed


class Images(StrEnum):
    """Which images weights are evaluated on."""

    val = "val"
    test = "test"


@app.command(rich_help_panel=TRAINING)
def evaluate(
    weights: WeightsArgument,
    data: Annotated[
        str | None, typer.Option(help="Use another data set or folder than the weights were trained on.")
    ] = None,
    split: Annotated[
        Images, typer.Option(help="Use the held-out images (val), or open the test set, which is recorded.")
    ] = Images.val,
    device: DeviceOption = "auto",
    execution: InferenceOption = "auto",
    format: FormatOption = Format.table,
) -> None:
    """Evaluate trained weights: accuracy, confusion, calibration."""
    from search.evaluation.evaluate import evaluate as evaluated

    found = evaluated(weights, data, split.value, device=device, execution=execution)
    if format is Format.json:
        print(json.dumps(found.record(), indent=2))
    else:
        print_tables(
            [_summary_table(found), _calibration_table(found), _confusion_table(found), _class_table(found)], format
        )


def _summary_table(found: Evaluation) -> Any:
    import pandas as pd

    from reports.tables.table import Table, decimals, integer, percent

    row = {
        "network": found.network,
        "data": found.data,
        "split": found.split,
        "images": found.images,
        "top-1": found.accuracy,
        **({} if found.top5_accuracy is None else {"top-5": found.top5_accuracy}),
        **{f"aux {name}": accuracy for name, accuracy in found.heads.items()},
        "loss": found.loss,
        "calibration error": found.calibration_error,
    }
    formats = {"images": integer, "loss": decimals(4)}
    formats |= {key: percent for key in row if key.startswith(("top-", "aux ", "calibration"))}
    return Table("evaluation", "Evaluation", pd.DataFrame([row]), formats, tuple(_notes(found)))


def _notes(found: Evaluation) -> list[str]:
    """Return what was evaluated and where it ran, and what a reader must know of the figures."""
    ran = found.environment
    images = f"{found.images:,} images of {found.data}, {'held out' if found.split == 'val' else 'the test set'}"
    notes = [
        f"Accuracies in %. {images}; {found.network}, recipe {found.recipe}, one training; {ran['processor']}, "
        f"{ran['device']}, {ran['precision']}, {ran['execution']}.",
        f"Calibration error: |accuracy - confidence| over {len(found.bins)} even bins of confidence, weighted by their "
        "images (Guo et al. 2017, arXiv 1706.04599).",
    ]
    if found.split == "test":
        notes.append(f"The test set was opened; {Path(found.weights).parent / 'test_openings.jsonl'} says so.")
    if found.top5_accuracy is not None and len(found.classes) <= 20:
        notes.append(f"Guessing reaches {5 / len(found.classes):.0%} of top-5.")
    if not found.train_images_known:
        notes.append("These weights do not say what they were trained on: some of these images may be among it.")
    return notes


def _calibration_table(found: Evaluation) -> Any:
    import pandas as pd

    from reports.tables.table import Table, decimals, integer, percent

    bins = pd.DataFrame(found.bins)
    formats = {"lower": decimals(3), "upper": decimals(3)}
    formats |= {"images": integer, "accuracy": percent, "confidence": percent}
    return Table("calibration", "Confidence and accuracy", bins[bins["images"] > 0], formats)


def _class_table(found: Evaluation) -> Any:
    import pandas as pd

    from reports.tables.table import Table, integer, percent

    formats = {"images": integer, "accuracy": percent, "precision": percent}
    return Table("classes", "By class", pd.DataFrame(found.classes), formats)


def _confusion_table(found: Evaluation) -> Any:
    """Return the confusion matrix, or with many classes its most frequent pairs."""
    import pandas as pd

    from reports.tables.table import Table

    names = [row["class"] for row in found.classes]
    if len(names) <= _LARGEST_MATRIX:
        frame = pd.DataFrame(found.confusion, columns=names)
        frame.insert(0, "true class", names)
        return Table("confusion", "Confusion: images of each class by the class they were given", frame)
    pairs = [
        {"true class": names[i], "given class": names[j], "images": count}
        for i, row in enumerate(found.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    frame = pd.DataFrame(pairs, columns=["true class", "given class", "images"])
    frame = frame.sort_values("images", ascending=False, kind="stable").head(_LARGEST_MATRIX)
    return Table("confusion", f"The {len(frame)} most frequent confusions", frame)
