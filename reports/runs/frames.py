"""The frames that figures are drawn from, taken from a run: one fact a row, numbers in the units that readers see."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from arch.analysis.cost import cost
from arch.errors import InputError
from arch.specs.read import load as load_spec
from arch.specs.spec import Spec
from reports.runs.run import Run
from reports.runs.splits import RowSplit, splits
from search.record.layout import BASE

OTHERS = "other trials"  # the series of those that are drawn without a name each


def scale(run: Run) -> float:
    """Return what the objective is multiplied by to be shown: accuracies are in per cent."""
    return run.objectives.first.factor


def networks(run: Run) -> pd.DataFrame:
    """Return each trained network: `trial`, `role` (best, base, trial), `score` as shown, `macs`, `params`.

    Best first, the base last.
    """
    ranked, base = run.ranked, run.trials[run.trials["trial"] == BASE].loc[lambda f: f["state"] == "complete"]
    rows = pd.concat([ranked, base] if len(base) else [ranked])
    frame = rows.reindex(columns=["trial", "macs", "params"]).reset_index(drop=True)
    scores = pd.to_numeric(rows.reindex(columns=[run.objective])[run.objective])
    frame["score"] = scale(run) * scores.to_numpy(dtype=float)
    frame["role"] = ["base" if t == BASE else "trial" if i else "best" for i, t in enumerate(frame["trial"])]
    return frame[frame["score"].notna()].reset_index(drop=True)


def curves(run: Run) -> pd.DataFrame:
    """Return the learning curves: `series`, `training`, `epoch`, `accuracy` (%), `lr`.

    Trainings of one series differ by their seed alone. A study's are its base, its best trial and each other one
    under `OTHERS`; an ablation's its changes; a single training's the held-out and the training images.
    """
    epochs = run.epochs
    if epochs.empty:
        return _no_curves()
    if run.ablation:
        return _curves(epochs, epochs["change"], "val_accuracy" if _held_out(run) else "train_accuracy")
    if run.kind == "training":
        parts = {"held-out images": "val_accuracy", "training images, augmented": "train_accuracy"}
        found = [_curves(epochs, pd.Series(name, epochs.index), column) for name, column in parts.items()]
        return pd.concat(found, ignore_index=True)
    best = None if run.ranked.empty else run.ranked.iloc[0]["trial"]
    network = _networks_of(run)
    names = {network.get(BASE, BASE): "base network", network.get(str(best), best): f"best (trial {best})"}
    return _curves(
        epochs, epochs["trial"].map(lambda trial: names.get(network.get(trial, trial), OTHERS)), "val_accuracy"
    )


def _networks_of(run: Run) -> dict[str, str]:
    """Return the key of each training's network, so that all seeds of a network are one series."""
    complete = run.trials[run.trials["state"] == "complete"]
    return dict(zip(complete["trial"], complete["key"], strict=True)) if "key" in complete else {}


def curves_label(run: Run) -> str:
    """Return what the accuracies of `curves` were measured on, as an axis says it."""
    if run.kind == "training":
        return "accuracy (%)"
    return "held-out accuracy (%)" if not run.ablation or _held_out(run) else "train accuracy (%)"


def _held_out(run: Run) -> bool:
    return "val_accuracy" in run.epochs and bool(run.epochs["val_accuracy"].notna().any())


def confirmation_curves(run: Run) -> pd.DataFrame:
    """Return a confirmation's learning curves, on its training images: there are no held-out ones."""
    epochs = run.confirmation.epochs if run.confirmation else pd.DataFrame()
    if epochs.empty:
        return _no_curves()
    return _curves(epochs, epochs["confirmed"], "train_accuracy")


def _curves(epochs: pd.DataFrame, series: pd.Series, column: str) -> pd.DataFrame:
    if epochs["epoch"].astype(int).max() < 2:  # a point is no curve
        return _no_curves()
    found = epochs.reindex(columns=["trial", "epoch", column, "lr"]).astype({"epoch": int})
    found.insert(0, "series", series.astype(str))
    found[column] = 100 * pd.to_numeric(found[column])
    found["lr"] = pd.to_numeric(found["lr"])
    found = found.rename(columns={"trial": "training", column: "accuracy"})
    return found[found["accuracy"].notna()].reset_index(drop=True)


def _no_curves() -> pd.DataFrame:
    return pd.DataFrame(columns=["series", "training", "epoch", "accuracy", "lr"])


def compositions(run: Run, top: int = 2) -> pd.DataFrame:
    """Return how networks divide the channels of each row: `network`, `row`, `branch`, `channels`, `share`.

    GoogLeNet's own rows of the same names, the base, and the best `top`; nothing where no row has a split.
    """
    found: list[dict[str, object]] = []
    base = run.trials[run.trials["trial"] == BASE]
    chosen = [("base", frame) for frame in [base] if len(base)]
    chosen += [(f"trial {t}", run.ranked[run.ranked["trial"] == t]) for t in run.ranked["trial"].head(top)]
    for network, frame in chosen:
        for column, split in frame.iloc[0].items():
            if isinstance(split, RowSplit):
                found += _shares(network, str(column).removeprefix("row."), split)
    names = {row["row"] for row in found}
    paper = {name: split for name, split in splits(load_spec("googlenet")).items() if name in names}
    found = [share for row, split in paper.items() for share in _shares("GoogLeNet", row, split)] + found
    return pd.DataFrame(found, columns=["network", "row", "branch", "channels", "share"])


def _shares(network: str, row: str, split: RowSplit) -> list[dict[str, object]]:
    total = sum(split.channels.values())
    return [
        {"network": network, "row": row, "branch": branch, "channels": n, "share": n / total}
        for branch, n in split.channels.items()
    ]


def row_costs(specs: dict[str, Spec]) -> pd.DataFrame:
    """Return what each row of some networks costs, auxiliary heads apart: `network`, `row`, `macs`, `params`.

    Raises
    ------
    InputError
        The networks' rows have other names, so that they cannot be set side by side.
    """
    costs = {name: cost(spec).rows for name, spec in specs.items()}
    rows = {tuple(row.name for row in found) for found in costs.values()}
    if len(rows) > 1:
        raise InputError(f"{', '.join(specs)}: have other rows, but row by row they need the same; draw them apart.")
    return pd.DataFrame(
        [
            {"network": name, "row": row.name, "macs": row.macs, "params": row.params}
            for name, found in costs.items()
            for row in found
        ]
    )


def head_points(run: Run, heads: Sequence[str]) -> pd.DataFrame:
    """Return each trial's held-out accuracies by the loss weight of each head.

    `head`, its `weight`, `of` (`network` or `head X`), `accuracy` (%).
    """
    ranked, found = run.ranked, []
    measured = {"network": "val_accuracy"} | {f"head {head}": f"val_aux_accuracy.{head}" for head in heads}
    for head in heads:
        for of, column in measured.items():
            part = ranked[["trial", f"aux_weight.{head}", column]].set_axis(["trial", "weight", "accuracy"], axis=1)
            part = part.assign(head=head, of=of, accuracy=100 * pd.to_numeric(part["accuracy"]))
            found.append(part.dropna(subset=["weight", "accuracy"]))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["head", "weight", "of", "accuracy"])
