"""When a study stops: at its total, at the end of its space, with nothing feasible, or after failures in a row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from search.study.config import StudyConfig

EndReason = Literal["complete", "space exhausted", "nothing feasible", "hopeless", "failing", "interrupted"]
_MOST_INFEASIBLE = 500  # infeasible proposals in a row, after which a study stops


@dataclass
class StopRules:
    """Counts what ends a study.

    Attributes
    ----------
    candidates : the keys of all candidates that may be trained, where the space can be enumerated.
    infeasible : how many of the last proposals may not be trained.
    failures : how many of the last trainings failed for the same reason; `failure` is the last one's.
    """

    config: StudyConfig
    candidates: set[str] | None
    infeasible: int = 0
    failures: int = 0
    failure: str = ""

    def proposed(self, feasible: bool) -> None:
        """Count a proposal."""
        self.infeasible = 0 if feasible else self.infeasible + 1

    def trained(self, failure: str) -> None:
        """Count a finished training; `failure` is why it failed, empty where it did not."""
        alike = failure and _kind(failure) == _kind(self.failure)
        self.failures = self.failures + 1 if alike else int(bool(failure))
        self.failure = failure

    def why(self, missing: float, tried: set[str], hopeless: bool = False) -> EndReason | None:
        """Return why no other trial is proposed, or None where one is.

        Parameters
        ----------
        missing : how many trials are still to be proposed.
        tried : the keys of the candidates that some trial has.
        hopeless : a race finds nothing.
        """
        if missing <= 0:
            return "complete"
        if hopeless:
            return "hopeless"
        if self.candidates == set() or self.infeasible >= _MOST_INFEASIBLE:
            return "nothing feasible"
        if 0 < self.config.most_failures_in_a_row <= self.failures:
            return "failing"
        if self.candidates is not None and self.candidates <= tried:
            return "space exhausted"
        return None

    def sentence(self, ended: EndReason) -> str:
        """Return why a study ended before its total, and what to do; empty where it did not."""
        if ended == "space exhausted":
            return f"the space holds {len(self.candidates or ())} candidates within the limit; all have been tried"
        if ended == "hopeless" and self.config.race and (stop := self.config.race.stop):
            return (
                f"no candidate gains more than {stop.gain:g} points with a chance of {stop.chance:.0%}: the race ends, as "
                "race.stop says; change the space, train longer, or remove race.stop to spend the rest of the budget"
            )
        if ended == "nothing feasible":
            every = "every candidate is" if self.candidates == set() else f"{_MOST_INFEASIBLE} proposals in a row were"
            limit = f"max_macs {self.config.max_macs:,}" if self.config.max_macs else "space.limits"
            return f"{every} over {limit} or out of reach; raise it or change the space"
        if ended == "failing":
            return (
                f"{self.failures} trainings in a row failed alike ({self.failure}); correct the cause and give the same "
                "command again, or raise most_failures_in_a_row (0: never stop for that)"
            )
        return ""


def _kind(reason: str) -> str:
    """Return a reason without its numbers, so that alike failures compare equal; all divergences are alike."""
    return "diverged" if reason.startswith("diverged") else re.sub(r"[-+.\d]*\d", "#", reason)
