"""What every table and figure of a run says about itself: n, seeds, data, recipe, hardware, versions."""

from __future__ import annotations

import pandas as pd

from reports.runs.run import Run


def protocol(run: Run) -> tuple[str, ...]:
    """Return the notes that every table of a run carries: n, seeds, data, recipe, hardware, versions."""
    recipe = run.config.get("recipe") or {}
    about = run.environment
    versions = about.get("versions", {})
    trained = run.trials[run.trials["duplicate_of"].isna() & run.trials["state"].isin(["complete", "pruned"])]
    images = trained["train_images"].dropna() if "train_images" in trained else pd.Series(dtype=float)
    seeds = sorted({int(seed) for seed in trained["seed"].dropna()}) if "seed" in trained else []
    counted = f"n = 1 training a network, seed {', '.join(map(str, seeds))}" if seeds else "nothing trained yet"
    data = trained["data"].dropna().iloc[0] if "data" in trained and not trained["data"].dropna().empty else "-"
    commits = (
        ", ".join(dict.fromkeys(a["commit"] for a in run.attempts if a.get("commit"))) or about.get("commit") or "-"
    )
    judged = "accuracy on held-out training images; the test set was not opened" if run.kind == "study" else ""
    if run.kind == "training" and "test_accuracy" in trained and trained["test_accuracy"].notna().any():
        judged = "test set opened once, after the last epoch"
    return (
        f"Protocol: {counted}; {data}"
        + (f", {int(images.iloc[0]):,} training images" if len(images) else "")
        + f"; recipe {recipe.get('name', '-')}, {recipe.get('epochs', '-')} epochs, batch {recipe.get('batch', '-')}"
        + (f"; {judged}." if judged else "."),
        f"Hardware: {about.get('processor', '-')}, {about.get('cores', '-')} cores, "
        f"{about.get('workers', 1)} training(s) at a time, {about.get('threads', '-')} thread(s) each, {about.get('device', '-')}; "
        f"torch {versions.get('torch', '-')}, optuna {versions.get('optuna', '-')}, commit {commits}.",
    )


def label(run: Run) -> str:
    """Return what the study ranks by, with its unit."""
    return run.objectives.first.header


def told(run: Run, value: float) -> str:
    """Return a value of the objective as it is printed."""
    return run.objectives.first.text(value)
