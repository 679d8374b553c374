"""Pruning on rungs, for one objective or several: a candidate is compared with those of similar or lower cost.

Optuna's pruners need `Trial.report`, which refuses several objectives; and they compare a small network with
large ones, so that a front loses its cheap end. Here cost decides who is compared with whom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Rungs:
    """Successive halving (Jamieson and Talwalkar 2016; asynchronous: Li et al. 2020) among candidates of similar cost.

    After `first` epochs, and `factor` times as many each time, a candidate of cost c stands on a rung. Its peers
    are those that stood there before it at a cost within the factor `1 + similar` of c. It goes on while fewer
    than the part `keep` of them (and itself) are better; whoever is cheaper still and better counts as well,
    for such a one keeps it from the front. Fewer than `least` peers prune nobody.

    Everything follows from what was noted: who ended early is noted as far as it came, and takes part on the
    rungs that it reached.

    Attributes
    ----------
    first : epochs to the first rung.
    factor : how much further the next rung is.
    keep : the part of peers that goes on at each rung.
    similar : how much dearer or cheaper a peer may be; infinite: cost does not matter.
    least : peers that it takes to prune.
    """

    first: int = 2
    factor: float = 2.0
    keep: float = 0.5
    similar: float = 0.5
    least: int = 3
    _rungs: dict[int, dict[str, tuple[int, float]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.first < 1 or self.least < 1:
            raise ValueError("first and least must be at least 1")
        if self.factor <= 1:
            raise ValueError("factor must be above 1")
        if not 0 < self.keep < 1:
            raise ValueError("keep must be between 0 and 1")
        if self.similar < 0:
            raise ValueError("similar must not be negative")

    def is_rung(self, epoch: int) -> bool:
        """Return whether there is a rung after that epoch."""
        rung = float(self.first)
        while math.floor(rung) < epoch:
            rung = max(rung * self.factor, math.floor(rung) + 1)
        return math.floor(rung) == epoch

    def note(self, key: str, macs: int, epoch: int, loss: float) -> None:
        """Take note of a candidate after an epoch; less `loss` is better."""
        if self.is_rung(epoch):
            self._rungs.setdefault(epoch, {})[key] = (macs, loss)

    def prunes(self, key: str, epoch: int) -> bool:
        """Return whether a candidate that was noted after this epoch ends there."""
        if not self.is_rung(epoch):
            return False
        cost, loss = self._rungs[epoch][key]
        others = [entry for other, entry in self._rungs[epoch].items() if other != key]
        peers = sum(cost <= (1 + self.similar) * c and c <= (1 + self.similar) * cost for c, _ in others)
        better = sum(c <= (1 + self.similar) * cost and other < loss for c, other in others)
        return peers >= self.least and better >= self.keep * (peers + 1)
