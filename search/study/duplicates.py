"""Candidates that were already tried: which training has their result, and which trials keep their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.record.files import read_json
from search.record.layout import BASE, RESULT, allowed_changes, comparable_since, results, trial_folder
from search.record.objectives import Losses, Objectives, best_first
from search.statistics.standing import standing
from search.storage.tell import ENQUEUED, REMADE


class TrainedCandidates:
    """The candidates that a study has tried, and its best trials.

    Attributes
    ----------
    trained_by : candidate key and seed -> the training that has its result.
    tried : the keys of candidates that some trial has or will have.
    kept : the trials that keep their weights, best first: those on the front of several objectives before
        others, and of these the best in the first objective. Deleted weights do not come back. A race's order
        changes with every training: it calls `keep_leaders`.
    """

    def __init__(self, run: Path, objectives: Objectives, keep_weights: int, since: int, races: bool = False) -> None:
        self.run, self.objectives, self.keep_weights, self.since = run, objectives, keep_weights, since
        self.races = races
        self.trained_by: dict[tuple[str, int], str] = {}
        self.tried: set[str] = set()
        self.kept: list[tuple[Losses, int]] = []

    def remember(self, result: Mapping[str, Any]) -> None:
        """Record a trial's result."""
        if result["state"] == "infeasible" or "key" not in result or result["trial"] == BASE:
            return
        if result["trial"] >= self.since:
            self.tried.add(result["key"])
        if "duplicate_of" in result:
            return
        if result["trial"] >= self.since:
            self.answers(result["key"], result["seed"], key_of(result["trial"]), again="continues" in result)
        values = self.objectives.values(result)
        if values is None or self.races:
            return
        entry = (self.objectives.losses(values), result["trial"])
        if entry not in self.kept:  # a trial that ended just before its driver died comes twice
            self.kept.append(entry)
        self.kept.sort(key=lambda kept: kept[1])
        ordered = [self.kept[i] for i in best_first([losses for losses, _ in self.kept])]
        self.kept = ordered[: self.keep_weights]
        for _, number in ordered[self.keep_weights :]:
            self._drop_weights(number)

    def keep_leaders(self) -> None:
        """Delete all weights but those of the candidates that lead by expected gain."""
        leaders = ranked(self.run, self.objectives)[: self.keep_weights]
        for result in results(self.run):
            if result["trial"] not in leaders:
                self._drop_weights(result["trial"])

    def _drop_weights(self, number: int) -> None:
        (trial_folder(self.run, number) / "weights.safetensors").unlink(missing_ok=True)

    def answers(self, key: str, seed: int, training: str, *, again: bool = False) -> str:
        """Return the training that has the result of a candidate with a seed: the first one, or `again` this one."""
        if again:
            self.trained_by[key, seed] = training
        return self.trained_by.setdefault((key, seed), training)

    def result_for_duplicate(self, key: str) -> dict[str, Any]:
        """Return the result of a training for a duplicate of it, without what belongs to the original alone."""
        original = read_json(self.folder(key) / RESULT)
        own = (*ENQUEUED, REMADE)
        return {k: v for k, v in original.items() if k not in own} | {"duplicate_of": original.get("trial", key)}

    def folder(self, key: str) -> Path:
        """Return the folder of a training."""
        return trial_folder(self.run, int(key.removeprefix("trial "))) if key.startswith("trial ") else self.run / key


def ranked(run: Path, objectives: Objectives) -> list[int]:
    """Return a run's candidates by their first completed trials, best first; of equals the first leads.

    Where trainings are repeated, the order is by the gain to expect, not by what was seen.
    """
    if stand := standing(run):
        return stand.ranked
    since = comparable_since(allowed_changes(run))
    ended = [
        (objectives.losses(values), result["trial"])
        for result in results(run)
        if result["trial"] >= since
        and not {"duplicate_of", "replicate_of"} & result.keys()
        and (values := objectives.values(result))
    ]
    return [ended[i][1] for i in best_first([losses for losses, _ in ended])]


def key_of(number: int) -> str:
    """Return the name of a trial's training."""
    return f"trial {number}"


def words(result: Mapping[str, Any], objectives: Objectives) -> str:
    """Return in a few words how a training ended."""
    figures = "".join(
        f", {name.replace('_', ' ')} {_figure(result[name])}"
        for name in objectives.names
        if result.get(name) is not None
    )
    again = f", the same as trial {result['duplicate_of']}" if "duplicate_of" in result else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"{result['state']}{again}{figures}{reason}"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
