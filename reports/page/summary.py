"""A run in words: its question, its result, and how certain that result is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from reports.runs.run import Comparison, Run
from reports.tables.candidates import answer
from reports.tables.confirmation import verdicts
from reports.tables.paired import JUDGED, Scored, missing_note, scored, sentence_of, verdict_text
from reports.tables.pilot import forecast
from reports.tables.protocol import objective_text
from reports.tables.table import absent, macs_unit, percent


class Summary(NamedTuple):
    """Three answers, a sentence or two each."""

    question: str
    result: str
    certainty: str


def summarised(run: Run) -> Summary:
    """Return a run's question, its result and how certain that is."""
    if run.kind == "study":
        return Summary(_question_of_study(run), *_result_of_study(run))
    return _ablation(run, run.ablation) if run.ablation else _training(run)


def _question_of_study(run: Run) -> str:
    titles = " and ".join(objective.title for objective in run.objectives.each)
    return (
        f"Which {_varied(run)} of {_base_name(run)} give the best {titles} on {_data(run.config)}"
        f"{_limit(run.config)}? {_effort(run.config)}."
    )


def _varied(run: Run) -> str:
    """Return what the space varies, as a list in words; of runs that do not record it, the keys of the space."""
    keys = [key.replace("_", " ") for key, value in (run.config.get("space") or {}).items() if value]
    *before, last = run.environment.get("varies") or keys or ["variants"]
    return f"{', '.join(before)} and {last}" if before else last


def _limit(config: Mapping[str, Any]) -> str:
    if ((config.get("space") or {}).get("splits") or {}).get("mode") == "iso_macs":
        return " at the base's cost"
    return f" at no more than {_macs(config['max_macs'])}" if config.get("max_macs") else ""


def _effort(config: Mapping[str, Any]) -> str:
    """Return how many trials there are, how each is trained, and who proposes them."""
    recipe, sampler = config.get("recipe") or {}, config.get("sampler") or {}
    trials, each = config.get("trials"), f"{_count(recipe.get('epochs'), 'epoch')} each"
    effort = f"{_count(trials, 'trial')} of {each}"
    if budget := {} if trials else config.get("budget"):
        epochs, hours = budget.get("epochs"), budget.get("core_hours")
        effort = f"A budget of {_count(epochs, 'epoch') if epochs else _count(hours, 'core-hour')}, trainings of {each}"
    return f"{effort}, recipe {recipe.get('name', '-')}, proposed by the sampler {sampler.get('name', '-')}"


def _base_name(run: Run) -> str:
    """Return what the base network is called: a study may name it by its file."""
    return run.specs["base"].name if "base" in run.specs else str(run.config.get("network", "the base"))


def _result_of_study(run: Run) -> tuple[str, str]:
    if run.ranked.empty:
        nothing = f"No trial of {run.name} has finished yet."
        return f"{forecast(run)} {nothing}".strip(), "Nothing is certain yet."
    if run.standing:
        return f"Does anything beat the base? {answer(run)} {_candidates(run)}", verdicts(run) or _raced(run)
    found = f"{_best_of(run)}{_front_of(run)}{_base_of(run)}."
    return found, verdicts(run) or _unconfirmed(len(run.ranked))


def _best_of(run: Run) -> str:
    best = run.ranked.iloc[0]
    return (
        f"Of {len(run.ranked)} trained networks, trial {best['trial']} is the best on the held-out images: "
        f"{_reached(run, best)}"
    )


def _candidates(run: Run) -> str:
    """Return how many candidates a race has compared, next to which base."""
    assert run.standing
    trainings, base = run.standing.effects.trainings, run.base
    macs = f" at {_macs(base['macs'])}" if base else ""
    return (
        f"{_count(len(trainings), 'candidate')} were compared with the base, {_base_name(run)}{macs}; "
        f"{sum(n > 1 for n in trainings)} of them were trained with several seeds."
    )


def _raced(run: Run) -> str:
    """Return how certain a race is, and what its pilot had said."""
    text = (
        "Chances and intervals allow for the noise of seeds and for picking the best of many. They hold for trainings of "
        "this length on held-out images; only training again with fresh seeds tells (inceptory confirm)."
    )
    early = "The race ended early, as a gain had become unlikely." if _gave_up(run) else ""
    return " ".join(filter(None, (text, early, forecast(run))))


