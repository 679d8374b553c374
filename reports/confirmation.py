"""What a confirmation says: scores on the test set, differences to the base in pairs, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.load import Confirmation, Run
from reports.stats import MIN_PAIRS, Compared, best_supported, compare, mean_std, sign_flip_floor, t_interval
from reports.table import Folders, Format, Spread, Table, decimals, macs_unit, whole
from search.record import BASE

_HELD_OUT, _MEAN = "held-out, in the search (%)", "test, mean (%)"
_DIFFERENCE = "difference to the base (points)"


@dataclass(frozen=True)
class Confirmed:
    """A confirmation's numbers: `scores` one row a network with its seeds as columns, in per cent, NaN where missing.

    `compared` holds each candidate beside the base, by name.
    """

    scores: pd.DataFrame
    missing: dict[str, dict[int, str]]
    compared: dict[str, Compared]


def confirmed(confirmation: Confirmation) -> Confirmed:
    """Return the test accuracies by network and seed, what is missing of them and why, and the comparisons."""
    plan, runs = confirmation.plan, confirmation.runs
    done = runs["state"].eq("complete") & runs.reindex(columns=["test_accuracy"])["test_accuracy"].notna()
    accuracy = 100 * runs[done].set_index(["confirmed", "seed"]).reindex(columns=["test_accuracy"])[
        "test_accuracy"
    ].astype(float)
    scores = accuracy.unstack("seed") if len(accuracy) else pd.DataFrame()
    scores = scores.reindex(index=list(plan["networks"]), columns=plan["seeds"]).astype(float)
    missing: dict[str, dict[int, str]] = {name: {} for name in plan["networks"]}
    for row in runs[~done].to_dict("records"):
        missing[row["confirmed"]][int(row["seed"])] = _why(row)
    candidates = [name for name in plan["networks"] if name != BASE]
    differences = [(scores.loc[name] - scores.loc[BASE]).dropna().tolist() for name in candidates]
    whole_ones = [not missing[name] and not missing[BASE] for name in candidates]
    return Confirmed(scores, missing, dict(zip(candidates, compare(differences, whole_ones), strict=True)))


def _why(row: Mapping[Any, Any]) -> str:
    if row["state"] == "failed":
        return f"failed: {row.get('reason')}"
    return "not finished"


def confirmation_tables(run: Run) -> list[Table]:
    """Return the tables of a run's confirmation: scores, differences, every training; none without one."""
    if run.confirmation is None:
        return []
    found = confirmed(run.confirmation)
    return [
        _scores(run, run.confirmation, found),
        _differences(run, run.confirmation, found),
        _trainings(run, run.confirmation),
    ]


def _scores(run: Run, confirmation: Confirmation, found: Confirmed) -> Table:
    """Every network's test accuracy beside its score in the search."""
    plan, rows = confirmation.plan, []
    unit, per_mac = macs_unit([network["searched"]["macs"] for network in plan["networks"].values()])
    for name, network in plan["networks"].items():
        values = found.scores.loc[name].dropna().tolist()
        (mean, std), (low, high) = mean_std(values), t_interval(values)
        searched = 100 * network["searched"]["val_accuracy"]
        rows.append(
            {
                "network": name,
                f"MACs ({unit})": network["searched"]["macs"] * per_mac,
                "n": len(values),
                _HELD_OUT: searched,
                _MEAN: mean,
                "sd": std,
                "95 % from": low,
                "to": high,
                "shrinkage (points)": searched - mean,
            }
        )
    frame = pd.DataFrame(rows)
    base = frame.loc[frame["network"] == BASE, "shrinkage (points)"].iloc[0]
    frame["beyond the base's"] = [
        None if name == BASE else value - base
        for name, value in zip(frame["network"], frame["shrinkage (points)"], strict=True)
    ]
    formats: dict[str, Format] = {str(column): decimals(2) for column in frame.columns[3:]}
    formats |= {f"MACs ({unit})": decimals(3), "n": whole}
    formats |= dict.fromkeys(("shrinkage (points)", "beyond the base's"), "{:+.2f}".format)
    supported = best_supported({name: compared.verdict for name, compared in found.compared.items()}, BASE)
    notes = (_shrinkage_note(plan), *_bold_note(supported), *_missing_note(found), *confirmation_protocol(confirmation))
    searched = [_searched_folders(run, plan, network["searched"]) for network in plan["networks"].values()]
    trained = [trainings(confirmation, name) for name in plan["networks"]]
    both = [(*folders, *runs) for folders, runs in zip(searched, trained, strict=True)]
    of_base = searched[list(plan["networks"]).index(BASE)] + trainings(confirmation, BASE)
    return Table(
        "confirmation",
        f"{run.name}: confirmed on the test set",
        frame,
        formats,
        notes,
        spreads={_MEAN: Spread("sd", "n")},
        bold=frozenset((row, _MEAN) for row, name in enumerate(frame["network"]) if name in supported),
        sources=trained,
        column_sources={
            f"MACs ({unit})": searched,
            _HELD_OUT: searched,
            "shrinkage (points)": both,
            "beyond the base's": [tuple(dict.fromkeys((*folders, *of_base))) for folders in both],
        },
    )


