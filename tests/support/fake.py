"""A training that takes no time: its curve follows from the network, its folder is as a real one leaves it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import arch
import search
from search.engines.task import Task, identity
from search.record.files import write_lines, write_text, write_yaml
from search.record.layout import CHECKPOINT, write_result
from search.space.candidates import Candidate
from search.training.fit import Control, Epoch


class Killed(BaseException):
    """The driver is no more; nothing after this line of it ran."""


def curve(key: str, epochs: int, seed: int = 0) -> list[float]:
    """Accuracies that rise to something that the candidate decides; a seed other than 0 shifts it a little."""
    final = _drawn(key) + (0.02 * (_drawn(f"{key} {seed}") - 0.5) if seed else 0.0)
    return [round(final * (epoch + 1) / epochs, 6) for epoch in range(epochs)]


def _drawn(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def train(task: Task, control: Control) -> Iterator[Epoch]:
    folder, spec, recipe = Path(task.folder), arch.from_mapping(task.spec), search.load_recipe(task.recipe)
    write_text(folder / "spec.yaml", arch.to_yaml(spec))
    write_yaml(folder / "recipe.yaml", recipe.model_dump())
    costs = arch.cost(spec)
    result = {
        "state": "complete",
        **task.about,
        **identity(task),
        "macs": costs.macs,
        "params": costs.params,
        "spec_id": spec.id,
    }
    rows: list[dict[str, Any]] = []
    checkpoint = folder / CHECKPOINT
    before = int(checkpoint.read_text()) if checkpoint.exists() else 0
    try:
        for number, accuracy in enumerate(curve(Candidate(spec, recipe).key, recipe.epochs, task.seed), 1):
            loss = 1 - accuracy
            restored = number <= before
            epoch = Epoch(number, recipe.epochs, loss, accuracy, loss, accuracy, {}, 0.1, {}, 0.1, 100.0, restored)
            rows.append(epoch.metrics())
            write_text(checkpoint, str(max(number, before)))
            write_lines(folder / "metrics.jsonl", rows)
            yield epoch
    except GeneratorExit:
        if not control.prune:
            return
        result["state"] = "pruned"
    last = {key: rows[-1][key] for key in ("val_accuracy", "val_loss", "train_loss", "train_accuracy")}
    timed = {"latency": costs.macs / 1e9, "latency_batch": 64, "latency_threads": 1, "latency_device": "cpu"}
    result |= last | {"epochs": len(rows), "seconds": 0.1 * len(rows)} | (timed if "latency" in task.measured else {})
    write_text(folder / "weights.safetensors", "weights")
    write_result(folder, result)
    if not (task.pauses and result["state"] == "pruned"):
        checkpoint.unlink(missing_ok=True)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training of this process take no time."""
    monkeypatch.setattr("search.engines.in_process.run", train)
