"""Networks and their base, in pairs: scores, differences, and how sure they are; of a confirmation or an ablation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.runs.run import Comparison
from reports.stats import MIN_PAIRS, Compared, Free, best_supported, compare, mean_std, t_interval
from reports.tables.protocol import commits_of, hardware_note
from reports.tables.table import Folders, Format, Table, decimals, integer
from reports.tables.trace import gathered
from search.record.layout import BASE

DIFFERENCE = "difference to the base (points)"
JUDGED = {"test_accuracy": "test", "val_accuracy": "held-out"}


@dataclass(frozen=True)
class Scored:
    """A comparison's numbers: `scores` one row a network with its seeds as columns, in per cent, NaN where missing.

    `missing` says why, `compared` holds each candidate's comparison to the base, by name.
    """

    comparison: Comparison
    scores: pd.DataFrame
    missing: dict[str, dict[int, str]]
    compared: dict[str, Compared]

    @property
    def seeds(self) -> list[int]:
        """The seeds that were planned."""
        return list(self.comparison.plan["seeds"])

    @property
    def looked(self) -> list[dict[str, Any]]:
        """The steps by which the plan grew when something had been seen already."""
        return [step for step in self.comparison.plan["grown"] if step["finished"]]


def scored(comparison: Comparison) -> Scored:
    """Return the accuracies by network and seed, what is missing of them and why, and the paired comparisons."""
    plan, runs, judged = comparison.plan, comparison.runs, comparison.judged
    done = runs["state"].eq("complete") & runs.reindex(columns=[judged])[judged].notna()
    accuracy = 100 * runs[done].set_index([comparison.by, "seed"]).reindex(columns=[judged])[judged].astype(float)
    scores = accuracy.unstack("seed") if len(accuracy) else pd.DataFrame()
    scores = scores.reindex(index=list(plan["networks"]), columns=plan["seeds"]).astype(float)
    missing: dict[str, dict[int, str]] = {name: {} for name in plan["networks"]}
    for row in runs[~done].to_dict("records"):
        missing[row[comparison.by]][int(row["seed"])] = _why(row)
    candidates = [name for name in plan["networks"] if name != BASE]
    differences = [(scores.loc[name] - scores.loc[BASE]).dropna().tolist() for name in candidates]
    complete = [not missing[name] and not missing[BASE] for name in candidates]
    compared = dict(zip(candidates, compare(differences, complete), strict=True))
    return Scored(comparison, scores, missing, compared)


def _why(row: Mapping[Any, Any]) -> str:
    if row["state"] == "failed":
        return f"failed: {row.get('reason')}"
    return "not finished"


def score(values: list[float]) -> dict[str, Any]:
    """Return how many values there are, their mean, deviation and t interval."""
    (mean, std), (low, high) = mean_std(values), t_interval(values)
    return {"n": len(values), "mean": mean, "sd": std, "low": low, "high": high}


def accuracies(found: Scored) -> pd.DataFrame:
    """Return each planned training: `name` of its network, `seed`, `accuracy` (%), missing where there is none."""
    rows = [
        {"name": name, "seed": seed, "accuracy": found.scores.at[name, seed]}
        for name in found.scores.index
        for seed in found.seeds
    ]
    return pd.DataFrame(rows, columns=["name", "seed", "accuracy"])


def pairs(found: Scored) -> pd.DataFrame:
    """Return each candidate's paired comparison to the base: `name`, the columns of `difference`, `verdict`.

    `words` is the verdict, or why there is none.
    """
    return pd.DataFrame(
        [
            {"name": name, **difference(c), "verdict": c.verdict, "words": verdict_text(found, name)}
            for name, c in found.compared.items()
        ]
    )


def differences(name: str, caption: str, first: str, found: Scored, notes: tuple[str, ...]) -> Table:
    """Return each candidate's paired difference to the base, tested; `first` heads the column of names."""
    frame = pairs(found)
    return Table(
        name,
        caption,
        frame.drop(columns="verdict"),
        DIFFERENCE_FORMATS,
        (*_test_notes(found), *missing_note(found), *notes),
        difference_heads(found.compared.values()) | {"name": first, "words": "verdict"},
        bold=frozenset((row, "words") for row, verdict in enumerate(frame["verdict"]) if verdict == "better"),
        sources=[gathered([trained(found, BASE), trained(found, candidate)]) for candidate in found.compared],
    )


