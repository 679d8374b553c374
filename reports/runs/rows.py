"""From the folder of one training to rows of frames."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from arch.specs.read import load as load_spec
from reports.runs.splits import splits
from search.record.files import read_json, read_lines, read_yaml
from search.record.layout import CONTINUED

OTHER_TRIALS = ("duplicate_of", "replicate_of", "continues")  # columns that hold the name of another training
_NESTED = ("searched", "val_aux_accuracy", "test_aux_accuracy", "test_class_accuracy", "proxies", "surrogate")


def trial_row(name: str, folder: Path) -> dict[str, Any]:
    """Return a training's result as a row: nested values by dotted names, the median speed, weights, splits."""
    result = read_json(folder / "result.json")
    row = {key: value for key, value in result.items() if key not in (*_NESTED, "traceback")}
    for key in _NESTED:
        row |= {f"{key}.{part}": value for part, value in (result.get(key) or {}).items()}
    row["trial"] = name
    speeds = [epoch["images_per_second"] for epoch in read_lines(folder / "metrics.jsonl")]
    if speeds:
        row["images_per_second"] = statistics.median(speeds)
    row |= {key: str(result[key]) for key in OTHER_TRIALS if key in result}
    weight = read_yaml(folder / "recipe.yaml").get("aux_weight") if (folder / "recipe.yaml").exists() else None
    spec = load_spec(folder / "spec.yaml") if (folder / "spec.yaml").exists() else None
    if spec:
        weights = weight if isinstance(weight, dict) else dict.fromkeys(spec.aux_rows, weight)
        row |= {f"aux_weight.{head}": value for head, value in weights.items()}
        row |= {f"row.{name}": split for name, split in splits(spec).items()}
    return row


def trial_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows of trainings as a frame that has the columns of every run, those first."""
    first = ["trial", "state", "val_accuracy", "val_loss", "duplicate_of", "reason"]
    frame = pd.DataFrame(rows)
    for column in first:
        if column not in frame:
            frame[column] = None
    return frame[[*first, *(column for column in frame if column not in first)]]


def epoch_rows(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a training's epochs as rows, nested values by dotted names.

    `trained_in` names the training that did an epoch, where this one continues or takes over that one.
    """
    before = read_json(folder / CONTINUED) if (folder / CONTINUED).exists() else {"epochs": 0}
    for index, metrics in enumerate(read_lines(folder / "metrics.jsonl")):
        row: dict[str, Any] = {"trial": name} | (
            {"trained_in": str(before["trial"])} if index < before["epochs"] else {}
        )
        for key, value in metrics.items():
            row |= {f"{key}.{part}": v for part, v in value.items()} if isinstance(value, dict) else {key: value}
        yield row
