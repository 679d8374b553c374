"""What a confirmation says: scores on the test set beside those of the search, differences to the base, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.runs.run import Run
from reports.tables.paired import (
    Scored,
    bold_note,
    comparison_protocol,
    differences,
    missing_note,
    score,
    scored,
    sentence_of,
    supported,
    trained,
    trainings,
)
from reports.tables.table import Folders, Format, Spread, Table, decimals, macs_unit, whole
from reports.tables.trace import gathered
from search.record.layout import BASE

_HELD_OUT, _MEAN = "held-out, in the search (%)", "test, mean (%)"


def confirmation_tables(run: Run) -> list[Table]:
    """Return the tables of a run's confirmation: scores, differences, every training; none without one."""
    if run.confirmation is None:
        return []
    found, notes = scored(run.confirmation), comparison_protocol(run.confirmation)
    apart, every = f"{run.name}: differences to the base, same seeds", f"{run.name}: trainings of the confirmation"
    return [
        _scores(run, found, notes),
        differences("confirmation_differences", apart, "network", found, notes),
        trainings("confirmation_runs", every, "network", run.confirmation, notes),
    ]


def _scores(run: Run, found: Scored, notes: tuple[str, ...]) -> Table:
    """Every network's test accuracy beside its score in the search."""
    plan, rows = found.comparison.plan, []
    unit, per_mac = macs_unit(network["searched"]["macs"] for network in plan["networks"].values())
    macs = f"MACs ({unit})"
    for name, network in plan["networks"].items():
        values = score(found.scores.loc[name].dropna().tolist())
        searched = 100 * network["searched"]["val_accuracy"]
        row = {"network": name, macs: network["searched"]["macs"] * per_mac, "n": values["n"], _HELD_OUT: searched}
        row |= {_MEAN if key == "mean" else key: value for key, value in values.items() if key != "n"}
        rows.append(row | {"shrinkage (points)": searched - values["mean"]})
    frame = pd.DataFrame(rows)
    base = frame.loc[frame["network"] == BASE, "shrinkage (points)"].iloc[0]
    frame["beyond the base's"] = [
        None if name == BASE else value - base
        for name, value in zip(frame["network"], frame["shrinkage (points)"], strict=True)
    ]
    formats: dict[str, Format] = {str(column): decimals(2) for column in frame.columns[3:]}
    formats |= {macs: decimals(3), "n": whole}
    formats |= dict.fromkeys(("shrinkage (points)", "beyond the base's"), "{:+.2f}".format)
    bold = supported(found, _MEAN)
    every = (_shrinkage_note(plan), *bold_note(bold), *missing_note(found), *notes)
    searched_in = {name: _searched_in(run, plan, network["searched"]) for name, network in plan["networks"].items()}
    both = {name: gathered([searched_in[name], trained(found, name)]) for name in plan["networks"]}
    return Table(
        "confirmation",
        f"{run.name}: confirmed on the test set",
        frame,
        formats,
        every,
        spreads={_MEAN: Spread("sd", "n")},
        bold=bold,
        sources=[trained(found, name) for name in plan["networks"]],
        column_sources={
            macs: list(searched_in.values()),
            _HELD_OUT: list(searched_in.values()),
            "shrinkage (points)": list(both.values()),
            "beyond the base's": [gathered([both[name], both[BASE]]) for name in both],
        },
    )


def _searched_in(run: Run, plan: Mapping[str, Any], searched: Mapping[str, Any]) -> Folders:
    """Return where the search's training of a confirmed network lies; another study's beside this run's folder."""
    own, trial = plan["networks"][BASE]["searched"].get("run"), run.folder_of(str(searched["trial"]))
    return (trial if searched.get("run") == own else f"../{searched['run']}/{trial}",)


def _shrinkage_note(plan: Mapping[str, Any]) -> str:
    searched = plan["networks"][BASE]["searched"]
    return (
        f"The score of the search is held-out accuracy after {searched['epochs']} epochs on {searched['train_images']:,} images, "
        f"one training (n = 1). The confirmed score is test accuracy after {plan['recipe']['epochs']} epochs on all "
        f"{plan['train_images']:,} training images. Shrinkage is the first minus the second; epochs and images are in it too, "
        "for every network alike. The base was not picked by its score: what a candidate shrinks beyond the base is the "
        "optimism of picking the best, to within the spread of the two single trainings of the search."
    )


def verdicts(run: Run) -> str:
    """Return in a sentence what the confirmation found, or nothing where there is none."""
    if run.confirmation is None:
        return ""
    found = scored(run.confirmation)
    return (
        f"Trained again with {len(found.seeds)} fresh seeds and judged on the test set, beside the base in points: "
        f"{sentence_of(found)}."
    )
