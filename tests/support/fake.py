"""A training that takes no time: its curve follows from the network, its folder is as a real one leaves it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import arch
import search
from search.engines.task import Task
from search.record.files import write_lines, write_text, write_yaml
from search.record.layout import write_result
from search.space.candidates import Candidate
from search.training.fit import Control, Epoch


class Killed(BaseException):
    """The driver is no more; nothing after this line of it ran."""


def curve(key: str, epochs: int) -> list[float]:
    """Accuracies that rise to something that only the candidate decides."""
    final = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32
    return [round(final * (epoch + 1) / epochs, 6) for epoch in range(epochs)]


def train(task: Task, control: Control) -> Iterator[Epoch]:
    folder, spec, recipe = Path(task.folder), arch.from_mapping(task.spec), search.load_recipe(task.recipe)
    write_text(folder / "spec.yaml", arch.to_yaml(spec))
    write_yaml(folder / "recipe.yaml", recipe.model_dump())
    costs = arch.cost(spec)
    result = {"state": "complete", **task.about, "macs": costs.macs, "params": costs.params, "spec_id": spec.id}
    rows = []
    try:
        for number, accuracy in enumerate(curve(Candidate(spec, recipe).key, recipe.epochs), 1):
            loss = 1 - accuracy
            epoch = Epoch(number, recipe.epochs, loss, accuracy, loss, accuracy, {}, 0.1, {}, 0.1, 100.0)
            rows.append(epoch.metrics())
            write_lines(folder / "metrics.jsonl", rows)
            yield epoch
    except GeneratorExit:
        if not control.prune:
            return
        result["state"] = "pruned"
    last = {key: rows[-1][key] for key in ("val_accuracy", "val_loss", "train_loss")}
    timed = {"latency": costs.macs / 1e9, "latency_batch": 64, "latency_threads": 1, "latency_device": "cpu"}
    result |= last | {"epochs": len(rows), "seconds": 0.1 * len(rows)} | (timed if "latency" in task.measured else {})
    write_text(folder / "weights.safetensors", "weights")
    write_result(folder, result)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training of this process take no time."""
    monkeypatch.setattr("search.engines.in_process.run", train)
