"""From a run directory, or the tables that one left, to tidy pandas frames."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from arch.edit import searchable, split_of
from arch.errors import InputError
from arch.spec import Spec, from_mapping, to_yaml
from arch.spec import load as load_spec
from search.record import (
    BASE,
    Losses,
    Objectives,
    best_first,
    front,
    read_json,
    read_lines,
    read_yaml,
    trial_folder,
    write_json,
    write_lines,
    write_text,
    write_yaml,
)

_NESTED = ("searched", "val_aux_accuracy", "test_aux_accuracy", "test_class_accuracy")


@dataclass(frozen=True)
class Comparison:
    """Networks beside a base, each trained with the same seeds: a confirmation, or an ablation.

    Attributes
    ----------
    plan : seeds, recipe, networks in full, how the plan grew.
    runs : one row a planned training: the network in the column `by`, `seed`, `state` (`missing` where there is no
        result).
    by : `confirmed` or `change`.
    """

    plan: dict[str, Any]
    environment: dict[str, Any]
    attempts: list[dict[str, Any]]
    runs: pd.DataFrame
    by: str = "confirmed"

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
        sampler's values, `row.*` each searchable row's family and split. The base network's `trial`
        is `base`; a single training's is `training`, an ablation's `<change>/<seed>`.
    epochs : one row an epoch of a training.
    specs : the base and best networks, where there are any.
    confirmation : of a study, where one was begun.
    ablation : of an ablation.
    changes : what was changed while the study ran, and allowed by name.
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

    @property
    def objectives(self) -> Objectives:
        """What the study is judged by."""
        return Objectives(self.config.get("objective", "val_accuracy"))

    @property
    def objective(self) -> str:
        """The column that the study ranks by: the first objective."""
        return self.objectives.judged

    @property
    def ranked(self) -> pd.DataFrame:
        """Trained trials that came to their end, best first; duplicates, the base and failures are left out.

        Of several objectives the front comes first, in the order of the first objective.
        """
        frame, names = self.trials, list(self.objectives.names)
        if frame.empty or not set(names) <= set(frame):
            return frame.iloc[:0]
        kept = frame[(frame["state"] == "complete") & frame["duplicate_of"].isna() & (frame["trial"] != BASE)]
        kept = kept[kept[names].notna().all(axis=1)]
        if len(names) == 1:
            numbered = kept.assign(number=pd.to_numeric(kept["trial"], errors="coerce"))  # of equals the earliest first
            ordered = numbered.sort_values([names[0], "number"], ascending=[self.objectives.minimise, True])
            return ordered.drop(columns="number")
        return kept.iloc[best_first(self._losses(kept))]

    @property
    def front(self) -> pd.DataFrame:
        """The trials that no other one beats in every objective, the best in the first one first."""
        ranked = self.ranked
        return ranked.iloc[front(self._losses(ranked))]

    def _losses(self, frame: pd.DataFrame) -> list[Losses]:
        rows = frame[list(self.objectives.names)].astype(float).itertuples(index=False)
        return [self.objectives.losses(list(row)) for row in rows]

    @property
    def base(self) -> dict[str, Any] | None:
        """The base network's row, if it was trained to its end."""
        found = self.trials[(self.trials["trial"] == BASE) & (self.trials["state"] == "complete")]
        found = found[found[self.objective].notna()] if self.objective in found else found.iloc[:0]
        return None if found.empty else dict(found.iloc[0])


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
    config = read_yaml(folder / "study.yaml")
    folders = [(BASE, folder / BASE)] + [(str(int(p.name)), p) for p in sorted((folder / "trials").glob("[0-9]*"))]
    rows = [_trial_row(name, path) for name, path in folders if (path / "result.json").exists()]
    trials = _trial_frame(rows)
    epochs = pd.DataFrame([epoch for name, path in folders for epoch in _epoch_rows(name, path)])
    run = Run(
        folder,
        "study",
        config["name"],
        config,
        read_json(folder / "environment.json"),
        read_lines(folder / "attempts.jsonl"),
        _optional(folder / "distributions.json"),
        trials,
        epochs,
        {},
        _comparison(folder / "confirm", "confirmed"),
        read_lines(folder / "changes.jsonl"),
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
    for name in plan["networks"]:
        for seed in plan["seeds"]:
            place, planned = folder / name / str(seed), {by: name, "seed": seed}
            found = _trial_row(name, place) if (place / "result.json").exists() else {"state": "missing"}
            more = {key: value for key, value in found.items() if key not in ("trial", "duplicate_of", *planned)}
            rows.append(planned | more)
    about = _optional(folder / "environment.json")
    return Comparison(plan, about, read_lines(folder / "attempts.jsonl"), pd.DataFrame(rows), by)


def _exported_comparison(folder: Path, name: str, by: str) -> Comparison | None:
    if not (folder / f"{name}.json").exists():
        return None
    about = read_json(folder / f"{name}.json")
    runs = pd.read_csv(folder / f"{name}.csv", dtype={by: str})
    return Comparison(about["plan"], about["environment"], about["attempts"], runs, by)


def _ablation(folder: Path) -> Run:
    config, found = read_yaml(folder / "ablation.yaml"), _comparison(folder, "change")
    if found is None:
        raise InputError(f"{folder}: has no plan.json yet; start `inceptory ablate` again.")
    runs = found.runs
    trials = _trial_frame([{str(key): row[key] for key in row} | {"trial": _trial_name(row)} for row in _rows(runs)])
    epochs = [
        {**row, "change": planned["change"], "seed": planned["seed"]}
        for planned in _rows(runs)
        for row in _epoch_rows(_trial_name(planned), folder / _trial_name(planned))
    ]
    return Run(
        folder,
        "ablation",
        config["name"],
        config,
        found.environment,
        found.attempts,
        {},
        trials,
        pd.DataFrame(epochs),
        {"base": from_mapping(found.plan["networks"][BASE]["spec"], str(folder / "plan.json"))},
        ablation=found,
    )


def _trial_name(planned: Mapping[Any, Any]) -> str:
    return f"{planned['change']}/{planned['seed']}"


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def _training(folder: Path) -> Run:
    rows = [_trial_row("training", folder)] if (folder / "result.json").exists() else []
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
        _trial_frame(rows),
        pd.DataFrame(list(_epoch_rows("training", folder))),
        {"base": spec},
    )


