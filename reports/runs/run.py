"""A run as frames: what tables, figures and pages are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from arch.files.html_table import table
from arch.specs.spec import Spec
from search.record.layout import BASE, PILOT, comparable_since, trial_folder
from search.record.objectives import Losses, Objectives, best_first, front
from search.record.predictions import Predictions
from search.record.work import Work
from search.statistics.standing import Standing, standing_of


@dataclass(frozen=True)
class Comparison:
    """A base and other networks, each trained with the same seeds: a confirmation, or an ablation.

    Attributes
    ----------
    plan : seeds, recipe, networks in full, how the plan grew.
    runs : one row a planned training: the network in the column `by`, `seed`, `state` (`missing` where there is no
        result).
    by : `confirmed`, `piloted` or `change`.
    epochs : one row an epoch of a training: `trial` (`<network>/<seed>`), the column `by`, `seed`.
    """

    plan: dict[str, Any]
    environment: dict[str, Any]
    attempts: list[dict[str, Any]]
    runs: pd.DataFrame
    by: str = "confirmed"
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)

    def place_of(self, name: str) -> str:
        """Return where something of it lies in the run directory: `<change>/<seed>`, or below `confirm/` or `pilot/`."""
        return {"confirmed": "confirm/", "piloted": f"{PILOT}/"}.get(self.by, "") + name

    @property
    def judged(self) -> str:
        """The column that networks are compared by: on the test set, or on held-out images."""
        return "test_accuracy" if self.plan.get("test", True) else "val_accuracy"


@dataclass(frozen=True)
class Run:
    """A run as frames.

    Attributes
    ----------
    trials : one row a training: what came out, what it cost (MACs, parameters), `searched.*` the
        sampler's values, `row.*` each searchable row's family and split (`RowSplit`). The base network's `trial`
        is `base`; a single training's is `training`, an ablation's `<change>/<seed>`.
    epochs : one row an epoch of a training.
    specs : the base and best networks, where there are any.
    confirmation : of a study, where one was begun.
    ablation : of an ablation.
    changes : what was changed while the study ran, and allowed by name.
    predictions : what a training predicted for the test images, where that was kept.
    pilot : the trainings of a study's pilot, where there was one.
    forecast : what the pilot found, as in its `pilot.json`; empty before it has ended.
    """

    folder: Path
    kind: Literal["study", "ablation", "training"]
    name: str
    config: dict[str, Any]
    environment: dict[str, Any]
    attempts: list[dict[str, Any]]
    distributions: dict[str, str]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    specs: dict[str, Spec]
    confirmation: Comparison | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    ablation: Comparison | None = None
    predictions: Predictions | None = None
    pilot: Comparison | None = None
    forecast: dict[str, Any] = field(default_factory=dict)

    @property
    def objectives(self) -> Objectives:
        """What the study optimises."""
        return Objectives(self.config.get("objective") or "val_accuracy", self.environment.get("objectives"))

    @property
    def objective(self) -> str:
        """The column that the study ranks by: the first objective."""
        return self.objectives.judged

    @cached_property
    def standing(self) -> Standing | None:
        """Where a study's candidates stand; None where nothing in it was repeated."""
        return standing_of(self.config, self._trainings()) if self.kind == "study" else None

    def _trainings(self) -> Iterator[dict[str, Any]]:
        """Yield the results of base, trials and pilot that may be compared with the newest ones."""
        for row in self.trials.to_dict("records"):
            if (name := row["trial"]) == BASE or int(name) >= comparable_since(self.changes):
                yield _known(row) | {"trial": BASE if name == BASE else int(name)}
        yield from (
            _known(row) | {"trial": PILOT} for row in (self.pilot.runs.to_dict("records") if self.pilot else ())
        )

    @property
    def ranked(self) -> pd.DataFrame:
        """Candidates by their first training that finished, best first; the base and failures are left out.

        Where trainings are repeated, the order is by the gain over the base that is to be expected. Of several
        objectives the front comes first, in the order of the first objective.
        """
        frame, names = self.trials, list(self.objectives.names)
        if frame.empty or not set(names) <= set(frame):
            return frame.iloc[:0]
        if self.standing:
            numbers = [str(number) for number in self.standing.ranked]
            return (
                frame[frame["trial"].isin(numbers)].set_index("trial", drop=False).loc[numbers].reset_index(drop=True)
            )
        kept = frame[(frame["state"] == "complete") & frame["duplicate_of"].isna() & (frame["trial"] != BASE)]
        kept = kept[kept["replicate_of"].isna()] if "replicate_of" in kept else kept
        kept = kept[kept[names].notna().all(axis=1)]
        kept = kept[pd.to_numeric(kept["trial"], errors="coerce") >= comparable_since(self.changes)]
        if len(names) == 1:
            numbered = kept.assign(number=pd.to_numeric(kept["trial"], errors="coerce"))  # of equals the earliest first
            ordered = numbered.sort_values([names[0], "number"], ascending=[self.objectives.minimise, True])
            return ordered.drop(columns="number")
        return kept.iloc[best_first(self._losses(kept))]

    @property
    def work(self) -> Work:
        """The training that a study has taken: each epoch once, whatever continues it, the pilot's among them."""
        epochs = self.epochs
        own = epochs[epochs["trained_in"].isna()] if "trained_in" in epochs else epochs
        seconds = [frame["seconds"] for frame in (own, self.pilot.epochs if self.pilot else own.iloc[:0]) if len(frame)]
        return Work(sum(map(len, seconds)), float(sum(part.sum() for part in seconds)))

    @property
    def front(self) -> pd.DataFrame:
        """The trials that no other one beats in every objective, the best in the first one first."""
        ranked = self.ranked
        return ranked.iloc[front(self._losses(ranked))]

    def folders(self, trials: pd.DataFrame) -> list[tuple[str, ...]]:
        """Return for each row of `trials` its folder in the run directory, and the one that a duplicate repeats."""
        duplicates = trials["duplicate_of"] if "duplicate_of" in trials else [None] * len(trials)
        return [
            tuple(self.folder_of(str(t)) for t in (trial, other) if isinstance(t, str))
            for trial, other in zip(trials["trial"], duplicates, strict=True)
        ]

    def folder_of(self, trial: str) -> str:
        """Return where a training lies in the run directory: `trials/00017`, `base`; `.` for a single training."""
        if trial.isdigit():
            return trial_folder(Path(), int(trial)).as_posix()
        return "." if self.kind == "training" else trial

    def _losses(self, frame: pd.DataFrame) -> list[Losses]:
        rows = frame[list(self.objectives.names)].astype(float).itertuples(index=False)
        return [self.objectives.losses(list(row)) for row in rows]

    @property
    def base(self) -> dict[str, Any] | None:
        """The base network's row, if its training finished."""
        found = self.trials[(self.trials["trial"] == BASE) & (self.trials["state"] == "complete")]
        found = found[found[self.objective].notna()] if self.objective in found else found.iloc[:0]
        return None if found.empty else dict(found.iloc[0])

    def __repr__(self) -> str:
        return f"Run({self.name!r}, a {self.kind} of {len(self.trials)} trainings in {str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """Return how far the run is and its best trainings, for a notebook."""
        return run_html(self)


def _known(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row's cells that hold something."""
    return {str(key): value for key, value in row.items() if not (value is None or value != value)}


_MOST = 8  # trainings that are listed


_SHOWN = ("trial", "state", "val_accuracy", "test_accuracy", "macs", "params", "seconds")


def run_html(run: Run) -> str:
    """Return how far a run is and its trainings: of a study the base and the best ones, else the first ones."""
    states = run.trials["state"].value_counts()
    lines = [", ".join(f"{count} {state}" for state, count in states.items()) or "nothing has ended yet"]
    study = run.kind == "study" and not run.ranked.empty
    frame = pd.concat([run.trials[run.trials["trial"] == "base"], run.ranked]) if study else run.trials
    if study:
        by = "expected gain over the base" if run.standing else ", ".join(run.objectives.names)
        lines.append(f"best first, by {by}; one training each says little")
    if len(frame) > _MOST:
        lines.append(f"{_MOST} of {len(frame)} are listed; .trials holds all, .epochs each epoch")
    columns = [name for name in dict.fromkeys((*_SHOWN, *run.objectives.names)) if name in frame]
    rows: list[dict[str, Any]] = []
    for row in frame[columns].head(_MOST).to_dict("records"):
        rows.append({str(key): None if pd.isna(value) else value for key, value in row.items()})
    return table(f"{run.name}: a {run.kind}", rows, lines)
