"""What a notebook shows of a run that was loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from arch.html import table

if TYPE_CHECKING:
    from reports.load import Run

_MOST = 8  # trainings that are listed
_SHOWN = ("trial", "state", "val_accuracy", "test_accuracy", "macs", "params", "seconds")


def run_html(run: Run) -> str:
    """Return how far a run is and its trainings: of a study the base and the best ones, else the first ones."""
    states = run.trials["state"].value_counts()
    lines = [", ".join(f"{count} {state}" for state, count in states.items()) or "nothing has ended yet"]
    study = run.kind == "study" and not run.ranked.empty
    frame = pd.concat([run.trials[run.trials["trial"] == "base"], run.ranked]) if study else run.trials
    if study:
        lines.append(f"best first, by {', '.join(run.objectives.names)}; one training each says little")
    if len(frame) > _MOST:
        lines.append(f"{_MOST} of {len(frame)} are listed; .trials holds all, .epochs each epoch")
    columns = [name for name in dict.fromkeys((*_SHOWN, *run.objectives.names)) if name in frame]
    rows: list[dict[str, Any]] = []
    for row in frame[columns].head(_MOST).to_dict("records"):
        rows.append({str(key): None if pd.isna(value) else value for key, value in row.items()})
    return table(f"{run.name}: a {run.kind}", rows, lines)
