"""What a study's pilot measured, what it says a search can find, and how that came out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from reports.runs.run import Comparison, Run
from reports.tables.candidates import SCORES, SIGNED, standings
from reports.tables.paired import INTERVAL, comparison_protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Folders, Table, decimals, integer
from reports.tables.trace import gathered
from search.record.layout import BASE, PILOT
from search.statistics.effects import Training, estimate, variance_intervals
from search.statistics.score import scores
from search.statistics.standing import Ran

_MEASURED = {
    "within": "noise of one training (points)",
    "between": "spread of the candidates (points)",
    "middle": "the space's middle minus the base (points)",
}


@run_table(order=25, of=("study",))
def pilot(run: Run) -> Table | None:
    """Noise, spread and the base's place in the space, how reliable each score is, and early epochs' worth."""
    if not run.forecast or run.pilot is None:
        return None
    frame = pd.DataFrame([*_measured(run.forecast), *_reliabilities(run.pilot), *_transfers(run.forecast)])
    note = (
        f"By {SCORES[run.forecast['score']]}, in points of held-out accuracy; every network with the same seeds. "
        "Intervals are of the posterior that averages over noise and spread. Reliability: the part of one score's "
        "variance that is the network's own. Transfer: correlation of the candidates' true values after a few epochs "
        "with those at the end, from a prior of mean 0.6."
    )
    return Table(
        "pilot",
        f"{run.name}: what the pilot measured",
        frame,
        dict.fromkeys(("estimate", "low", "high"), decimals(2)) | {"epochs": integer},
        (note, *comparison_protocol(run.pilot)),
        INTERVAL | {"epochs": "after epochs"},
        sources=[_all_of(run.pilot)] * len(frame),
    )


def _measured(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for epochs, at in sorted(found["measured"].items(), key=lambda item: -int(item[0])):
        for name, what in _MEASURED.items():
            yield _row(what, epochs, at[name], at["intervals"][name])


def _row(what: str, epochs: Any, value: float | None, interval: Any) -> dict[str, Any]:
    low, high = interval
    return {"figure": what, "epochs": int(epochs), "estimate": value, "low": low, "high": high}


def _reliabilities(trained: Comparison) -> Iterator[dict[str, Any]]:
    """Yield how reliable each score is at the full length."""
    ran = _ran(trained, trained.plan["recipe"]["epochs"])
    for score, title in SCORES.items():
        trainings = _scored(ran, score)
        reliability = estimate(trainings, BASE).reliability
        yield _row(
            f"reliability of {title}", ran[0].epochs, reliability, variance_intervals(trainings, BASE).reliability
        )


def _transfers(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield how well each pause, and each shorter length, ranks candidates for the full length."""
    for epochs, moved in found["transfer"].items():
        yield _row(f"transfer to {found['epochs']} epochs", epochs, moved["correlation"], moved["interval"])


def _ran(trained: Comparison, epochs: int) -> list[Ran]:
    """Return the complete trainings of a length, under their networks' names; the short ones' are the same."""
    runs = trained.runs[trained.runs["state"].eq("complete")]
    rows = runs[runs["epochs"].eq(epochs) & runs["val_loss"].notna()].to_dict("records")  # a loss may not be finite
    return [Ran.of({str(k): v for k, v in row.items()} | {"key": _name(row)}) for row in rows]


def _name(row: Mapping[Any, Any]) -> str:
    return str(row["piloted"]).removesuffix("-short")


def _scored(ran: list[Ran], score: str) -> list[Training]:
    values = scores([training.figures for training in ran], score)
    return [Training(t.key, t.seed, float(value)) for t, value in zip(ran, values, strict=True)]


def _all_of(trained: Comparison) -> Folders:
    """Return the folders of a pilot's trainings."""
    done = trained.runs[trained.runs["state"].eq("complete")]
    return tuple(f"{PILOT}/{name}/{seed}" for name, seed in zip(done["piloted"], done["seed"], strict=True))


@run_table(order=26, of=("study",))
def pilot_plans(run: Run) -> Table | None:
    """What each plan for the budget can be expected to find, by simulated races; the verdict first."""
    if not run.forecast or run.pilot is None:
        return None
    frame = pd.DataFrame([_plan(plan) for plan in run.forecast["plans"]])
    note = (
        f"Simulated races with a budget of {run.forecast['budget']:,} epochs and what the pilot measured, the largest gain "
        "first. Expected gain: the true gain over the base of what a race chooses, in points, at the full length; chance: "
        "that it truly beats the base. Stated: the gain that the race itself will state. Further seeds: part of the work."
    )
    return Table(
        "pilot_plans",
        f"{run.name}: what each plan can be expected to find",
        frame,
        dict.fromkeys(("gain", "stated"), SIGNED) | dict.fromkeys(("seeds", "keep", "chance", "pause"), decimals(0)),
        (note, *comparison_protocol(run.pilot)),
        {
            "base_seeds": "base seeds",
            "seeds": "further seeds (%)",
            "pause": "pause after",
            "keep": "continue (%)",
            "gain": "expected gain (points)",
            "chance": "chance (%)",
            "stated": "stated (points)",
        },
        lead=run.forecast["text"],
        sources=[_all_of(run.pilot)] * len(frame),
    )


