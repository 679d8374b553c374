"""What a run depends on, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.runs.run import Run

Facts = list[tuple[str, str]]


def environment_of(run: Run) -> list[tuple[str, Facts]]:
    """Return what the numbers depend on, by title: hardware, versions, commit, data; each start of a driver."""
    parts = [("", _facts(run.environment))]
    for title, attempts in (("Starts", run.attempts), ("Confirmation", _attempts(run))):
        starts = [attempt for attempt in attempts if "pid" in attempt]
        if starts:
            listed = [(str(a.get("time", "-")), _start(a)) for a in starts]
            parts.append((title, listed))
    return parts


def _attempts(run: Run) -> list[dict[str, Any]]:
    return run.confirmation.attempts if run.confirmation else []


def _start(attempt: Mapping[str, Any]) -> str:
    commit = f"commit {attempt['commit']}" if attempt.get("commit") else "commit not recorded"
    return f"{commit}, {attempt['finished']} finished before" if "finished" in attempt else commit


_NAMES = {
    "time": "last started",
    "python": "Python",
    "cores": "cores",
    "data": "data fingerprint",
    "split": "fingerprint of the held-out split",
    "workers": "trainings at a time",
    "threads": "threads each",
}


def _facts(about: Mapping[str, Any]) -> Facts:
    plain = [
        (_NAMES.get(key, key), str(value))
        for key, value in about.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    versions = [(str(name), str(version)) for name, version in about.get("versions", {}).items()]
    return plain + versions


def steps(run: Run) -> list[tuple[str, str]]:
    """Return the commands that repeat a run, each with what it needs."""
    return list(_steps(run))


def _steps(run: Run) -> Iterator[tuple[str, str]]:
    commits = [run.environment.get("commit"), *(attempt.get("commit") for attempt in reversed(run.attempts))]
    if commit := next(filter(None, commits), None):
        yield (
            f"git checkout {commit.removesuffix('-dirty')}",
            ("The code that it ran with" + (", which had changes that no commit holds." if "dirty" in commit else ".")),
        )
    if run.kind == "training":
        yield (
            "inceptory train spec.yaml --recipe recipe.yaml",
            "spec.yaml and recipe.yaml lie in the run directory, the seed and the data in its result.json.",
        )
    elif run.kind == "study":
        yield (
            "inceptory search study.yaml --run RUN",
            "study.yaml lies in the run directory with every default written out; the same command "
            "resumes a run that was stopped.",
        )
    else:
        yield (
            "inceptory ablate ablation.yaml --run RUN",
            "ablation.yaml lies in the run directory with every default written out; the same "
            "command resumes a run that was stopped.",
        )
    if run.confirmation:
        seeds = ",".join(str(seed) for seed in run.confirmation.plan["seeds"])
        yield (
            f"inceptory confirm RUN --seeds {seeds}",
            "With the networks and the recipe of confirm/plan.json (confirm.json next to this page). In another folder it "
            "trains all of them again.",
        )
    yield "inceptory report RUN", "This page."
