"""What a confirmation says: scores on the test set and in the search, differences to the base, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.runs.run import Run
from reports.tables.paired import (
    INTERVAL,
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
from reports.tables.run_tables import run_table
from reports.tables.table import Folders, Format, Spread, Table, decimals, integer, macs_head
from reports.tables.trace import gathered
from search.record.layout import BASE


@run_table(order=20, of=("study",))
def confirmation(run: Run) -> Table | None:
    """Every network's test accuracy and its score in the search."""
    if run.confirmation is None:
        return None
    found = scored(run.confirmation)
    head, per_mac = macs_head(network["searched"]["macs"] for network in found.comparison.plan["networks"].values())
    formats: dict[str, Format] = dict.fromkeys(("searched", "mean", "sd", "low", "high"), decimals(2))
    formats |= {"macs": decimals(3), "n": integer} | dict.fromkeys(("shrinkage", "beyond"), "{:+.2f}".format)
    heads = {"macs": head, "searched": "held-out, in the search (%)", "mean": "test, mean (%)"}
    heads |= INTERVAL | {"shrinkage": "shrinkage (points)", "beyond": "beyond the base's"}
    bold, notes = supported(found, "mean"), comparison_protocol(run.confirmation)
    return Table(
        "confirmation",
        f"{run.name}: confirmed on the test set",
        _scores(found, per_mac),
        formats,
        (_shrinkage_note(found.comparison.plan), *bold_note(bold), *missing_note(found), *notes),
        heads,
        spreads={"mean": Spread("sd", "n")},
        bold=bold,
        sources=[trained(found, name) for name in found.scores.index],
        column_sources=_sources(run, found),
    )


def _scores(found: Scored, per_mac: float) -> pd.DataFrame:
    rows = []
    for name, network in found.comparison.plan["networks"].items():
        reached = score(found.scores.loc[name].dropna().tolist())
        n, searched = reached.pop("n"), 100 * network["searched"]["val_accuracy"]
        row = {"network": name, "macs": network["searched"]["macs"] * per_mac, "n": n, "searched": searched}
        rows.append(row | reached | {"shrinkage": searched - reached["mean"]})
    frame = pd.DataFrame(rows)
    is_base = frame["network"] == BASE
    frame["beyond"] = (frame["shrinkage"] - frame.loc[is_base, "shrinkage"].iloc[0]).mask(is_base)
    return frame


def _sources(run: Run, found: Scored) -> dict[str, list[Folders]]:
    """Return the trainings behind the columns that the search has a part in, row by row."""
    plan = found.comparison.plan
    searched = {name: _searched_in(run, plan, network["searched"]) for name, network in plan["networks"].items()}
    both = {name: gathered([folders, trained(found, name)]) for name, folders in searched.items()}
    return {
        "macs": list(searched.values()),
        "searched": list(searched.values()),
        "shrinkage": list(both.values()),
        "beyond": [gathered([folders, both[BASE]]) for folders in both.values()],
    }


def _searched_in(run: Run, plan: Mapping[str, Any], searched: Mapping[str, Any]) -> Folders:
    """Return where the search's training of a confirmed network lies; another study's next to this run's folder."""
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


@run_table(order=21, of=("study",))
def confirmation_differences(run: Run) -> Table | None:
    """Each confirmed network's difference to the base, tested."""
    if run.confirmation is None:
        return None
    found, notes = scored(run.confirmation), comparison_protocol(run.confirmation)
    caption = f"{run.name}: differences to the base, same seeds"
    return differences("confirmation_differences", caption, "network", found, notes)


@run_table(order=22, of=("study",))
def confirmation_prediction(run: Run) -> Table | None:
    """What the search expected of each confirmed network when the confirmation was planned, next to what came."""
    if run.confirmation is None or not _predictions(run.confirmation.plan):
        return None
    found = scored(run.confirmation)
    frame = pd.DataFrame([_predicted(found, name) for name in _predictions(run.confirmation.plan)])
    shown = ("expected", "low", "high", "confirmed", "confirmed_low", "confirmed_high")
    return Table(
        "confirmation_prediction",
        f"{run.name}: how the search's predictions came out",
        frame,
        dict.fromkeys(shown, "{:+.2f}".format) | {"chance": decimals(0), "trainings": integer, "pairs": integer},
        (_prediction_note(found), *missing_note(found), *comparison_protocol(run.confirmation)),
        INTERVAL
        | {
            "trainings": "n searched",
            "expected": "expected (points)",
            "chance": "chance (%)",
            "confirmed": "confirmed (points)",
            "confirmed_low": "confirmed, from",
            "confirmed_high": "confirmed, to",
        },
        sources=[gathered([trained(found, BASE), trained(found, name)]) for name in frame["network"]],
    )


def _predictions(plan: Mapping[str, Any]) -> list[str]:
    """Return the names of the networks of which a search expected a gain."""
    return [name for name, network in plan["networks"].items() if network["searched"].get("expected") is not None]


def _predicted(found: Scored, name: str) -> dict[str, Any]:
    network, compared = found.comparison.plan["networks"][name], found.compared[name]
    searched = network["searched"]
    (low, high), (seen_low, seen_high) = searched["interval"], compared.interval
    overlap = "-" if math.isnan(seen_low) or low is None else "yes" if low <= seen_high and seen_low <= high else "no"
    return {
        "network": name,
        "trainings": searched["trainings"],
        "epochs": searched["epochs"],
        "expected": searched["expected"],
        "low": low,
        "high": high,
        "chance": 100 * searched["chance"],
        "pairs": compared.n,
        "confirmed": compared.mean,
        "confirmed_low": seen_low,
        "confirmed_high": seen_high,
        "agree": overlap if _length(network) == searched["epochs"] else "other length",
    }


def _length(network: Mapping[str, Any]) -> int:
    """Return how many epochs a network was confirmed with."""
    return int(network["recipe"]["epochs"])


def _prediction_note(found: Scored) -> str:
    plan = found.comparison.plan
    lengths = {
        (plan["networks"][name]["searched"]["epochs"], _length(plan["networks"][name])) for name in _predictions(plan)
    }
    others = [
        f"{confirmed} epochs and not {searched}" for searched, confirmed in sorted(lengths) if searched != confirmed
    ]
    text = (
        "Expected: the gain over the base on held-out images, as the search stated it when the network was first planned "
        "for confirmation. Confirmed: on the test set, with fresh seeds. They agree where the two intervals overlap."
    )
    if not others:
        return text
    return (
        f"{text} This confirmation trained for {', '.join(others)}: the prediction is of the shorter or longer training, "
        "and only like lengths can be compared; one with --set recipe.epochs as in the search would tell."
    )


@run_table(order=23, of=("study",))
def confirmation_runs(run: Run) -> Table | None:
    """Every training of the confirmation."""
    if run.confirmation is None:
        return None
    caption, notes = f"{run.name}: trainings of the confirmation", comparison_protocol(run.confirmation)
    return trainings("confirmation_runs", caption, "network", run.confirmation, notes)


def confirmation_tables(run: Run) -> list[Table]:
    """Return the tables of a run's confirmation: scores, differences, predictions, every training; none without one."""
    made = (confirmation(run), confirmation_differences(run), confirmation_prediction(run), confirmation_runs(run))
    return [table for table in made if table is not None]


def verdicts(run: Run) -> str:
    """Return in a sentence what the confirmation found, or nothing where there is none."""
    if run.confirmation is None:
        return ""
    found = scored(run.confirmation)
    return (
        f"Retrained with {len(found.seeds)} fresh seeds and compared on the test set; differences to the base in points: "
        f"{sentence_of(found)}."
    )
