"""The candidates of a study that repeats trainings: what was seen of each, and what is to be expected of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.runs.run import Run
from reports.tables.paired import INTERVAL
from reports.tables.protocol import protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Folders, Format, Table, decimals, integer, macs_head
from search.record.layout import BASE, PILOT
from search.statistics.standing import Standing

SCORES = {
    "val_accuracy": "held-out accuracy",
    "val_loss": "held-out loss",
    "loss_and_training": "held-out loss and training accuracy together",
}
SIGNED: Format = "{:+.2f}".format
CHANCE: Format = "{:.0f}".format
_FIRST = 5  # candidates that a terminal shows
_COSTS = {"macs": 1e-6, "params": 1e-6, "activations": 1e-3}
NO_REPEATS = "no repeats"
_ANSWERS = {"better": "Yes", "likely better": "Likely", "open": "Open", "likely worse": "No", "worse": "No"}
_SURE, _LIKELY = 0.975, 0.8  # chances from which on a gain, or a loss, counts as shown or as likely


@run_table(order=24, of=("study",))
def candidates(run: Run) -> Table | None:
    """Every candidate, best first by the gain over the base that is to be expected."""
    if run.standing is None:
        return None
    frame = standings(run)
    head, per_mac = macs_head(frame["macs"])
    factors = {**_COSTS, "macs": per_mac}
    frame = frame.assign(**{name: (frame[name].astype(float) * factor).round(9) for name, factor in factors.items()})
    formats: dict[str, Format] = dict.fromkeys(("seen", "expected", "low", "high"), SIGNED)
    formats |= {"n": integer, "chance": CHANCE, "activations": decimals(1)} | dict.fromkeys(
        ("macs", "params"), decimals(3)
    )
    return Table(
        "candidates",
        f"{run.name}: what is to be expected of each candidate",
        frame.drop(columns="key"),
        formats,
        (note(run, run.standing), *_unsure(run.standing), *protocol(run)),
        heads(head),
        sources=[_trained(run, key) for key in frame["key"]],
    )


def leaders(run: Run) -> Table | None:
    """Return the five best candidates in few columns, for a terminal."""
    if run.standing is None:
        return None
    frame = standings(run).head(_FIRST)[["candidate", "n", "seen", "expected", "low", "high", "chance", "evidence"]]
    formats: dict[str, Format] = dict.fromkeys(("seen", "expected", "low", "high"), SIGNED)
    short = INTERVAL | {"chance": "chance (%)"}
    return Table("leaders", f"{run.name}: the best candidates", frame, formats | {"chance": CHANCE}, (), short)


def heads(macs: str) -> dict[str, str]:
    """Return how the columns of `standings` are headed."""
    return INTERVAL | {
        "seen": "seen (points)",
        "expected": "expected gain (points)",
        "chance": "chance (%)",
        "macs": macs,
        "params": "parameters (M)",
        "activations": "activations (k)",
    }


def standings(run: Run) -> pd.DataFrame:
    """Return each candidate of a run that has a standing, best first; differences to the base are in points.

    `candidate` is the number of its first complete trial, or its name in the pilot; `key`, `n` trainings, `seen`,
    `expected` with `low` and `high`, `chance` (%), `macs`, `params`, `activations`, and `evidence` in words.
    """
    assert run.standing
    about, names = _about(run), _names(run, run.standing)
    effects, rows = run.standing.effects, []
    for index in effects.order():
        effect = effects.of(effects.candidates[index])
        known = math.isfinite(effect.interval[0])
        low, high = effect.interval if known else (math.nan, math.nan)
        rows.append(
            {
                "candidate": names[effect.candidate],
                "key": effect.candidate,
                "n": effect.trainings,
                "seen": effect.seen,
                "expected": effect.gain,
                "low": low,
                "high": high,
                "chance": 100 * effect.chance if known else math.nan,
                **{name: about[effect.candidate].get(name) for name in _COSTS},
                "evidence": evidence(effect.chance) if known and effects.identified else NO_REPEATS,
            }
        )
    return pd.DataFrame(rows)


def evidence(chance: float) -> str:
    """Return in words what a chance to beat the base amounts to."""
    if chance >= _SURE or chance <= 1 - _SURE:
        return "better" if chance >= _SURE else "worse"
    if chance >= _LIKELY or chance <= 1 - _LIKELY:
        return "likely better" if chance >= _LIKELY else "likely worse"
    return "open"


def _names(run: Run, stand: Standing) -> dict[str, str]:
    """Return what each candidate is called."""
    drawn = run.pilot.plan["networks"] if run.pilot else {}
    names = {network["key"]: f"{PILOT} {name}" for name, network in drawn.items()}
    return names | {key: str(number) for key, number in stand.numbers.items()}


def _about(run: Run) -> dict[str, Mapping[Any, Any]]:
    """Return a row of each candidate's trainings, by its key."""
    frames = [run.pilot.runs] if run.pilot else []
    rows = [row for frame in (*frames, run.trials) for row in frame.to_dict("records")]
    return {row["key"]: row for row in rows if row["state"] == "complete"}