def trained(found: Scored, name: str) -> Folders:
    """Return the folders of a network's trainings in the run directory; the plan's file where none has begun."""
    comparison = found.comparison
    rows = comparison.runs[comparison.runs[comparison.by].eq(name) & comparison.runs["state"].ne("missing")]
    return tuple(comparison.place_of(f"{name}/{seed}") for seed in rows["seed"]) or (comparison.place_of("plan.json"),)


def supported(found: Scored, column: str) -> frozenset[tuple[int, str]]:
    """Return the cells of a column of scores, a row a network, that the paired test lets stand out."""
    best = best_supported({name: c.verdict for name, c in found.compared.items()}, BASE)
    return frozenset((row, column) for row, name in enumerate(found.scores.index) if name in best)


def bold_note(cells: frozenset[tuple[int, str]]) -> tuple[str, ...]:
    """Return what bold means, where something is bold."""
    note = (
        "Bold: what the paired test supports as better than the base (or the base, where it finds all others worse); "
        "candidates are not compared with each other."
    )
    return (note,) if cells else ()


def difference(c: Compared) -> dict[str, Any]:
    """Return a paired comparison as a row of a table."""
    return {
        "pairs": c.n,
        "difference": c.mean,
        "sd": c.std,
        "low": c.interval[0],
        "high": c.interval[1],
        "d_z": c.effect,
        "p": c.p,
        "holm": c.adjusted,
        "free": c.free_p,
        "floor": c.free_floor,
        "detectable": c.detectable,
    }


_SIGNED, _P = "{:+.2f}".format, decimals(4)
INTERVAL = {"low": "95 % from", "high": "to"}
DIFFERENCE_FORMATS: dict[str, Format] = (
    {"pairs": integer, "detectable": decimals(2), "sd": decimals(2), "d_z": decimals(2)}
    | dict.fromkeys(("difference", "low", "high"), _SIGNED)
    | dict.fromkeys(("p", "holm", "free", "floor"), _P)
)


def difference_heads(compared: Iterable[Compared]) -> dict[str, str]:
    """Return how the columns of `difference` are headed: one names the test that assumes no distribution."""
    tests = " and ".join(dict.fromkeys(c.free for c in compared))
    return INTERVAL | {"difference": DIFFERENCE, "holm": "p, Holm", "free": f"p, {tests}", "floor": "its least"}


_FREE_NOTES: dict[Free, str] = {
    "sign flip": "The sign-flip test assumes no distribution; n pairs cannot give less than 2 / 2^n.",
    "Wilcoxon": (
        "Wilcoxon's signed-rank test assumes only that differences are symmetric; its least is what its p would be if all "
        "of these had one sign."
    ),
}


def trainings(name: str, caption: str, first: str, comparison: Comparison, notes: tuple[str, ...]) -> Table:
    """Return every training of a comparison; `first` heads the column of names."""
    judged = comparison.judged
    columns = [comparison.by, "seed", "state", judged, "train_accuracy", "epochs", "seconds"]
    frame = comparison.runs.reindex(columns=columns)
    for column in (judged, "train_accuracy"):
        frame[column] = 100 * frame[column].astype(float)
    heads = {
        comparison.by: first,
        judged: f"{JUDGED[judged]} accuracy (%)",
        "train_accuracy": "train accuracy (%)",
        "seconds": "time (s)",
    }
    formats: dict[str, Format] = dict.fromkeys((judged, "train_accuracy"), decimals(2))
    formats |= {"epochs": integer, "seconds": decimals(0)}
    return Table(name, caption, frame, formats, notes, heads, sources=_places(comparison))


