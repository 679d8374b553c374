"""Pruning on rungs, for one objective or several: a candidate is compared with those of similar or lower cost.

Optuna's pruners need `Trial.report`, which refuses several objectives; and they compare small networks with
large ones, so that a front loses its cheap end. Here a candidate's cost decides which others it is compared with.
"""

from __future__ import annotations

import math

BY = ("train_accuracy", "objective")


class Rungs:
    """Successive halving (Jamieson and Talwalkar 2016; asynchronous: Li et al. 2020) that knows of costs.

    A rung comes after `first` epochs, and each next one `factor` times as far. A candidate of cost c ends on a
    rung where others that stood there, at a cost of at most c times `1 + similar`, are better: at least `better`
    of them, and at least the part `keep` of its peers (those within the factor `1 + similar` of c, and itself).
    So a candidate that is among the best at its cost continues, however good dearer ones are: these make a front.

    Every decision follows from the recorded epochs. A candidate that ended early counts on the rungs that it
    reached.

    Parameters
    ----------
    first : epochs to the first rung.
    factor : how much further the next rung is.
    better : this many better ones it takes at least.
    keep : and this part of the peers.
    similar : by how much a peer may be dearer; infinite: cost does not matter.
    by : what is compared. The accuracy on the training images, averaged over the epoch, says more than the
        held-out one while the learning rate is high, and is not comparable where augmentation is searched;
        `objective` compares the first objective.
    """

    def __init__(
        self,
        first: int = 1,
        factor: float = 2.0,
        better: int = 2,
        keep: float = 0.25,
        similar: float = 0.1,
        by: str = "train_accuracy",
    ) -> None:
        if first < 1 or better < 1:
            raise ValueError("first and better must be at least 1")
        if factor <= 1:
            raise ValueError("factor must be above 1")
        if not 0 <= keep < 1:
            raise ValueError("keep must be at least 0 and below 1")
        if similar < 0:
            raise ValueError("similar must not be negative")
        if by not in BY:
            raise ValueError(f"by must be one of {', '.join(BY)}")
        self.first, self.factor, self.better = first, factor, better
        self.keep, self.similar, self.by = keep, similar, by
        self._noted: dict[int, dict[str, tuple[int, float]]] = {}  # by rung: cost and loss of each candidate

    def is_rung(self, epoch: int) -> bool:
        """Return whether there is a rung after that epoch."""
        rung = self.first
        while rung < epoch:
            rung = max(math.floor(rung * self.factor), rung + 1)
        return rung == epoch

    def note(self, key: str, macs: int, epoch: int, loss: float) -> None:
        """Record a candidate after an epoch; less `loss` is better."""
        if self.is_rung(epoch):
            self._noted.setdefault(epoch, {})[key] = (macs, loss)

    def prunes(self, key: str, epoch: int) -> bool:
        """Return whether a candidate that was recorded after this epoch ends there."""
        if not self.is_rung(epoch):
            return False
        cost, loss = self._noted[epoch][key]
        within = 1 + self.similar
        comparable = [(c, other) for c, other in self._noted[epoch].values() if c <= cost * within]
        better = sum(other < loss for _, other in comparable)
        peers = sum(cost <= c * within for c, _ in comparable)
        return better >= max(self.better, self.keep * peers)
