"""Trainings of a small network on the digits: as a task, and as lines that say what came out.

python -m tests.support.trainings CHECKPOINT    # prints the lines
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

import arch
import search
from search.engines.task import Task
from tests.support import MICRO

RECIPE = {"epochs": 2, "batch": 128, "precision": "fp32"}


def task(folder: Path, spec: arch.Spec, **changes: object) -> Task:
    return Task(
        **{"folder": str(folder), "spec": arch.to_mapping(spec), "recipe": RECIPE, "data": {"name": "digits"}} | changes
    )


def digest(network: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in network.state_dict().values())).hexdigest()


def lines(checkpoint: Path) -> Iterator[str]:
    """Each epoch's figures, and what the weights are at the end."""
    recipe = search.load_recipe("default", {"epochs": 4, "batch": 32, "precision": "fp32"})
    for epoch in search.fit(arch.load(MICRO), search.load_data("digits"), recipe, seed=9, checkpoint=checkpoint):
        yield f"{epoch.epoch} {epoch.train_loss} {epoch.val_loss} {epoch.val_accuracy}"
    yield digest(epoch.network)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in lines(Path(sys.argv[1])):
        print(line, flush=True)