def _gave_up(run: Run) -> bool:
    return bool(run.attempts) and run.attempts[-1].get("ended") == "hopeless"


def _front_of(run: Run) -> str:
    if len(run.objectives) < 2 or len(run.front) < 2:
        return ""
    return f", by the first objective; {len(run.front)} networks are on the front"


def _base_of(run: Run) -> str:
    return f"; the base, {_base_name(run)}, has {_reached(run, run.base)}" if run.base else ""


def _reached(run: Run, row: Mapping[Any, Any] | pd.Series) -> str:
    return f"{objective_text(run, row[run.objective])} at {_macs(row['macs'])}"


def _unconfirmed(finished: int) -> str:
    return (
        f"Inconclusive: every network was trained once (n = 1), and the best was picked out of {finished}. "
        "Only training both again with fresh seeds tells (inceptory confirm)."
    )


def _training(run: Run) -> Summary:
    row = {} if run.trials.empty else dict(run.trials.iloc[0])
    recipe = run.config.get("recipe") or {}
    question = (
        f"How well does {run.name} do on {row.get('data') or _data(run.config)} after "
        f"{_count(recipe.get('epochs'), 'epoch')} with the recipe {recipe.get('name', '-')}?"
    )
    if not row or row["state"] != "complete":
        return Summary(question, _unfinished(run, row), "Nothing is certain yet.")
    certainty = f"{run.name} was trained once (n = 1), so nothing here says how much a random seed changes."
    return Summary(question, _result_of_training(run, row), certainty)


def _unfinished(run: Run, row: Mapping[Any, Any]) -> str:
    why = f" It {row['state']}: {row['reason']}." if row and row["state"] == "failed" else ""
    done = 0 if run.epochs.empty else int(run.epochs["epoch"].max())
    return f"The training has not finished; {_count(done, 'epoch')} recorded.{why}"


def _result_of_training(run: Run, row: Mapping[Any, Any]) -> str:
    images = {"test_accuracy": "test images", "val_accuracy": "held-out images"}
    shares = [f"{percent(row[key])} % of the {name}" for key, name in images.items() if not absent(row.get(key))]
    return (
        f"{run.name} classifies {' and '.join(shares) or 'an unknown part'} correctly, with {int(row['params']):,} "
        f"parameters and {_macs(row['macs'])}."
    )


def _ablation(run: Run, comparison: Comparison) -> Summary:
    found = scored(comparison)
    text = f"Differences to the base, in points: {sentence_of(found)}."
    return Summary(_question_of_ablation(run, found), " ".join((text, *missing_note(found))), _by_verdict(found))


def _question_of_ablation(run: Run, found: Scored) -> str:
    changes, images = list(found.compared), JUDGED[found.comparison.judged]
    question = run.config.get("question") or f"What do changes of {_base_name(run)} do?"
    return (
        f"{question} {_count(len(changes), 'change')} ({', '.join(changes)}) and the base, each trained with the same "
        f"{_count(len(found.seeds), 'seed')} on {_data(run.config)} and compared by {images} accuracy."
    )


def _by_verdict(found: Scored) -> str:
    """Return the changes of each verdict, in one sentence."""
    names: dict[str, list[str]] = {}
    for name in found.compared:
        names.setdefault(verdict_text(found, name).replace(": ", ", "), []).append(name)
    text = "; ".join(f"{verdict}: {', '.join(changes)}" for verdict, changes in names.items())
    return f"{text[:1].upper()}{text[1:]}."


def _data(config: Mapping[str, Any]) -> str:
    data = config.get("data")
    return str(data.get("name", "-") if isinstance(data, Mapping) else data or "its images")


def _count(number: Any, what: str) -> str:
    return f"{'-' if number is None else number} {what}{'' if number == 1 else 's'}"


def _macs(value: float) -> str:
    unit, factor = macs_unit([value])
    return f"{value * factor:.2f} {unit} MACs"
