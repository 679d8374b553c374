"""Ablations of made-up accuracies."""

from __future__ import annotations

from typing import Any

import pandas as pd

import arch
from arch.specs.write import to_mapping
from reports.runs.run import Comparison, Run
from tests.support import MICRO

_NOISE = [0.0, 0.01, -0.01, 0.005, -0.005, 0.002]


def run_of(levels: dict[str, dict[str, str]], factors: dict[str, Any], repeats: int = 1, **shifts: float | None) -> Run:
    """An ablation whose changes shift the base's accuracies by so much, with a little noise; None: never finished.

    Each change has 6 seeds, `repeats` times as many.
    """
    rows, spec = [], to_mapping(arch.load(MICRO))
    seeds = list(range(1, 6 * repeats + 1))
    for index, (name, shift) in enumerate({"base": 0.0, **shifts}.items()):
        for seed, noise in zip(seeds, _NOISE * repeats, strict=True):
            row: dict[str, Any] = {"change": name, "seed": seed, "state": "missing"}
            if shift is not None:
                row |= {"state": "complete", "test_accuracy": 0.5 + noise + shift + 1e-4 * ((seed * (index + 3)) % 5)}
            rows.append(row)
    networks = {name: {"key": name, "about": "", "spec": spec} for name in ("base", *shifts)}
    for name, given in levels.items():
        networks[name]["levels"] = given
    plan = {
        "seeds": seeds,
        "networks": networks,
        "recipe": {"name": "default", "epochs": 1, "batch": 128},
        "data": {"name": "digits"},
        "train_images": 1000,
        "test": True,
        "grown": [],
    }
    found = Comparison(plan, {}, [], pd.DataFrame(rows), "change")
    config = {"name": "made-up", "question": "Does it help?", "factors": factors}
    return Run(MICRO.parent, "ablation", "made-up", config, {}, [], {}, found.runs, pd.DataFrame(), {}, ablation=found)
