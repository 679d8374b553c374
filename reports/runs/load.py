"""From a run directory, or the tables that one left, to tidy pandas frames."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from arch.errors import InputError
from arch.specs.read import from_mapping
from arch.specs.read import load as load_spec
from arch.specs.write import to_yaml
from reports.runs.rows import OTHER_TRIALS, epoch_rows, trial_frame, trial_row
from reports.runs.run import Comparison as Comparison
from reports.runs.run import Run as Run
from reports.runs.splits import RowSplit
from search.record.files import (
    read_json,
    read_lines,
    read_yaml,
    replace_file,
    write_json,
    write_lines,
    write_text,
    write_yaml,
)
from search.record.layout import BASE, PILOT, read_study, trial_folder
from search.record.predictions import FILE, Predictions

_MARKS = ("trials.csv", "study.yaml", "ablation.yaml", "spec.yaml")  # one of these lies in a run's folder


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run, or what one left."""
    return any((folder / mark).exists() for mark in _MARKS)


def load(run: str | Path) -> Run:
    """Return a run directory as tidy frames; also while it is still running.

    Takes a study, an ablation, a single training, or a folder of exported results (`trials.csv`, `epochs.csv`).

    Raises
    ------
    InputError
        The folder is no run, or a file in it is damaged; names it.

    Examples
    --------
    >>> import reports
    >>> run = reports.load("docs/results/splits_cifar10")
    >>> len(run.ranked) >= 1
    True
    """
    folder = Path(run)
    if (folder / "trials.csv").exists():
        return _exported(folder)
    if (folder / "study.yaml").exists():
        return _study(folder)
    if (folder / "ablation.yaml").exists():
        return _ablation(folder)
    if (folder / "spec.yaml").exists():
        return _training(folder)
    raise InputError(
        f"{folder}: no run is here; it would hold study.yaml (a study), ablation.yaml or spec.yaml (a training)."
    )


def _study(folder: Path) -> Run:
    config = read_study(folder)
    folders = [(BASE, folder / BASE)] + [(str(int(p.name)), p) for p in sorted((folder / "trials").glob("[0-9]*"))]
    rows = [trial_row(name, path) for name, path in folders if (path / "result.json").exists()]
    trials = trial_frame(rows)
    epochs = pd.DataFrame([epoch for name, path in folders for epoch in epoch_rows(name, path)])
    run = Run(
        folder,
        "study",
        config["name"],
        config,
        _optional(folder / "environment.json") or _optional(folder / PILOT / "environment.json"),
        read_lines(folder / "attempts.jsonl"),
        _optional(folder / "distributions.json"),
        trials,
        epochs,
        {},
        _comparison(folder / "confirm", "confirmed"),
        read_lines(folder / "changes.jsonl"),
        pilot=_comparison(folder / PILOT, "piloted"),
        forecast=_optional(folder / PILOT / "pilot.json"),
    )
    specs = {"base": load_spec(folder / "base.yaml")} if (folder / "base.yaml").exists() else {}
    if not run.ranked.empty:
        specs["best"] = load_spec(trial_folder(folder, int(run.ranked.iloc[0]["trial"])) / "spec.yaml")
    run.specs.update(specs)
    return run


def _comparison(folder: Path, by: str) -> Comparison | None:
    if not (folder / "plan.json").exists():
        return None
    plan = read_json(folder / "plan.json")
    rows = []
    for name, network in plan["networks"].items():
        for seed in network.get("seeds", plan["seeds"]):
            place, planned = folder / name / str(seed), {by: name, "seed": seed}
            found = trial_row(name, place) if (place / "result.json").exists() else {"state": "missing"}
            more = {key: value for key, value in found.items() if key not in ("trial", *planned)}
            rows.append(planned | more)
    epochs = [
        epoch | {by: row[by], "seed": row["seed"]}
        for row in rows
        for epoch in epoch_rows(f"{row[by]}/{row['seed']}", folder / str(row[by]) / str(row["seed"]))
    ]
    about, attempts = _optional(folder / "environment.json"), read_lines(folder / "attempts.jsonl")
    return Comparison(plan, about, attempts, pd.DataFrame(rows), by, pd.DataFrame(epochs))


def _exported_comparison(folder: Path, name: str, by: str) -> Comparison | None:
    if not (folder / f"{name}.json").exists():
        return None
    about = read_json(folder / f"{name}.json")
    runs = pd.read_csv(folder / f"{name}.csv", dtype={by: str})
    path = folder / ("epochs.csv" if by == "change" else f"{name}_epochs.csv")
    epochs = pd.read_csv(path, dtype={by: str}) if path.exists() else pd.DataFrame()
    return Comparison(about["plan"], about["environment"], about["attempts"], runs, by, epochs)