def _plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "epochs": plan["epochs"],
        "candidates": plan["candidates"],
        "draws": "around the base" if plan["around"] else "as the space",
        "base_seeds": plan["base_seeds"],
        "seeds": 100 * plan["replicates"],
        "pause": plan["pause"] or None,
        "keep": 100 * plan["keep"] if plan["pause"] else None,
        "gain": plan["expected_gain"],
        "chance": 100 * plan["expected_chance"],
        "stated": plan["expected_said"],
    }


@run_table(order=27, of=("study",))
def predicted(run: Run) -> Table | None:
    """What the pilot had predicted, next to what the race found."""
    if not run.forecast or run.pilot is None or run.standing is None or not _raced(run):
        return None
    plan = nearest_plan(run)
    frame = pd.DataFrame(_came(run, plan))
    note = (
        f"Predicted by the plan nearest to what was run: {plan['candidates']} candidates of {plan['epochs']} epochs, "
        f"{100 * plan['replicates']:.0f} % of the work for further seeds. The race's figures hold the pilot's trainings "
        "too. Its gain is what it states, not the truth: only a confirmation with fresh seeds tells."
    )
    sources = gathered([_all_of(run.pilot), *run.folders(run.ranked)])
    return Table(
        "predicted",
        f"{run.name}: what the pilot had predicted, and what came",
        frame,
        dict.fromkeys(("predicted", "low", "high", "came", "came_low", "came_high"), _brief),
        (note, *comparison_protocol(run.pilot)),
        INTERVAL | {"came_low": "came, 95 % from", "came_high": "came, to"},
        sources=[sources] * len(frame),
    )


def _raced(run: Run) -> bool:
    """Return whether a race has added a candidate to the pilot's."""
    assert run.pilot
    assert run.standing
    piloted = {network["key"] for network in run.pilot.plan["networks"].values()}
    return bool(set(run.standing.numbers) - piloted)


def nearest_plan(run: Run) -> dict[str, Any]:
    """Return the plan of a pilot that is nearest to how its race was run."""
    pruner, race = run.config.get("pruner") or {}, run.config.get("race") or {}
    pause = pruner.get("first", 0) if run.forecast["pauses"] else 0
    wanted = {"epochs": run.forecast["epochs"], "pause": pause, "around": False}

    def apart(plan: dict[str, Any]) -> tuple[float, float]:
        others = sum(plan[key] != value for key, value in wanted.items())
        keep = abs(plan["keep"] - pruner.get("keep", 1.0)) if pause else 0.0
        return others, abs(plan["replicates"] - race.get("replicates", 0.0)) + keep

    plans: list[dict[str, Any]] = run.forecast["plans"]
    return min(plans, key=apart)


def _came(run: Run, plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each prediction next to what came."""
    assert run.standing
    leader, effects = standings(run).iloc[0], run.standing.effects
    at = run.forecast["measured"][str(run.forecast["epochs"])]
    stated = (leader["expected"], leader["low"], leader["high"])
    yield _pair("gain of the best, as a race states it (points)", plan["expected_said"], stated)
    yield _pair("true gain of the best (points)", plan["expected_gain"], (math.nan,) * 3)
    yield _pair("chance that the best beats the base (%)", 100 * plan["expected_chance"], (leader["chance"],))
    yield _pair("candidates", plan["candidates"], (len(effects.candidates),))
    for name, value in (
        ("within", effects.variances.within),
        ("between", effects.variances.between),
        ("middle", effects.middle),
    ):
        yield _pair(_MEASURED[name], at[name], (value,), at["intervals"][name])


def _pair(
    what: str, predicted: float, came: tuple[float, ...], interval: tuple[float, float] = (math.nan, math.nan)
) -> dict[str, Any]:
    value, low, high = (*came, math.nan, math.nan)[:3]
    return {
        "figure": what,
        "predicted": predicted,
        "low": interval[0],
        "high": interval[1],
        "came": value,
        "came_low": low,
        "came_high": high,
    }


def forecast(run: Run) -> str:
    """Return what a pilot says of the search before it is paid for; nothing without one."""
    return f"Before the search, its pilot said: {run.forecast['text']}" if run.forecast else ""


def _brief(value: float) -> str:
    return f"{value:.2f}".removesuffix(".00")
