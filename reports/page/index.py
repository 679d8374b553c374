"""A folder of runs as one page: a row a run, newest first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from reports.page.render import render
from reports.runs.collection import load_all
from reports.runs.progress import progress
from reports.runs.run import Run
from reports.tables.paired import JUDGED, Scored, scored
from reports.tables.table import MISSING, absent
from search.record.files import write_text
from search.record.layout import BASE


@dataclass(frozen=True)
class Cell:
    """What a cell of the index shows, and what it is sorted by."""

    text: str
    value: str = ""
    link: str = ""
    number: bool = False


@dataclass(frozen=True)
class Headline:
    """A run's accuracies in its row of the index: in per cent, on which images, over how many trainings each."""

    best: float | None = None
    base: float | None = None
    images: str = ""
    n: int = 0


_NUMBERS = ("best (%)", "base (%)", "n")
_COLUMNS = ("run", "kind", "network", "state", "best (%)", "base (%)", "images", "n", "started")
_NOTE = (
    "Best: of a study the best trial, n = 1, or the same network confirmed with n fresh seeds; of an ablation the change with "
    "the highest mean; of a training its own accuracy. Each report says whether a difference is more than chance. "
    "A run without a link has no report yet (inceptory report RUN)."
)


def index(folder: str | Path, *, reload: float = 0) -> Path:
    """Write `index.html` into a folder of runs: a row a run with its kind, progress and accuracies. Return its path.

    A run that cannot be read is named with the reason.

    Raises
    ------
    InputError
        There is no such folder, or no run in it.
    """
    found, place = load_all(folder), Path(folder)
    newest_first = sorted(found.runs.items(), key=lambda run: str(run[1].environment.get("time", "")), reverse=True)
    page = render(
        "index.html",
        name=place.resolve().name,
        reload=reload,
        built="",
        columns=[(column, column in _NUMBERS) for column in _COLUMNS],
        rows=[_row(run, name, place) for name, run in newest_first],
        notes=[_NOTE],
        unread=found.unread.values(),
    )
    write_text(place / "index.html", page)
    return place / "index.html"


def _row(run: Run, name: str, folder: Path) -> list[Cell]:
    found, time = headline(run), str(run.environment.get("time", ""))
    pages = (f"{name}/report/index.html", f"{name}/index.html")
    link = next((quote(page) for page in pages if (folder / page).exists()), "")
    network = run.specs["base"].name if "base" in run.specs else str(run.config.get("network", MISSING))
    return [
        Cell(name, link=link),
        Cell(run.kind),
        Cell(network),
        Cell(_state(run)),
        *(_number(value) for value in (found.best, found.base)),
        Cell(found.images or MISSING),
        Cell(str(found.n or MISSING), str(found.n or ""), number=True),
        Cell(time[:16].replace("T", " ") or MISSING, time),
    ]


def _number(value: float | None) -> Cell:
    known = value is not None and not math.isnan(value)
    return Cell(f"{value:.2f}", str(value), number=True) if known else Cell(MISSING, number=True)


def _state(run: Run) -> str:
    done = progress(run)
    failed = int((run.trials["state"] == "failed").sum())
    return f"{'complete' if done.complete else 'not complete'}, {done}" + (f", {failed} failed" if failed else "")


def headline(run: Run) -> Headline:
    """Return the accuracies that stand in a run's row of the index."""
    if run.kind == "study":
        return _confirmed(run) or _searched(run)
    if run.ablation:
        found = scored(run.ablation)
        return _compared(found, found.compared) or Headline()
    row = {} if run.trials.empty else dict(run.trials.iloc[0])
    judged = (column for column in JUDGED if not absent(row.get(column)))
    return next((Headline(100 * float(row[column]), None, JUDGED[column], 1) for column in judged), Headline())


def _searched(run: Run) -> Headline:
    if run.ranked.empty:
        return Headline()
    base = run.base
    best = 100 * float(run.ranked.iloc[0]["val_accuracy"])
    return Headline(best, 100 * float(base["val_accuracy"]) if base else None, "held-out", 1)


def _confirmed(run: Run) -> Headline | None:
    """Return the means of the base and of the candidate that was the best in the search."""
    if run.confirmation is None:
        return None
    found = scored(run.confirmation)
    return _compared(found, [next(iter(found.compared))])


def _compared(found: Scored, candidates: Iterable[str]) -> Headline | None:
    """Return the means of the base and of the best of the candidates; None before there are both."""
    scores: Any = found.scores
    base, *reached = (scores.loc[name].dropna().tolist() for name in (BASE, *candidates))
    best: list[float] = max(filter(None, reached), key=fmean, default=[])
    if not base or not best:
        return None
    return Headline(fmean(best), fmean(base), JUDGED[found.comparison.judged], min(len(best), len(base)))
