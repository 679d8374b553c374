"""What a run is: its summary, its trainings, its best network and the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from arch.analysis.cost import RowCost, cost
from arch.specs.spec import Spec
from reports.runs.run import Run
from reports.runs.splits import splits
from reports.tables.protocol import label, objective_text, protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Folders, Format, Table, absent, decimals, integer, macs_head, percent
from reports.tables.trace import gathered
from search.record.layout import BASE
from search.record.objectives import OBJECTIVES
from search.record.work import spent

# Summary


class _Line(NamedTuple):
    """A line of the summary, and the trainings or files that it is made of."""

    what: str
    value: str
    sources: Folders


@run_table(order=10, of=("study", "training"))
def summary(run: Run) -> Table:
    """What was configured, what came out, what it took: one line each."""
    lines = [_Line("network", str(run.config.get("network", run.name)), _config(run))]
    for part in (_counts, _best, _base, _accuracies, _speed):
        lines += part(run)
    frame = pd.DataFrame([(line.what, line.value) for line in lines], columns=["what", "value"])
    return Table(
        "summary",
        f"{run.name}: summary",
        frame,
        notes=protocol(run),
        sources=[line.sources for line in lines],
        place="summary",
    )


def _config(run: Run) -> Folders:
    return ("study.yaml",) if run.kind == "study" else ("spec.yaml",)


def _counts(run: Run) -> Iterator[_Line]:
    """Yield how many trials a study has, in which states, and what was answered without a training."""
    if run.kind != "study":
        return
    searched, repeated = run.trials[run.trials["trial"] != BASE], run.trials[run.trials["duplicate_of"].notna()]
    states = searched["state"].value_counts().to_dict()
    counted = sum(n for state, n in states.items() if state != "infeasible")
    by_state = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none"
    sources = gathered(run.folders(searched)) or _config(run)
    total = run.config.get("trials", "-")
    yield _Line("finished trials", f"{counted} of {total}" if total else str(counted), sources)
    if budget := run.config.get("budget"):
        done = spent(run.work, budget, run.config["engine"]["threads"])
        yield _Line("work", str(done), sources)
    if "replicate_of" in run.trials:
        again = run.trials[run.trials["replicate_of"].notna() & run.trials["duplicate_of"].isna()]
        yield _Line("repeated with another seed", str(len(again)), gathered(run.folders(again)) or sources)
    yield _Line("by state", by_state, sources)
    yield _Line("answered from the record", str(len(repeated)), gathered(run.folders(repeated)) or sources)
    starts = sum("pid" in attempt for attempt in run.attempts)
    yield _Line("driver started", f"{starts} times", ("attempts.jsonl",))


def _best(run: Run) -> Iterator[_Line]:
    if run.kind == "study" and not run.ranked.empty:
        best = run.ranked.iloc[0]
        reached = f"{objective_text(run, best[run.objective])} (trial {best['trial']}, {int(best['macs']):,} MACs)"
        by = "by expected gain" if run.standing else label(run)
        yield _Line(f"best {by}", reached, run.folders(run.ranked.iloc[:1])[0])


def _base(run: Run) -> Iterator[_Line]:
    if base := run.base:
        reached = f"{objective_text(run, base[run.objective])} ({int(base['macs']):,} MACs)"
        yield _Line(f"base {label(run)}", reached, (run.folder_of(BASE),))


def _accuracies(run: Run) -> Iterator[_Line]:
    """Yield what a single training reached and what its network costs."""
    sources = gathered(run.folders(run.trials))
    names = {"val_accuracy": "held-out accuracy", "test_accuracy": "test accuracy, last epoch"}
    for _, row in run.trials[run.trials["trial"] == "training"].iterrows():
        for column, name in names.items():
            if not absent(row.get(column)):
                yield _Line(name, f"{percent(row[column])} %", sources)
        yield _Line("parameters", integer(row["params"]), sources)
        yield _Line("MACs", integer(row["macs"]), sources)


def _speed(run: Run) -> Iterator[_Line]:
    frame = run.trials
    if "seconds" not in frame or frame["seconds"].dropna().empty:
        return
    own = frame[frame["duplicate_of"].isna()]
    sources = gathered(run.folders(own[own["seconds"].notna()]))
    seconds = run.work.seconds if run.kind == "study" and run.standing else own["seconds"].sum()
    yield _Line("training time, summed", f"{seconds / 60:.1f} min", sources)
    yield _Line("images per second and training, median", f"{own['images_per_second'].median():.0f}", sources)


# Trainings


class _Unit(NamedTuple):
    """How a column of the frames is headed, by what it is multiplied, and to how many decimals it is printed."""

    head: str
    factor: float
    places: int


_UNITS = {
    "train_accuracy": _Unit("train accuracy (%)", 100, 2),
    "lr": _Unit("learning rate", 1, 5),
    "seconds": _Unit("time (s)", 1, 0),
    "images_per_second": _Unit("img/s", 1, 0),
    "epoch": _Unit("epoch", 1, 0),
    "epochs": _Unit("epochs", 1, 0),
    "seed": _Unit("seed", 1, 0),
}


def _unit(column: str, values: Iterable[Any]) -> _Unit | None:
    if column == "macs":
        return _Unit(*macs_head(values), 3)
    if column in OBJECTIVES:
        objective = OBJECTIVES.get(column)
        return _Unit(objective.header, objective.factor, objective.digits)
    return _Unit(column, 1, 3) if column.startswith("aux_weight.") else _UNITS.get(column)


def _with_units(name: str, caption: str, frame: pd.DataFrame, run: Run, sources: list[Folders]) -> Table:
    """Return a table of frames' columns, its numbers in the units that its headers name."""
    units = {column: unit for column in map(str, frame) if (unit := _unit(column, frame[column]))}
    scaled = {column: (pd.to_numeric(frame[column]) * unit.factor).round(8) for column, unit in units.items()}
    heads = {column: unit.head for column, unit in units.items()}
    formats = {column: decimals(unit.places) for column, unit in units.items()}
    return Table(name, f"{run.name}: {caption}", frame.assign(**scaled), formats, protocol(run), heads, sources=sources)