def _trained(run: Run, key: str) -> Folders:
    """Return the folders of a candidate's trainings, those of the pilot that the race has taken over once."""
    own = run.trials[run.trials["key"].eq(key) & run.trials["state"].eq("complete") & run.trials["duplicate_of"].isna()]
    piloted = run.pilot.runs[run.pilot.runs["state"].eq("complete")] if run.pilot else pd.DataFrame()
    extra = piloted[piloted["key"].eq(key) & ~piloted["seed"].isin(own["seed"])] if len(piloted) else piloted
    return tuple(run.folder_of(trial) for trial in own["trial"]) + tuple(
        f"{PILOT}/{name}/{seed}" for name, seed in zip(*(extra.get(c, ()) for c in ("piloted", "seed")), strict=True)
    )


def note(run: Run, stand: Standing) -> str:
    """Return what the figures of the candidates rest on."""
    effects, variances = stand.effects, stand.effects.variances
    seeds = len(_seeds(run, base_only=True)), len(_seeds(run))
    length = f"trainings of {stand.epochs} epochs" if stand.epochs else "trainings of any length"
    reliability = "not known" if effects.reliability is None else f"{effects.reliability:.2f}"
    return (
        f"Differences to the base by {SCORES[stand.score]}, in points of held-out accuracy, over {length}. Seen: the mean "
        f"difference. Expected: the same with luck taken off, by how far a score can be relied on; the order follows it. Chance: to beat the base. "
        f"{seeds[1]} seeds in all, {seeds[0]} of them the base's. Noise of one training {variances.within:.2f}, spread of "
        f"the candidates {variances.between:.2f}, reliability of one score {reliability}; the space's middle stands "
        f"{effects.middle:+.2f} from the base."
    )


def _seeds(run: Run, base_only: bool = False) -> set[int]:
    """Return the seeds of complete trainings, the pilot's among them."""
    frames = [run.trials, *([run.pilot.runs] if run.pilot else [])]
    done = pd.concat([frame.loc[frame["state"] == "complete", ["key", "seed"]] for frame in frames])
    base = run.trials.loc[run.trials["trial"] == BASE, "key"]
    return {int(seed) for seed in (done[done["key"].isin(base)] if base_only else done)["seed"]}


def _unsure(stand: Standing) -> tuple[str, ...]:
    if stand.effects.identified:
        return ()
    return ("No training was repeated yet, so noise and merit cannot be told apart: the gains are a guess.",)


def answer(run: Run) -> str:
    """Return in a sentence whether anything beats the base; nothing where there is no standing."""
    if run.standing is None:
        return ""
    leader = standings(run).iloc[0]
    name = leader["candidate"] if leader["candidate"].startswith(PILOT) else f"trial {leader['candidate']}"
    if leader["evidence"] == NO_REPEATS:
        return f"Not known yet: {name} leads, seen at {leader['seen']:+.2f} points, but no training was repeated."
    word = "Rather not" if leader["evidence"] == "open" and leader["chance"] < 50 else _ANSWERS[leader["evidence"]]
    return (
        f"{word}: {name} leads and beats the base with a chance of {leader['chance']:.0f} %. {expectation(leader)}; seen were "
        f"{leader['seen']:+.2f} in {leader['n']} training{'' if leader['n'] == 1 else 's'}."
    )


def expectation(candidate: Mapping[Any, Any] | pd.Series) -> str:
    """Return a candidate's expected gain with its interval, in words."""
    gain, low, high = (f"{candidate[name]:+.2f}" for name in ("expected", "low", "high"))
    return f"Its expected gain is {gain} points (95 % from {low} to {high})"
