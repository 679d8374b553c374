"""Confirmations of made-up accuracies, and a run that has one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

import reports
from reports.runs.run import Comparison, Run
from tests.support import RESULTS

SEEDS = [11, 12, 13, 14, 15, 16]
BASE = [0.70, 0.71, 0.69, 0.70, 0.72, 0.68]


def planned(name: str, score: float) -> dict[str, Any]:
    searched = {"trial": name, "val_accuracy": score, "epochs": 1, "train_images": 900, "macs": 1_000_000}
    return {"key": name, "searched": searched}


def confirmation(grown: list[dict[str, Any]] | None = None, **accuracies: list[float | str]) -> Comparison:
    """A confirmation whose test accuracies are these; a text is why a training failed, an empty one that it is missing."""
    rows = []
    for name, values in accuracies.items():
        for seed, value in zip(SEEDS, values, strict=False):
            row: dict[str, Any] = {"confirmed": name.replace("_", "-"), "seed": seed, "state": "complete"}
            if isinstance(value, str):
                row |= {"state": "failed", "reason": value} if value else {"state": "missing"}
            rows.append(row if isinstance(value, str) else row | {"test_accuracy": value})
    plan = {
        "seeds": SEEDS[: len(accuracies["base"])],
        "networks": {name.replace("_", "-"): planned(name, 0.60 if name == "base" else 0.66) for name in accuracies},
        "recipe": {"name": "default", "epochs": 3, "batch": 128},
        "data": {"name": "digits"},
        "train_images": 1000,
        "grown": grown or [],
    }
    return Comparison(plan, {"processor": "a processor", "cores": 2}, [{"commit": "abc"}], pd.DataFrame(rows))


def run_with(found: Comparison) -> Run:
    return replace(reports.load(RESULTS / "splits_cifar10"), confirmation=found)


def shifted(by: float) -> list[float]:
    return [value + by + noise for value, noise in zip(BASE, [0.001, -0.001, 0.002, 0.0, -0.002, 0.001], strict=True)]