@run_table(order=30, of=("study",))
def trials(run: Run) -> Table:
    """Every trial that was trained or answered, best first, and the base."""
    frame = run.trials[run.trials["state"] != "infeasible"]
    aux = [column for column in frame if str(column).startswith("aux_weight.")]
    counted = ["activations"] if "activations" in frame else []  # earlier runs did not record them
    columns = ["trial", "state", run.objective, "params", "macs", *counted, *aux, "epochs", "seconds"]
    columns += ["images_per_second"]
    raced = ["seed", *(name for name in ("replicate_of", "continues") if name in frame)]
    columns += raced if len(raced) > 1 else []
    columns += ["duplicate_of"] if frame["duplicate_of"].notna().any() else []
    better = frame[run.objective] * (1 if run.objectives.minimise else -1)
    order = frame.assign(unfinished=frame["state"] != "complete", better=better).sort_values(["unfinished", "better"])
    shown = order.reindex(columns=columns).reset_index(drop=True)
    caption = "every training, by the score that was seen" if run.standing else "trials, best first"
    return _with_units("trials", caption, shown, run, run.folders(order))


@run_table(order=20, of=("training",))
def epochs(run: Run) -> Table:
    """Every epoch of a single training."""
    columns = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    frame = run.epochs.reindex(columns=[*columns, "images_per_second"])
    return _with_units("epochs", "epochs", frame, run, [(run.folder_of("training"),)] * len(frame))


# The best network


@run_table(order=40, of=("study",))
def best_and_base(run: Run) -> Table | None:
    """The best network and the base, row by row: splits, and MACs without auxiliary heads."""
    if set(run.specs) < {"base", "best"}:
        return None
    trial = run.ranked.iloc[0]["trial"]
    frame, heads = _row_by_row(run.specs["base"], run.specs["best"], trial)
    formats: dict[str, Format] = dict.fromkeys(("base_macs", "best_macs"), decimals(3))
    formats |= {"change": lambda value: f"{100 * value:+.1f} %"}
    of_base, of_best = (run.folder_of(BASE),), (run.folder_of(trial),)
    return Table(
        "best",
        f"{run.name}: best network next to the base",
        frame,
        formats,
        ("Splits read 1x1 | 3x3 reduce>3x3 | 5x5 reduce>5x5 | pool projection.", *protocol(run)),
        heads,
        sources=[(*of_base, *of_best)] * len(frame),
        column_sources=dict.fromkeys(("base", "base_macs"), [of_base] * len(frame))
        | dict.fromkeys(("best", "best_macs"), [of_best] * len(frame)),
    )


def _row_by_row(base: Spec, best: Spec, trial: str) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """Return the rows of two networks and their sums, and how the columns are headed."""
    old, new = cost(base), cost(best)
    head, factor = macs_head([old.macs, new.macs])
    rows = [
        {"row": was.name, "base": _text(base, was), "best": _text(best, now)} | _macs(was.macs, now.macs, factor)
        for was, now in zip(old.rows, new.rows, strict=True)
    ]
    rows.append({"row": "total", "base": base.name, "best": f"trial {trial}"} | _macs(old.macs, new.macs, factor))
    frame = pd.DataFrame(rows).round({"base_macs": 9, "best_macs": 9})
    return frame, {"base_macs": f"base {head}", "best_macs": f"best {head}"}


def _text(spec: Spec, row: RowCost) -> str:
    return str(splits(spec).get(row.name, row.block))


def _macs(old: int, new: int, factor: float) -> dict[str, Any]:
    return {"base_macs": old * factor, "best_macs": new * factor, "change": new / old - 1 if old else None}
