"""Pruning on rungs, for one objective or several: a candidate is compared with those of similar cost."""

from __future__ import annotations


class Rungs:
    """placeholder."""

    def __init__(self, first: int = 1, factor: float = 2.0, similar: float = 0.25, keep: float = 0.5) -> None:
        self.seen: dict[int, dict[str, tuple[int, float]]] = {}
        self.first = first

    def note(self, key: str, macs: int, epoch: int, loss: float) -> None:
        self.seen.setdefault(epoch, {})[key] = (macs, loss)

    def prunes(self, key: str, epoch: int) -> bool:

        return False
