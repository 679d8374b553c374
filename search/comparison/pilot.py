"""The pilot of a study: a few trainings measure noise and spread, and simulated races say what a search can find.

runs/<study>/pilot/ is a comparison of the base and of candidates drawn at random from the space, on held-out images:
`base`, `draw-1`, ... and, where trainings do not pause, the same at a third of the length, `base-short`, ...;
pilot.json says what came out. The race takes these trainings over: none is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from arch.errors import InputError
from search.comparison.plan import carry_out, grown, make_plan
from search.data.batches import mix
from search.data.dataset import load_data
from search.engines.supervisor import TaskResults
from search.progress import Silent
from search.recipes.load import load_recipe
from search.record.files import read_lines, write_sealed
from search.record.layout import PILOT
from search.record.lock import locked
from search.record.quiet import quiet
from search.sampling.rungs import Rungs
from search.sampling.samplers import make_pruner
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.feasible import Limit
from search.statistics.allocation import MIN_COMPLETE
from search.statistics.effects import Training, estimate, variance_draws, variance_intervals
from search.statistics.lengths import transfer
from search.statistics.plans import Recommendation, Situation, recommend
from search.statistics.score import reliabilities, scores
from search.statistics.standing import Ran, chosen_score
from search.study.config import Plan, StudyConfig, load_study
from search.study.prepare import prepared, resolved
from search.study.race.policy import RaceConfig, data_for, race_seeds
from search.training.checks import check_fit

_DRAWS_FROM = -4  # the stream of seeds that candidates of pilots are drawn from
_FEWEST = 7  # trainings: three of the base, two of each of two candidates
_REPEATS = 2  # seeds of a candidate
_MOST_DRAWS = 500
_POSSIBLE = 10  # situations that the plans are simulated in


@dataclass(frozen=True)
class Size:
    """How many trainings a pilot has: seeds of the base, candidates of two seeds each, and the epochs of all."""

    base_seeds: int
    candidates: int
    epochs: int


@dataclass(frozen=True)
class PilotOutcome:
    """How a pilot ended; `found` is what pilot.json holds, None where it was stopped."""

    tasks: TaskResults
    found: dict[str, Any] | None


def size_of(share: float, budget: int, lengths: Sequence[int]) -> Size | None:
    """Return the size of a pilot that takes at most a share of a budget in epochs; None where none fits."""
    each = sum(lengths)
    trainings = int(share * budget / each)
    if trainings < _FEWEST:
        return None
    base = max(3, trainings // 3)
    candidates = (trainings - base) // _REPEATS
    return Size(base, candidates, (base + _REPEATS * candidates) * each)


def run_pilot(
    study: StudyConfig | str | Path | Mapping[str, Any], run: str | Path | None = None, *, show: Silent | None = None
) -> PilotOutcome:
    """Train a study's pilot, or resume it; write and return what it found.

    Parameters
    ----------
    run : the study's run directory; by default `runs/<name>`.

    Raises
    ------
    InputError
        The study is wrong, its budget is too small for a pilot, or the folder holds another one.
    """
    config = study if isinstance(study, StudyConfig) else load_study(study)
    base, recipe, starts = prepared(config)
    data = load_data(config.data)
    check_fit(base, data, recipe)
    plan = Plan(resolved(config, recipe), base, recipe, data, starts)
    size = pilot_size(plan.config, recipe.epochs)
    if size is None:
        raise InputError(
            f"{config.where}: a pilot has at least {_FEWEST} trainings; raise the budget or race.pilot, the part of it "
            "that the pilot may take."
        )
    folder = Path(run or Path("runs") / config.name) / PILOT
    with locked(folder, "this pilot") as held:
        comparison = grown(folder, _comparison(plan, size), "pilot")
        tasks = carry_out(held, f"{config.name}, pilot", "piloted", comparison, plan.config.engine, show or Silent())
        if tasks.signal:
            return PilotOutcome(tasks, None)
        found = _found(plan, size, folder, tasks)
        write_sealed(folder / "pilot.json", found)
    return PilotOutcome(tasks, found)


def pilot_size(config: StudyConfig, epochs: int) -> Size | None:
    """Return the size of a study's pilot, or None where its budget has no room for one."""
    race = config.race or RaceConfig()
    # How long an epoch takes is not known before the first: a budget in hours gets the smallest pilot.
    budget = config.budget.epochs if config.budget else config.trials * epochs
    lengths = _lengths(config, epochs)
    if not budget and race.pilot:
        return size_of(1.0, (_FEWEST + _REPEATS) * sum(lengths), lengths)
    return size_of(race.pilot, budget, lengths)


