"""The protocol under every table and figure of a run: n, seeds, data, recipe, hardware, versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from reports.runs.run import Run


def protocol(run: Run) -> tuple[str, ...]:
    """Return the notes that every table of a run carries: n, seeds, data, recipe, hardware, versions."""
    trained = run.trials[run.trials["duplicate_of"].isna() & run.trials["state"].isin(["complete", "pruned"])]
    recipe = run.config.get("recipe") or {}
    named = f"recipe {recipe.get('name', '-')}, {recipe.get('epochs', '-')} epochs, batch {recipe.get('batch', '-')}"
    parts = [_counted(trained), _data(trained), named, _judged(run, trained)]
    commits = commits_of(run.attempts) or run.environment.get("commit") or "-"
    return (
        f"Protocol: {'; '.join(filter(None, parts))}.",
        hardware_note(run.environment, ("torch", "optuna"), commits),
    )


def _counted(trained: pd.DataFrame) -> str:
    seeds = sorted({int(seed) for seed in _values(trained, "seed")})
    if not seeds:
        return "nothing trained yet"
    most = int(trained.groupby("key")["seed"].nunique().max()) if "key" in trained else 1
    times = "1 training" if most < 2 else f"1 to {most} trainings"  # a race repeats those that lead
    return f"n = {times} a network, seed{'' if most < 2 else 's'} {', '.join(map(str, seeds))}"


def _data(trained: pd.DataFrame) -> str:
    names, images = _values(trained, "data"), _values(trained, "train_images")
    return (str(names[0]) if names else "-") + (f", {int(images[0]):,} training images" if images else "")


def _judged(run: Run, trained: pd.DataFrame) -> str:
    if run.kind == "study":
        return "accuracy on held-out training images; the test set was not opened"
    tested = run.kind == "training" and bool(_values(trained, "test_accuracy"))
    return "test set opened once, after the last epoch" if tested else ""


def _values(frame: pd.DataFrame, column: str) -> list[Any]:
    return frame[column].dropna().tolist() if column in frame else []


def hardware_note(about: Mapping[str, Any], packages: Iterable[str], commits: str) -> str:
    """Return where something ran: the processor, how it was shared, versions and commits."""
    versions = about.get("versions", {})
    installed = ", ".join(f"{package} {versions.get(package, '-')}" for package in packages)
    return (
        f"Hardware: {about.get('processor', '-')}, {about.get('cores', '-')} cores, {about.get('workers', 1)} training(s) at a "
        f"time, {about.get('threads', '-')} thread(s) each, {about.get('device', '-')}; {installed}, commit {commits}."
    )


def commits_of(attempts: Iterable[Mapping[str, Any]]) -> str:
    """Return the commits that a driver was started from, each once."""
    return ", ".join(dict.fromkeys(attempt["commit"] for attempt in attempts if attempt.get("commit")))


def label(run: Run) -> str:
    """Return what the study ranks by, with its unit."""
    return run.objectives.first.header


def objective_text(run: Run, value: float) -> str:
    """Return a value of the objective as it is printed."""
    return run.objectives.first.text(value)