def _exported(folder: Path) -> Run:
    ablation = _exported_comparison(folder, "ablation", "change")
    config = read_yaml(folder / ("ablation.yaml" if ablation else "study.yaml"))
    specs = {
        name: load_spec(folder / f"{name}.yaml") for name in ("base", "best") if (folder / f"{name}.yaml").exists()
    }
    distributions = _optional(folder / "distributions.json")
    by_name = [name for name, kind in distributions.items() if json.loads(kind)["name"] == "CategoricalDistribution"]
    kept_as_text = {"trial": str, "duplicate_of": str} | {f"searched.{name}": str for name in by_name}
    return Run(
        folder,
        "ablation" if ablation else "study" if "space" in config else "training",
        str(config.get("name", folder.name)),
        config,
        read_json(folder / "environment.json"),
        read_lines(folder / "attempts.jsonl"),
        distributions,
        pd.read_csv(folder / "trials.csv", dtype=kept_as_text),
        pd.read_csv(folder / "epochs.csv", dtype=kept_as_text),
        specs,
        _exported_comparison(folder, "confirm", "confirmed"),
        read_lines(folder / "changes.jsonl"),
        ablation,
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _trial_row(name: str, folder: Path) -> dict[str, Any]:
    result = read_json(folder / "result.json")
    row = {key: value for key, value in result.items() if key not in (*_NESTED, "traceback")}
    for key in _NESTED:
        row |= {f"{key}.{part}": value for part, value in (result.get(key) or {}).items()}
    row["trial"] = name
    speeds = [epoch["images_per_second"] for epoch in read_lines(folder / "metrics.jsonl")]
    if speeds:
        row["images_per_second"] = statistics.median(speeds)
    row["duplicate_of"] = str(result["duplicate_of"]) if "duplicate_of" in result else None
    weight = read_yaml(folder / "recipe.yaml").get("aux_weight") if (folder / "recipe.yaml").exists() else None
    spec = load_spec(folder / "spec.yaml") if (folder / "spec.yaml").exists() else None
    if spec:
        weights = weight if isinstance(weight, dict) else dict.fromkeys(spec.aux_rows, weight)
        row |= {f"aux_weight.{head}": value for head, value in weights.items()}
        row |= {f"row.{name}": text for name, text in splits(spec).items()}
    return row


def _trial_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    first = ["trial", "state", "val_accuracy", "val_loss", "duplicate_of", "reason"]
    frame = pd.DataFrame(rows)
    for column in first:
        if column not in frame:
            frame[column] = None
    return frame[[*first, *(column for column in frame if column not in first)]]


def splits(spec: Spec) -> dict[str, str]:
    """Return each searchable row's family and split as text, `inception_v1 16 | 24>32 | 8>8 | 8`."""
    result = {}
    for row in searchable(spec):
        s = split_of(row)
        result[row.name] = (
            f"{row.block} {s.b1x1} | {s.b3x3.reduce}>{s.b3x3.out} | {s.b5x5.reduce}>{s.b5x5.out} | {s.pool}"
        )
    return result


def _epoch_rows(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    for metrics in read_lines(folder / "metrics.jsonl"):
        row: dict[str, Any] = {"trial": name}
        for key, value in metrics.items():
            row |= {f"{key}.{part}": v for part, v in value.items()} if isinstance(value, dict) else {key: value}
        yield row


def export(run: Run, folder: Path) -> None:
    """Write what the tables are made of: `trials.csv`, `epochs.csv`, the comparison, environment, attempts, specs.

    A confirmation is in `confirm.csv` and `confirm.json`, an ablation in `ablation.csv` and `ablation.json`.
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
    for name, comparison in (("confirm", run.confirmation), ("ablation", run.ablation)):
        if comparison:
            about = {key: getattr(comparison, key) for key in ("plan", "environment", "attempts")}
            write_text(folder / f"{name}.csv", comparison.runs.to_csv(index=False))
            write_json(folder / f"{name}.json", about)