def pilot_is_due(config: StudyConfig, run: Path) -> bool:
    """Return whether a study's first part is a pilot that has not finished: a race that has not begun without one."""
    if not config.race or not config.race.pilot or (run / PILOT / "pilot.json").exists():
        return False
    return not (run / "trials").exists() and pilot_size(config, load_recipe(config.recipe).epochs) is not None


def _rungs(config: StudyConfig) -> Rungs | None:
    pruner = make_pruner(config.pruner)
    return pruner if isinstance(pruner, Rungs) else None


def _lengths(config: StudyConfig, epochs: int) -> list[int]:
    """Return the lengths of a pilot's trainings: one where they pause, as the pause is the short one; else two."""
    short = max(1, epochs // 3)
    return [epochs] if _rungs(config) or short == epochs else [short, epochs]


def _comparison(plan: Plan, size: Size) -> dict[str, Any]:
    config, recipe = plan.config, plan.recipe
    seeds = list(islice(race_seeds(config.seed), size.base_seeds))
    drawn: dict[str, tuple[Candidate, dict[str, Any], list[int]]] = {"base": (Candidate(plan.base, recipe), {}, seeds)}
    for number, (candidate, values) in enumerate(_draws(plan, size.candidates), 1):
        drawn[f"draw-{number}"] = (candidate, values, seeds[:_REPEATS])
    networks = {}
    for length in _lengths(config, recipe.epochs):
        for name, (candidate, values, own) in drawn.items():
            changed = candidate.recipe.model_copy(update={"epochs": length})
            about = {"values": values, "seeds": own, "epochs": length}
            networks[name if length == recipe.epochs else f"{name}-short"] = (Candidate(candidate.spec, changed), about)
    race = config.race or RaceConfig()
    splits = {seed: data_for(race, config.data, config.seed, seed).split_seed for seed in seeds}
    return make_plan(
        networks, seeds, recipe.model_dump(), plan.data, config.data, config.engine, test=False, splits=splits
    )


def _draws(plan: Plan, amount: int) -> list[tuple[Candidate, dict[str, Any]]]:
    """Return different feasible candidates, drawn independently from the space, with their parameters."""
    config, limit = plan.config, Limit(plan.config.max_macs)
    found: dict[str, tuple[Candidate, dict[str, Any]]] = {}
    base = Candidate(plan.base, plan.recipe).key
    with quiet():
        study = optuna.create_study()
    for number in range(_MOST_DRAWS):
        study.sampler = RandomSampler(seed=mix(config.seed, _DRAWS_FROM, number) % 2**32)
        trial = study.ask()
        candidate = decode(config.space, plan.base, plan.recipe, Sampled(trial))
        if not limit.why_not(candidate) and candidate.key != base:
            found.setdefault(candidate.key, (candidate, trial.params))
        if len(found) == amount:
            break
    return list(found.values())


def _found(plan: Plan, size: Size, folder: Path, tasks: TaskResults) -> dict[str, Any]:
    """Return what a pilot's trainings say, and what races can be expected to find."""
    config, epochs = plan.config, plan.recipe.epochs
    values = config.space.get("recipe")
    score = chosen_score((config.race or RaceConfig()).score, list(values.root) if values else [])
    rungs = _rungs(config)
    pauses = [e for e in range(1, epochs) if rungs and rungs.is_rung(e)]
    lengths = _lengths(config, epochs)
    scored = {length: _scored(_trained(tasks, length), score) for length in lengths}
    by = "train_accuracy" if rungs and rungs.by == "train_accuracy" else score  # what a pause compares
    scored |= {pause: _scored(_at(tasks, folder, epochs, pause), by) for pause in pauses}
    measured = {length: _measured(trainings) for length, trainings in scored.items()}
    transfers = {length: transfer(of, scored[epochs], "base") for length, of in scored.items() if length != epochs}
    situation = Situation(
        within={length: at["within"] for length, at in measured.items()},
        between={length: at["between"] for length, at in measured.items()},
        middle=measured[epochs]["middle"],
        transfer={(length, epochs): found.correlation for length, found in transfers.items()},
    )
    budget = _budget(config, epochs, tasks)
    recommended = recommend(situation, budget, lengths, pauses, possible=_possible(situation, scored, epochs))
    return {
        "score": score,
        "epochs": epochs,
        "pauses": pauses,
        "size": asdict(size),
        "budget": budget,
        "measured": {str(length): at for length, at in measured.items()},
        "transfer": {str(at): of._asdict() | {"interval": list(of.interval)} for at, of in transfers.items()},
        "reliability": _reliability(_trained(tasks, epochs)),
        **_recommended(recommended, size.candidates),
    }


def _possible(situation: Situation, scored: Mapping[int, Sequence[Training]], epochs: int) -> list[Situation]:
    """Return situations that a pilot's few trainings allow, as likely as they make them."""
    drawn = {length: variance_draws(trainings, "base", _POSSIBLE) for length, trainings in scored.items()}
    return [
        replace(
            situation,
            within={length: float(of.within[n]) for length, of in drawn.items()},
            between={length: float(of.between[n]) for length, of in drawn.items()},
            middle=float(drawn[epochs].middle[n]),
        )
        for n in range(_POSSIBLE)
    ]


def _trained(tasks: TaskResults, length: int) -> list[Ran]:
    done = (result for result in tasks.results.values() if result["state"] == "complete")
    ran = [Ran.of(result | {"key": _name(result)}) for result in done if result["epochs"] == length]
    return [training for training in ran if None not in training.figures.values()]  # a loss may not be finite


def _name(result: Mapping[str, Any]) -> str:
    return str(result["piloted"]).removesuffix("-short")


def _at(tasks: TaskResults, folder: Path, epochs: int, pause: int) -> list[Ran]:
    """Return the trainings as they stood after an epoch."""
    found = []
    for ran in _trained(tasks, epochs):
        metrics = read_lines(folder / ran.key / str(ran.seed) / "metrics.jsonl")[pause - 1]
        found.append(Ran.of(metrics | {"key": ran.key, "seed": ran.seed, "epochs": pause}))
    return found


def _scored(ran: Sequence[Ran], score: str) -> list[Training]:
    values = scores([training.figures for training in ran], score)
    return [Training(t.key, t.seed, float(value)) for t, value in zip(ran, values, strict=True)]


def _measured(trainings: Sequence[Training]) -> dict[str, Any]:
    """Return noise, spread and the base's place at a length, in points of held-out accuracy, with intervals."""
    effects = estimate(trainings, "base")
    intervals = variance_intervals(trainings, "base")
    of = {name: [float(end) for end in interval] for name, interval in intervals._asdict().items()}
    return {
        "within": effects.variances.within,
        "between": effects.variances.between,
        "reliability": effects.reliability,
        "middle": effects.middle,
        "intervals": of,
    }


def _reliability(ran: Sequence[Ran]) -> list[dict[str, Any]]:
    return [r._asdict() for r in reliabilities([t.figures for t in ran], [t.key for t in ran])]


def _budget(config: StudyConfig, epochs: int, tasks: TaskResults) -> int:
    """Return the study's budget in epochs; hours are counted by how long the pilot's epochs took."""
    if not config.budget:
        return config.trials * epochs
    if config.budget.epochs:
        return config.budget.epochs
    done = [r for r in tasks.results.values() if r["state"] == "complete"]
    each: float = sum(r["seconds"] for r in done) / sum(r["epochs"] for r in done) * config.engine.threads
    return math.floor(config.budget.core_hours * 3600 / each)


def _recommended(recommended: Recommendation, candidates: int) -> dict[str, Any]:
    """Return plans and verdict for the record; of too few candidates `pays` is None: they do not show the spread."""
    plans = [
        asdict(plan) | {f"expected_{k}": v for k, v in expected._asdict().items()}
        for plan, expected in recommended.plans
    ]
    verdict = recommended.verdict._asdict()
    if candidates < MIN_COMPLETE:
        few = f"{candidates} candidates say too little of a space to promise anything; {MIN_COMPLETE} are the least."
        verdict |= {"pays": None, "text": f"{few} Taken at their word: {verdict['text']}"}
    return {"plans": plans, **verdict}
