"""Tables: one pandas frame each, written as CSV, Markdown, LaTeX and HTML from that frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from arch.cost import cost
from reports.load import BASE, Run, splits
from search.record import write_text

Format = Callable[[Any], str]
MISSING = "-"


@dataclass(frozen=True)
class Table:
    """A frame with its caption, its notes (protocol, seeds, n, hardware), and how columns are printed.

    Numbers in the frame are plain; `formats` maps a column to how a reader sees it.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    formats: Mapping[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def printed(self) -> pd.DataFrame:
        """Return the frame as text, as it is printed."""
        columns = {}
        for column in self.frame:
            show = self.formats.get(str(column), str)
            columns[column] = [MISSING if _absent(value) else show(value) for value in self.frame[column]]
        return pd.DataFrame(columns, dtype=str)

    def csv(self) -> str:
        """Return the plain numbers as CSV."""
        return self.frame.to_csv(index=False)

    def markdown(self) -> str:
        """Return a GitHub table with caption and notes."""
        body = self.printed().map(lambda text: text.replace("|", "\\|")).to_markdown(index=False, disable_numparse=True)
        parts = [f"**{self.caption}**" if self.caption else "", str(body), *self.notes]
        return "\n\n".join(filter(None, parts)) + "\n"

    def latex(self) -> str:
        """Return a booktabs table with caption and notes."""
        body = self.printed().rename(columns=tex).map(tex)
        caption = tex(" ".join([f"{self.caption}.", *self.notes])) if self.caption else None
        label = f"tab:{self.name}" if self.caption else None
        return str(body.style.hide(axis="index").to_latex(hrules=True, caption=caption, label=label))

    def write(self, folder: Path) -> None:
        """Write `NAME.csv`, `NAME.md` and `NAME.tex`."""
        for ending, text in (("csv", self.csv()), ("md", self.markdown()), ("tex", self.latex())):
            write_text(folder / f"{self.name}.{ending}", text)


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or value is pd.NA


def tex(text: Any) -> str:
    """Return text with what LaTeX reads as commands escaped."""
    escapes = {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "`": r"\textasciigrave{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        ">": r"$>$",
        "<": r"$<$",
    }
    return "".join(escapes.get(letter, letter) for letter in str(text))


def longtable(table: Table, wide: str, width: str = "6cm") -> str:
    """Return a table that goes on over pages, column `wide` set as paragraphs, the notes behind it."""
    body = table.printed().rename(columns=tex).map(tex)
    text = body.style.hide(axis="index").to_latex(
        hrules=True,
        environment="longtable",
        column_format="".join(f"p{{{width}}}" if column == wide else "l" for column in table.frame),
        caption=tex(table.caption),
        label=f"tab:{table.name}",
    )
    return "\n".join(["% needs \\usepackage{booktabs,longtable}", text, *map(tex, table.notes), ""])


def percent(value: float) -> str:
    """Show a fraction in per cent, two decimals."""
    return f"{100 * value:.2f}"


def whole(value: float) -> str:
    """Show a count with separators."""
    return f"{int(value):,}"


def decimals(places: int) -> Format:
    """Return a format of so many decimals."""
    return lambda value: f"{value:.{places}f}"


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
    held_out = "accuracy on held-out training images; the test set was not opened" if run.kind == "study" else ""
    return (
        f"Protocol: {counted}; {data}"
        + (f", {int(images.iloc[0]):,} training images" if len(images) else "")
        + f"; recipe {recipe.get('name', '-')}, {recipe.get('epochs', '-')} epochs, batch {recipe.get('batch', '-')}"
        + (f"; {held_out}." if held_out else "."),
        f"Hardware: {about.get('processor', '-')}, {about.get('cores', '-')} cores, "
        f"{about.get('workers', 1)} training(s) at a time, {about.get('threads', '-')} thread(s) each, {about.get('device', '-')}; "
        f"torch {versions.get('torch', '-')}, optuna {versions.get('optuna', '-')}, commit {commits}.",
    )


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
                f"best {_label(run)}",
                f"{_objective(run, best[run.objective])} (trial {best['trial']}, {int(best['macs']):,} MACs)",
            )
        ]
    if run.base:
        base = run.base
        lines += [(f"base {_label(run)}", f"{_objective(run, base[run.objective])} ({int(base['macs']):,} MACs)")]
    for _, row in frame[frame["trial"] == "training"].iterrows():
        lines += [] if _absent(row["val_accuracy"]) else [("held-out accuracy", f"{percent(row['val_accuracy'])} %")]
        if "test_accuracy" in frame and not _absent(row["test_accuracy"]):
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


def importance(run: Run) -> Table | None:
    """Each searched parameter's share of the objective's variance (fANOVA, Hutter et al. 2014)."""
    import optuna
    from optuna.distributions import json_to_distribution
    from optuna.trial import create_trial

    ranked = run.ranked
    names = [
        name
        for name in sorted(run.distributions)
        if f"searched.{name}" in ranked and ranked[f"searched.{name}"].notna().all()
    ]
    varying = [name for name in names if ranked[f"searched.{name}"].nunique() > 1]
    if len(ranked) < 4 or not varying or ranked[run.objective].nunique() < 2:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if run.objective == "val_loss" else "maximize")
    distributions = {name: json_to_distribution(run.distributions[name]) for name in varying}
    for _, row in ranked.sort_values("trial").iterrows():
        params = {name: row[f"searched.{name}"] for name in varying}
        study.add_trial(create_trial(params=params, distributions=distributions, value=float(row[run.objective])))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varying)
    frame = pd.DataFrame({"parameter": list(shares), "importance": list(shares.values())})
    note = f"fANOVA over {len(ranked)} trained trials; with so few trials a ranking, not a measurement."
    return Table(
        "importance",
        f"{run.name}: importance of the searched parameters",
        frame,
        {"importance": decimals(3)},
        (note, *protocol(run)),
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
    found = [summary(run), trials(run), best_beside_base(run), importance(run)]
    return [table for table in found if table is not None]


def _label(run: Run) -> str:
    return _UNITS[run.objective][0]


def _objective(run: Run, value: float) -> str:
    return f"{percent(value)} %" if run.objective == "val_accuracy" else f"{value:.4f}"
