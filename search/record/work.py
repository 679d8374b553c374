"""How much training a run directory records: every epoch once, whoever continues or repeats it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from search.record.files import read_json, read_lines
from search.record.layout import BASE, CONTINUED, PILOT


@dataclass(frozen=True)
class Work:
    """Epochs of training and the seconds that they took, each training on its own threads."""

    epochs: int = 0
    seconds: float = 0.0


class Spent(NamedTuple):
    """The work that is done of a budget, in its unit: epochs or core-minutes."""

    done: int
    total: int
    unit: str

    def __str__(self) -> str:
        return f"{self.done:,} of {self.total:,} {self.unit}"


def spent(work: Work, budget: Mapping[str, float], threads: int) -> Spent:
    """Return how much of a study's budget (`epochs` or `core_hours`) is done, each training on so many threads."""
    if epochs := budget.get("epochs"):
        return Spent(work.epochs, int(epochs), "epochs")
    return Spent(round(work.seconds * threads / 60), round(budget["core_hours"] * 60), "core-minutes")


def work_of(run: Path) -> Work:
    """Return the training that a study's folders record: of its base, its trials and its pilot."""
    seconds = [epoch for folder in _trainings(run) for epoch in _own_epochs(folder)]
    return Work(len(seconds), sum(seconds))


def _trainings(run: Path) -> Iterator[Path]:
    yield from (path.parent for path in run.glob(f"{BASE}*/metrics.jsonl"))
    yield from (path.parent for path in (run / "trials").glob("[0-9]*/metrics.jsonl"))
    yield from (path.parent for path in (run / PILOT).glob("*/*/metrics.jsonl"))


def _own_epochs(folder: Path) -> list[float]:
    """Return the seconds of each epoch that was trained in this folder, not in that of a paused training."""
    path = folder / CONTINUED
    before = read_json(path, "epochs")["epochs"] if path.exists() else 0
    return [metrics["seconds"] for metrics in read_lines(folder / "metrics.jsonl")[before:]]