def _places(comparison: Comparison) -> list[Folders]:
    """Return where each planned training lies; the plan's file where it has not begun."""
    return [
        (comparison.place_of("plan.json" if state == "missing" else f"{name}/{seed}"),)
        for name, seed, state in zip(*(comparison.runs[key] for key in (comparison.by, "seed", "state")), strict=True)
    ]


def verdict_text(found: Scored, name: str) -> str:
    """Return a candidate's verdict in words, or why there is none."""
    verdict, seeds = found.compared[name].verdict, len(found.seeds)
    if verdict != "no verdict":
        return verdict
    gone = set(found.missing[name]) | set(found.missing[BASE])
    return f"no verdict: {len(gone)} of {seeds} pairs missing" if gone else f"no verdict: {seeds} of {MIN_PAIRS} seeds"


def sentence_of(found: Scored) -> str:
    """Return each candidate's difference to the base and its verdict, in points, as one line."""
    return "; ".join(f"{name} {_points(c.mean)} ({verdict_text(found, name)})" for name, c in found.compared.items())


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"


def _test_notes(found: Scored) -> tuple[str, ...]:
    seeds, candidates = len(found.seeds), len(found.compared)
    notes = [
        f"Pairs are trainings with the same seed. p is of the two-sided paired t test; Holm adjusts it over the "
        f"{candidates} candidate(s), and the verdict follows it at 0.05. Intervals are of the single difference, not "
        f"adjusted. {' '.join(dict.fromkeys(_FREE_NOTES[c.free] for c in found.compared.values()))} Detectable is the "
        "difference that the t test finds with power 0.8 at this spread and n, before Holm."
    ]
    if seeds < MIN_PAIRS:
        notes.append(f"{seeds} seed(s) give no verdict: at least {MIN_PAIRS} are needed.")
    if found.looked:
        steps = "; ".join(
            f"from {s['from']['seeds']} seeds and {s['from']['networks']} networks to {s['to']['seeds']} and "
            f"{s['to']['networks']} once {s['finished']} trainings were finished"
            for s in found.looked
        )
        notes.append(f"The plan grew {steps}: p values do not account for what was seen before.")
    return tuple(notes)


def missing_note(found: Scored) -> tuple[str, ...]:
    """Return which trainings are missing and why, if any are."""
    gone = [f"{name} {seed} ({why})" for name, seeds in found.missing.items() for seed, why in seeds.items()]
    return (f"Missing, in no mean, and no verdict where a pair lacks one: {'; '.join(gone)}.",) if gone else ()


def comparison_protocol(comparison: Comparison) -> tuple[str, ...]:
    """Return the notes that all of a comparison carries: n, seeds, data, recipe, hardware, versions."""
    plan, recipe = comparison.plan, comparison.plan["recipe"]
    seeds = ", ".join(map(str, plan["seeds"])) + (", none of them the search's" if comparison.by == "confirmed" else "")
    images, opened = _judged_by(comparison)
    counts = sorted({len(network.get("seeds", plan["seeds"])) for network in plan["networks"].values()})
    return (
        f"Protocol: n = {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} trainings a network from scratch, seeds {seeds}; {plan['data']['name']}, "
        f"{images}; recipe {recipe['name']}, {recipe['epochs']} epochs, batch {recipe['batch']}; {opened}.",
        hardware_note(comparison.environment, ("torch",), commits_of(comparison.attempts) or "-"),
    )


def _judged_by(comparison: Comparison) -> tuple[str, str]:
    """Return which images networks were trained on, and which they were judged by."""
    images = f"{comparison.plan['train_images']:,} training images"
    if comparison.judged == "test_accuracy":
        return f"all {images}", "test set opened once a training, after its last epoch"
    return f"{images}, the others held out for evaluation", "the test set was not opened"
