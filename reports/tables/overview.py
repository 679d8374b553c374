"""The tables of a run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from arch.analysis.cost import cost
from reports.runs.rows import splits
from reports.runs.run import Run
from reports.tables.ablation import ablation_tables
from reports.tables.confirmation import confirmation_tables
from reports.tables.front import front_table
from reports.tables.insight import learnt_tables
from reports.tables.protocol import label, protocol, told
from reports.tables.table import Folders, Format, Table, absent, decimals, macs_unit, percent, whole
from reports.tables.trace import gathered
from search.record.layout import BASE


def summary(run: Run) -> Table:
    """What was asked, what came out, what it took: one line each."""
    frame, ranked = run.trials, run.ranked
    config = ("study.yaml",) if run.kind == "study" else ("spec.yaml",)
    every = gathered(run.folders(frame))
    lines: list[tuple[str, str, Folders]] = [("network", str(run.config.get("network", run.name)), config)]
    if run.kind == "study":
        states = frame[frame["trial"] != BASE]["state"].value_counts().to_dict()
        asked = run.config.get("trials", "-")
        counted = sum(n for state, n in states.items() if state != "infeasible")
        searched = gathered(run.folders(frame[frame["trial"] != BASE])) or config
        repeated = gathered(run.folders(frame[frame["duplicate_of"].notna()]))
        lines += [
            ("finished trials", f"{counted} of {asked}", searched),
            ("by state", ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none", searched),
            ("answered from the record", str(int(frame["duplicate_of"].notna().sum())), repeated or searched),
            ("driver started", f"{sum('pid' in attempt for attempt in run.attempts)} times", ("attempts.jsonl",)),
        ]
    if run.kind == "study" and not ranked.empty:
        best = ranked.iloc[0]
        lines += [
            (
                f"best {label(run)}",
                f"{told(run, best[run.objective])} (trial {best['trial']}, {int(best['macs']):,} MACs)",
                run.folders(ranked.iloc[:1])[0],
            )
        ]
    if run.base:
        base = run.base
        cost_too = f"{told(run, base[run.objective])} ({int(base['macs']):,} MACs)"
        lines += [(f"base {label(run)}", cost_too, (run.folder_of(BASE),))]
    for _, row in frame[frame["trial"] == "training"].iterrows():
        for column, name in (("val_accuracy", "held-out accuracy"), ("test_accuracy", "test accuracy, last epoch")):
            lines += [] if absent(row.get(column)) else [(name, f"{percent(row[column])} %", every)]
        lines += [("parameters", whole(row["params"]), every), ("MACs", whole(row["macs"]), every)]
    if "seconds" in frame and not frame["seconds"].dropna().empty:
        own = frame[frame["duplicate_of"].isna()]
        trained = gathered(run.folders(own[own["seconds"].notna()]))
        lines += [
            ("training time, summed", f"{own['seconds'].sum() / 60:.1f} min", trained),
            ("images per second and training, median", f"{own['images_per_second'].median():.0f}", trained),
        ]
    said = pd.DataFrame([line[:2] for line in lines], columns=["what", "value"])
    return Table("summary", f"{run.name}: summary", said, {}, protocol(run), sources=[line[2] for line in lines])


# How a column of the frames is headed, by what it is multiplied, and to how many decimals it is printed.
_UNITS = {
    "val_accuracy": ("held-out accuracy (%)", 100, 2),
    "val_loss": ("held-out loss", 1, 4),
    "train_accuracy": ("train accuracy (%)", 100, 2),
    "train_loss": ("train loss", 1, 4),
    "params": ("parameters (M)", 1e-6, 3),
    "macs": ("MACs", 1e-6, 3),
    "lr": ("learning rate", 1, 5),
    "seconds": ("time (s)", 1, 0),
    "images_per_second": ("img/s", 1, 0),
    "epoch": ("epoch", 1, 0),
    "epochs": ("epochs", 1, 0),
}


def _with_units(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Format]]:
    """Return the frame with its numbers in the units that its headers name, and how these are printed."""
    columns, formats = {}, {}
    for column in map(str, frame):
        if column in _UNITS or column.startswith("aux_weight."):
            name, factor, places = _UNITS.get(column, (column, 1, 3))
            if column == "macs":
                unit, factor = macs_unit(frame[column])
                name = f"MACs ({unit})"
            columns[name] = (pd.to_numeric(frame[column]) * factor).round(8)
            formats[name] = decimals(places)
        else:
            columns[column] = frame[column]
    return pd.DataFrame(columns), formats


def trials(run: Run) -> Table:
    """Every trial that was trained or answered, best first, and the base."""
    frame = run.trials[run.trials["state"] != "infeasible"]
    aux = [column for column in frame if str(column).startswith("aux_weight.")]
    columns = ["trial", "state", run.objective, "params", "macs", *aux, "epochs", "seconds", "images_per_second"]
    columns += ["duplicate_of"] if frame["duplicate_of"].notna().any() else []
    better = frame[run.objective] * (1 if run.objective == "val_loss" else -1)
    order = frame.assign(unfinished=frame["state"] != "complete", better=better).sort_values(["unfinished", "better"])
    shown = order.reindex(columns=columns).reset_index(drop=True)
    return Table(
        "trials",
        f"{run.name}: trials, best first",
        *_with_units(shown),
        protocol(run),
        sources=run.folders(order),
    )


def best_beside_base(run: Run) -> Table | None:
    """The best network beside the base, row by row: splits, and MACs without auxiliary heads."""
    if set(run.specs) < {"base", "best"}:
        return None
    base, best, trial = run.specs["base"], run.specs["best"], run.ranked.iloc[0]["trial"]
    old_splits, new_splits = splits(base), splits(best)
    unit, factor = macs_unit([cost(base).macs, cost(best).macs])
    old_macs, new_macs = f"base MACs ({unit})", f"best MACs ({unit})"
    rows: list[dict[str, Any]] = [
        {
            "row": old.name,
            "base": old_splits.get(old.name, old.block),
            "best": new_splits.get(new.name, new.block),
            old_macs: old.macs * factor,
            new_macs: new.macs * factor,
            "change": new.macs / old.macs - 1 if old.macs else None,
        }
        for old, new in zip(cost(base).rows, cost(best).rows, strict=True)
    ]
    rows.append(
        {
            "row": "total",
            "base": base.name,
            "best": f"trial {trial}",
            old_macs: cost(base).macs * factor,
            new_macs: cost(best).macs * factor,
            "change": cost(best).macs / cost(base).macs - 1,
        }
    )
    frame = pd.DataFrame(rows).round({old_macs: 9, new_macs: 9})
    formats: dict[str, Format] = {
        old_macs: decimals(3),
        new_macs: decimals(3),
        "change": lambda value: f"{100 * value:+.1f} %",
    }
    of_base, of_best = (run.folder_of(BASE),), (run.folder_of(trial),)
    note = "Splits read 1x1 | 3x3 reduce>3x3 | 5x5 reduce>5x5 | pool projection."
    return Table(
        "best",
        f"{run.name}: best network beside the base",
        frame,
        formats,
        (note, *protocol(run)),
        sources=[(*of_base, *of_best)] * len(frame),
        column_sources={
            "base": [of_base] * len(frame),
            old_macs: [of_base] * len(frame),
            "best": [of_best] * len(frame),
            new_macs: [of_best] * len(frame),
        },
    )


def epochs(run: Run) -> Table:
    """Every epoch of a single training."""
    columns = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    frame = run.epochs.reindex(columns=[*columns, "images_per_second"])
    sources = [(run.folder_of("training"),)] * len(frame)
    return Table("epochs", f"{run.name}: epochs", *_with_units(frame), protocol(run), sources=sources)


def tables_of(run: Run) -> list[Table]:
    """Return the tables that a run has something for."""
    if run.kind == "training":
        return [summary(run), epochs(run)]
    if run.kind == "ablation":
        return ablation_tables(run)
    beside = best_beside_base(run)
    several = front_table(run) if len(run.objectives) > 1 else None
    return [
        summary(run),
        *confirmation_tables(run),
        trials(run),
        *([beside] if beside else []),
        *learnt_tables(run),
        *([several] if several else []),
    ]