def _searched_folders(run: Run, plan: Mapping[str, Any], searched: Mapping[str, Any]) -> Folders:
    """Return where the search's training of a confirmed network lies; another study's beside this run's folder."""
    own, trial = plan["networks"][BASE]["searched"].get("run"), run.folder_of(str(searched["trial"]))
    return (trial if searched.get("run") == own else f"../{searched['run']}/{trial}",)


def trainings(confirmation: Confirmation, name: str) -> Folders:
    """Return the folders of a network's trainings in the run directory, those that have not begun left out."""
    rows = confirmation.runs[confirmation.runs["confirmed"].eq(name) & confirmation.runs["state"].ne("missing")]
    return tuple(f"confirm/{name}/{seed}" for seed in rows["seed"])


def _bold_note(supported: Collection[str]) -> tuple[str, ...]:
    return (
        (
            "Bold: what the paired test supports as better than the base (or the base, where it finds all others "
            "worse); candidates are not compared with each other.",
        )
        if supported
        else ()
    )


def _differences(run: Run, confirmation: Confirmation, found: Confirmed) -> Table:
    """Each candidate's paired difference to the base, tested."""
    rows = [
        {
            "network": name,
            "pairs": c.n,
            _DIFFERENCE: c.mean,
            "sd": c.std,
            "95 % from": c.interval[0],
            "to": c.interval[1],
            "d_z": c.effect,
            "p": c.p,
            "p, Holm": c.adjusted,
            "p, sign flip": c.sign_flip,
            "its least": sign_flip_floor(c.n),
            "detectable": c.detectable,
            "verdict": _verdict(c, found, name, len(confirmation.plan["seeds"])),
        }
        for name, c in found.compared.items()
    ]
    frame = pd.DataFrame(rows)
    formats: dict[str, Format] = {"pairs": whole, "detectable": decimals(2), "sd": decimals(2), "d_z": decimals(2)}
    formats |= dict.fromkeys((_DIFFERENCE, "95 % from", "to"), "{:+.2f}".format)
    formats |= dict.fromkeys(("p", "p, Holm", "p, sign flip", "its least"), decimals(4))
    notes = (*_test_notes(confirmation.plan), *_missing_note(found), *confirmation_protocol(confirmation))
    return Table(
        "confirmation_differences",
        f"{run.name}: differences to the base, same seeds",
        frame,
        formats,
        notes,
        bold=frozenset((row, "verdict") for row, c in enumerate(found.compared.values()) if c.verdict == "better"),
        sources=[trainings(confirmation, BASE) + trainings(confirmation, name) for name in found.compared],
    )


def _trainings(run: Run, confirmation: Confirmation) -> Table:
    """Every training of the confirmation."""
    frame = confirmation.runs.reindex(
        columns=["confirmed", "seed", "state", "test_accuracy", "train_accuracy", "epochs", "seconds"]
    )
    for column in ("test_accuracy", "train_accuracy"):
        frame[column] = 100 * frame[column].astype(float)
    names = {
        "confirmed": "network",
        "test_accuracy": "test accuracy (%)",
        "train_accuracy": "train accuracy (%)",
        "seconds": "time (s)",
    }
    frame = frame.rename(columns=names)
    formats: dict[str, Format] = dict.fromkeys(("test accuracy (%)", "train accuracy (%)"), decimals(2))
    formats |= {"epochs": whole, "time (s)": decimals(0)}
    return Table(
        "confirmation_runs",
        f"{run.name}: trainings of the confirmation",
        frame,
        formats,
        confirmation_protocol(confirmation),
        sources=[
            ("confirm/plan.json",) if row["state"] == "missing" else (f"confirm/{row['confirmed']}/{row['seed']}",)
            for row in confirmation.runs.to_dict("records")
        ],
    )


