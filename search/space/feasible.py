"""Which candidates may be trained: those within the limit on MACs, and with widths that could be solved."""

from __future__ import annotations

from dataclasses import dataclass

from search.space.candidates import Candidate


@dataclass(frozen=True)
class Limit:
    """The limit on a network's multiply-adds without auxiliary heads; 0: none."""

    max_macs: int

    def over(self, macs: int) -> float:
        """Return by what part of the limit so many multiply-adds are over it; 0 or less is feasible."""
        return macs / self.max_macs - 1 if self.max_macs else 0.0

    def why_not(self, candidate: Candidate) -> str:
        """Return why a candidate must not be trained; empty where it may be."""
        if self.over(candidate.macs) > 0:
            return f"{candidate.macs:,} MACs are over {self.max_macs:,}"
        return candidate.infeasible

    def constraints(self, candidate: Candidate) -> dict[str, float]:
        """Return Optuna's constraints by name: each is positive where it is violated."""
        over = self.over(candidate.macs)
        found = {"macs": over} if self.max_macs else {}
        return found | ({"space": candidate.violation} if candidate.infeasible and over <= 0 else {})
