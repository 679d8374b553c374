"""`distributions.json`: the range of each searched parameter, for readers of a run without its storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optuna import Study
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from search.record.files import read_json, write_sealed

_FILE = "distributions.json"


def distributions(run: Path) -> dict[str, BaseDistribution]:
    """Return the range of each parameter that some trial of a run was drawn from."""
    path = run / _FILE
    return {name: json_to_distribution(text) for name, text in (read_json(path) if path.exists() else {}).items()}


class Distributions:
    """The ranges of a run's parameters, recorded as trials are drawn."""

    def __init__(self, run: Path, study: Study) -> None:
        self.path = run / _FILE
        self.known: dict[str, str] = {}
        # A run of an earlier version, or one whose file was set aside, has its ranges in the storage alone.
        if self.path.exists():
            self.known = read_json(self.path)
        else:
            for trial in study.get_trials(deepcopy=False):
                self.known |= _as_text(trial.distributions)

    def note(self, drawn: Mapping[str, BaseDistribution]) -> None:
        """Record the ranges that a trial was drawn from."""
        known = self.known | _as_text(drawn)
        if known != self.known:
            self.known = known
            write_sealed(self.path, known)


def _as_text(drawn: Mapping[str, BaseDistribution]) -> dict[str, str]:
    return {name: distribution_to_json(distribution) for name, distribution in drawn.items()}