def _verdict(compared: Compared, found: Confirmed, name: str, seeds: int) -> str:
    if compared.verdict != "no verdict":
        return compared.verdict
    gone = set(found.missing[name]) | set(found.missing[BASE])
    return f"no verdict: {len(gone)} of {seeds} pairs missing" if gone else f"no verdict: {seeds} of {MIN_PAIRS} seeds"


def _shrinkage_note(plan: Mapping[str, Any]) -> str:
    searched = plan["networks"][BASE]["searched"]
    return (
        f"The score of the search is held-out accuracy after {searched['epochs']} epochs on {searched['train_images']:,} images, "
        f"one training (n = 1). The confirmed score is test accuracy after {plan['recipe']['epochs']} epochs on all "
        f"{plan['train_images']:,} training images. Shrinkage is the first minus the second; epochs and images are in it too, "
        "for every network alike. The base was not picked by its score: what a candidate shrinks beyond the base is the "
        "optimism of picking the best, to within the spread of the two single trainings of the search."
    )


def _test_notes(plan: Mapping[str, Any]) -> tuple[str, ...]:
    seeds, candidates = len(plan["seeds"]), len(plan["networks"]) - 1
    notes = [
        f"Pairs are trainings with the same seed. p is of the two-sided paired t test; Holm adjusts it over the "
        f"{candidates} candidate(s), and the verdict follows it at 0.05. Intervals are of the single difference, not "
        "adjusted. The sign-flip test assumes no distribution; n pairs cannot give less than 2 / 2^n. Detectable is the "
        "difference that the t test finds with power 0.8 at this spread and n, before Holm."
    ]
    if seeds < MIN_PAIRS:
        notes.append(f"{seeds} seed(s) give no verdict: at least {MIN_PAIRS} are needed.")
    looked = [step for step in plan["grown"] if step["finished"]]
    if looked:
        steps = "; ".join(
            f"from {s['from']['seeds']} seeds and {s['from']['networks']} networks to {s['to']['seeds']} and "
            f"{s['to']['networks']} once {s['finished']} trainings were finished"
            for s in looked
        )
        notes.append(f"The plan grew {steps}: p values do not account for what was seen before.")
    return tuple(notes)


def _missing_note(found: Confirmed) -> tuple[str, ...]:
    gone = [f"{name} {seed} ({why})" for name, seeds in found.missing.items() for seed, why in seeds.items()]
    return (f"Missing, in no mean, and no verdict where a pair lacks one: {'; '.join(gone)}.",) if gone else ()


def confirmation_protocol(confirmation: Confirmation) -> tuple[str, ...]:
    """Return the notes that all of a confirmation carries: n, seeds, data, recipe, hardware, versions."""
    plan, about = confirmation.plan, confirmation.environment
    recipe, versions = plan["recipe"], about.get("versions", {})
    commits = ", ".join(dict.fromkeys(a["commit"] for a in confirmation.attempts if a.get("commit"))) or "-"
    return (
        f"Protocol: n = {len(plan['seeds'])} trainings a network from scratch, seeds {', '.join(map(str, plan['seeds']))}, none of "
        f"them the search's; {plan['data']['name']}, all {plan['train_images']:,} training images; recipe {recipe['name']}, "
        f"{recipe['epochs']} epochs, batch {recipe['batch']}; test set opened once a training, after its last epoch.",
        f"Hardware: {about.get('processor', '-')}, {about.get('cores', '-')} cores, {about.get('workers', 1)} training(s) at a "
        f"time, {about.get('threads', '-')} thread(s) each, {about.get('device', '-')}; torch {versions.get('torch', '-')}, "
        f"commit {commits}.",
    )


def verdicts(run: Run) -> str:
    """Return in a sentence what the confirmation found, or nothing where there is none."""
    if run.confirmation is None:
        return ""
    plan, found = run.confirmation.plan, confirmed(run.confirmation)
    said = [
        f"{name} {_signed(c.mean)} ({_verdict(c, found, name, len(plan['seeds']))})"
        for name, c in found.compared.items()
    ]
    return (
        f"Trained again with {len(plan['seeds'])} fresh seeds and judged on the test set, beside the base in points: "
        f"{'; '.join(said)}."
    )


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"
