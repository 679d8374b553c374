"""Whether a trial continues after an epoch: Optuna's pruner or the rungs decide, once for each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from search.record.files import read_lines
from search.record.objectives import Objectives
from search.sampling.rungs import Rungs

# A FrozenTrial has ended in Optuna and runs again, as its record is missing; None is the base network.
StudyTrial = Trial | FrozenTrial | None


class Pruning:
    """Reports every epoch to the study's pruner, which decides whether the trial continues.

    Parameters
    ----------
    rungs : the pruner of this package; None where Optuna's prunes.
    """

    def __init__(self, objectives: Objectives, rungs: Rungs | None) -> None:
        self.objectives, self.rungs = objectives, rungs
        self._reached: dict[str, int] = {}  # the last epoch that was decided on, or is being decided on
        self._same: dict[str, str] = {}  # a training that continues a paused one -> that one
        self._reported: dict[str, int] = {}  # the last epoch that was reported to Optuna

    def recall(self, key: str, folder: Path, macs: int) -> None:
        """Read the recorded epochs of a training that may resume, or is compared on the rungs."""
        for metrics in read_lines(folder / "metrics.jsonl"):
            self._note(key, macs, metrics)
            self._reached[key] = max(self._reached.get(key, 0), metrics["epoch"])

    def resume(self, key: str, reported: Mapping[int, float]) -> None:
        """Take over the epochs of a trial that an earlier start reported to Optuna."""
        self._reported[key] = max(reported, default=0)
        self._reached[key] = max(self._reached.get(key, 0), self._reported[key])

    def follow(self, key: str, paused: str, epoch: int) -> None:
        """Let a training continue a paused one: it counts as the same on the rungs, and is past that epoch's."""
        self._same[key] = self._same.get(paused, paused)
        self._reached[key] = max(self._reached.get(key, 0), epoch + 1)

    def continues(self, key: str, trial: StudyTrial, macs: int, metrics: Mapping[str, Any]) -> bool:
        """Record an epoch; return whether the training continues. The base network always does."""
        epoch, reached = metrics["epoch"], self._reached.get(key, 0)
        repeats = trial is not None and "replicate_of" in trial.user_attrs
        if not repeats:  # a candidate stands once on each rung
            self._note(key, macs, metrics)
        self._reached[key] = max(reached, epoch)
        if trial and len(self.objectives) == 1 and epoch > self._reported.get(key, 0):
            trial.report(metrics[self.objectives.judged], epoch)
            self._reported[key] = epoch
        # A resumed training reports its epochs again. All but the last were decided on already: it continued.
        if trial is None or repeats or epoch < reached or epoch >= metrics["epochs"]:
            return True
        return not self._prunes(key, trial, epoch)

    def pauses(self, key: str, epoch: int) -> bool:
        """Return whether a training that paused after an epoch would pause there now."""
        return self.rungs is None or self.rungs.prunes(self._same.get(key, key), epoch)

    def _prunes(self, key: str, trial: Trial | FrozenTrial, epoch: int) -> bool:
        if isinstance(trial, FrozenTrial):
            return trial.state is TrialState.PRUNED and epoch >= trial.user_attrs.get("epochs", epoch)
        if self.rungs:
            return self.rungs.prunes(self._same.get(key, key), epoch)
        return len(self.objectives) == 1 and trial.should_prune()  # Optuna's pruners refuse several objectives

    def _note(self, key: str, macs: int, metrics: Mapping[str, Any]) -> None:
        if self.rungs:
            value = float(metrics[self.objectives.judged if self.rungs.by == "objective" else self.rungs.by])
            less_is_better = self.rungs.by == "objective" and self.objectives.minimise
            self.rungs.note(self._same.get(key, key), macs, metrics["epoch"], value if less_is_better else -value)
