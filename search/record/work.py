"""How much training a run directory records: every epoch once, whoever continues or repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.record.files import read_json, read_lines
from search.record.layout import BASE, CONTINUED, PILOT


@dataclass(frozen=True)
class Work:
    """Epochs of training and the seconds that they took, each training on its own threads."""

    epochs: int = 0
    seconds: float = 0.0


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
