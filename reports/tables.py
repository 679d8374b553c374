"""The tables of a run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from arch.cost import cost
from reports.ablation import ablation_tables
from reports.confirmation import confirmation_tables
from reports.learnt import learnt_tables
from reports.load import Run, splits
from reports.protocol import label, protocol, told
from reports.table import Format, Table, absent, decimals, percent, whole
from search.record import BASE


def summary(run: Run) -> Table:
    """What was asked, what came out, what it took: one line each."""
    frame, ranked = run.trials, run.ranked
    lines: list[tuple[str, str]] = [("network", str(run.config.get("network", run.name)))]
    if run.kind == "study":
        states = frame[frame["trial"] != BASE]["state"].value_counts().to_dict()
        asked = run.config.get("trials", "-")
        counted = sum(n for state, n in states.items() if state != "infeasible")
        lines += [
            ("finished trials", f"{counted} of {asked}"),
            ("by state", ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none"),
            ("answered from the record", str(int(frame["duplicate_of"].notna().sum()))),
            ("driver started", f"{sum('pid' in attempt for attempt in run.attempts)} times"),
        ]
    if run.kind == "study" and not ranked.empty:
        best = ranked.iloc[0]
        lines += [
            (
                f"best {label(run)}",
                f"{told(run, best[run.objective])} (trial {best['trial']}, {int(best['macs']):,} MACs)",
            )
        ]
    if run.base:
        base = run.base
        lines += [(f"base {label(run)}", f"{told(run, base[run.objective])} ({int(base['macs']):,} MACs)")]
    for _, row in frame[frame["trial"] == "training"].iterrows():
        lines += [] if absent(row["val_accuracy"]) else [("held-out accuracy", f"{percent(row['val_accuracy'])} %")]
        if "test_accuracy" in frame and not absent(row["test_accuracy"]):
            lines += [("test accuracy, last epoch", f"{percent(row['test_accuracy'])} %")]
        lines += [("parameters", whole(row["params"])), ("MACs", whole(row["macs"]))]
    if "seconds" in frame and not frame["seconds"].dropna().empty:
        own = frame[frame["duplicate_of"].isna()]
        lines += [
            ("training time, summed", f"{own['seconds'].sum() / 60:.1f} min"),
            ("images per second and training, median", f"{own['images_per_second'].median():.0f}"),
        ]
    return Table("summary", f"{run.name}: summary", pd.DataFrame(lines, columns=["what", "value"]), {}, protocol(run))


# How a column of the frames is headed, by what it is multiplied, and to how many decimals it is printed.
_UNITS = {
    "val_accuracy": ("held-out accuracy (%)", 100, 2),
    "val_loss": ("held-out loss", 1, 4),
    "train_accuracy": ("train accuracy (%)", 100, 2),
    "train_loss": ("train loss", 1, 4),
    "params": ("params (M)", 1e-6, 3),
    "macs": ("MACs (M)", 1e-6, 3),
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
    ordered = order.reindex(columns=columns)
    return Table(
        "trials", f"{run.name}: trials, best first", *_with_units(ordered.reset_index(drop=True)), protocol(run)
    )


def best_beside_base(run: Run) -> Table | None:
    """The best network beside the base, row by row: splits, and MACs without auxiliary heads."""
    if set(run.specs) < {"base", "best"}:
        return None
    base, best = run.specs["base"], run.specs["best"]
    old_splits, new_splits = splits(base), splits(best)
    rows: list[dict[str, Any]] = []
    for old, new in zip(cost(base).rows, cost(best).rows, strict=True):
        rows.append(
            {
                "row": old.name,
                "base": old_splits.get(old.name, old.block),
                "best": new_splits.get(new.name, new.block),
                "base MACs": old.macs,
                "best MACs": new.macs,
                "change": new.macs / old.macs - 1 if old.macs else None,
            }
        )
    total_old, total_new = cost(base).macs, cost(best).macs
    rows.append(
        {
            "row": "total",
            "base": base.name,
            "best": f"trial {run.ranked.iloc[0]['trial']}",
            "base MACs": total_old,
            "best MACs": total_new,
            "change": total_new / total_old - 1,
        }
    )
    formats: dict[str, Format] = {
        "base MACs": whole,
        "best MACs": whole,
        "change": lambda value: f"{100 * value:+.1f} %",
    }
    note = "Splits read 1x1 | 3x3 reduce>3x3 | 5x5 reduce>5x5 | pool projection."
    return Table(
        "best", f"{run.name}: best network beside the base", pd.DataFrame(rows), formats, (note, *protocol(run))
    )


def epochs(run: Run) -> Table:
    """Every epoch of a single training."""
    columns = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    frame = run.epochs.reindex(columns=[*columns, "images_per_second"])
    return Table("epochs", f"{run.name}: epochs", *_with_units(frame), protocol(run))


def tables_of(run: Run) -> list[Table]:
    """Return the tables that a run has something for."""
    if run.kind == "training":
        return [summary(run), epochs(run)]
    if run.kind == "ablation":
        return ablation_tables(run)
    beside = best_beside_base(run)
    return [summary(run), *confirmation_tables(run), trials(run), *([beside] if beside else []), *learnt_tables(run)]