def _ablation(folder: Path) -> Run:
    config, found = read_yaml(folder / "ablation.yaml"), _comparison(folder, "change")
    if found is None:
        raise InputError(f"{folder}: has no plan.json yet; start `inceptory ablate` again.")
    runs = found.runs
    trials = trial_frame([{str(key): row[key] for key in row} | {"trial": _trial_name(row)} for row in _rows(runs)])
    return Run(
        folder,
        "ablation",
        config["name"],
        config,
        found.environment,
        found.attempts,
        {},
        trials,
        found.epochs,
        {"base": from_mapping(found.plan["networks"][BASE]["spec"], str(folder / "plan.json"))},
        ablation=found,
    )


def _trial_name(planned: Mapping[Any, Any]) -> str:
    return f"{planned['change']}/{planned['seed']}"


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def _training(folder: Path) -> Run:
    rows = [trial_row("training", folder)] if (folder / "result.json").exists() else []
    spec = load_spec(folder / "spec.yaml")
    config = {"recipe": read_yaml(folder / "recipe.yaml"), "network": spec.name}
    return Run(
        folder,
        "training",
        spec.name,
        config,
        _optional(folder / "environment.json"),
        [],
        {},
        trial_frame(rows),
        pd.DataFrame(list(epoch_rows("training", folder))),
        {"base": spec},
        predictions=_predictions(folder),
    )


def _exported(folder: Path) -> Run:
    ablation = _exported_comparison(folder, "ablation", "change")
    config = read_yaml(folder / ("ablation.yaml" if ablation else "study.yaml"))
    specs = {
        name: load_spec(folder / f"{name}.yaml") for name in ("base", "best") if (folder / f"{name}.yaml").exists()
    }
    distributions = _optional(folder / "distributions.json")
    by_name = [name for name, kind in distributions.items() if json.loads(kind)["name"] == "CategoricalDistribution"]
    kept_as_text = dict.fromkeys(("trial", *OTHER_TRIALS, "change", "trained_in"), str) | {
        f"searched.{name}": str for name in by_name
    }
    return Run(
        folder,
        "ablation" if ablation else "study" if "space" in config else "training",
        str(config.get("name", folder.name)),
        config,
        read_json(folder / "environment.json"),
        read_lines(folder / "attempts.jsonl"),
        distributions,
        _with_splits(pd.read_csv(folder / "trials.csv", dtype=kept_as_text), folder / "trials.csv"),
        pd.read_csv(folder / "epochs.csv", dtype=kept_as_text),
        specs,
        _exported_comparison(folder, "confirm", "confirmed"),
        read_lines(folder / "changes.jsonl"),
        ablation,
        _predictions(folder),
        _exported_comparison(folder, PILOT, "piloted"),
        _optional(folder / "forecast.json"),
    )


def _with_splits(trials: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return trials with the splits of their rows as data: a file holds them as text."""
    for column in [str(column) for column in trials if str(column).startswith("row.")]:
        try:
            trials[column] = trials[column].map(RowSplit.read, na_action="ignore").astype(object)
        except InputError as error:
            raise InputError(f"{path}, column {column}: {error}") from error
    return trials


def _predictions(folder: Path) -> Predictions | None:
    return Predictions.read(folder / FILE) if (folder / FILE).exists() else None


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def export(run: Run, folder: Path) -> None:
    """Write what the tables are made of: `trials.csv`, `epochs.csv`, the comparison, environment, attempts, specs.

    A confirmation is in `confirm.csv` and `confirm.json`, an ablation in `ablation.csv` and `ablation.json`, a pilot in
    `pilot.csv` and `pilot.json`, what it found in `forecast.json`.
    `load` reads the folder back, and the same tables come out of it.
    """
    write_text(folder / "trials.csv", run.trials.to_csv(index=False))
    write_text(folder / "epochs.csv", run.epochs.to_csv(index=False))
    write_yaml(folder / ("ablation.yaml" if run.ablation else "study.yaml"), run.config)
    write_json(folder / "environment.json", run.environment)
    write_lines(folder / "attempts.jsonl", run.attempts)
    write_json(folder / "distributions.json", run.distributions)
    if run.changes:
        write_lines(folder / "changes.jsonl", run.changes)
    for name, spec in run.specs.items():
        write_text(folder / f"{name}.yaml", to_yaml(spec))
    if run.predictions:
        kept = run.folder / FILE
        replace_file(folder / FILE, lambda temporary: shutil.copyfile(kept, temporary))
    if run.forecast:
        write_json(folder / "forecast.json", run.forecast)
    for name, comparison in (("confirm", run.confirmation), (PILOT, run.pilot), ("ablation", run.ablation)):
        if comparison:
            if not comparison.epochs.empty and comparison is not run.ablation:  # those are in epochs.csv
                write_text(folder / f"{name}_epochs.csv", comparison.epochs.to_csv(index=False))
            about = {key: getattr(comparison, key) for key in ("plan", "environment", "attempts")}
            write_text(folder / f"{name}.csv", comparison.runs.to_csv(index=False))
            write_json(folder / f"{name}.json", about)
