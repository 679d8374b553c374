"""Do the chances and gains that a search states come true? Simulated studies whose truth is known.

A study draws 24 candidates around a middle, trains each once and the base three times, and gives 16 further seeds by
top-two sampling, each with noise and a common effect of its seed. The middle is drawn uniformly for each study, so
that all chances occur. The gain stated for the chosen candidate is compared with the truth:

    known       the variances are given to `estimate`, as a pilot of any length would know them
    estimated   `estimate` finds them in the study's own trainings: right on average over spaces of any reliability
                (`drawn`), too careful where that is high, too hopeful where it is low
    races       the same work spent in other ways (`search.statistics.plans`)
    pilots      how often the intervals of a pilot (the base with 4 seeds, 10 candidates with 2) hold the truth

    python -m benchmarks.calibration --studies 10000 --estimated 2000    # to docs/results/search/calibration.json
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from search.record.environment import environment
from search.record.files import write_json
from search.statistics.allocation import posterior, top_two
from search.statistics.effects import Training, Variances, estimate, variance_intervals
from search.statistics.plans import RacePlan, Situation, simulate

RESULT = Path(__file__).parents[1] / "docs" / "results" / "search" / "calibration.json"
BASE = "base"
CANDIDATES, FURTHER, BASE_SEEDS = 24, 16, 3
MIDDLES = (-2.5, 0.5)  # points over the base
SPACES = {  # by the reliability of one training
    "0.15": Variances(within=0.75, between=0.315, seeds=0.2),
    "0.36": Variances(within=0.75, between=0.56, seeds=0.2),
    "0.71": Variances(within=0.45, between=0.70, seeds=0.2),
}
DRAWN = "drawn"  # a space of its own for each study, of any reliability
SITUATION = Situation(
    within={1: 0.75, 3: 0.45}, between={1: 0.8, 3: 0.7}, middle=-0.9, transfer={(1, 3): 0.6}
)  # fmt: skip
BUDGET = 170  # epochs: three hours on one core
PLANS = {
    "best of N, 1 epoch": RacePlan(1, 0.0),
    "best of N, 3 epochs": RacePlan(3, 0.0),
    "race, a quarter for seeds": RacePlan(3, 0.25),
    "race, half for seeds": RacePlan(3, 0.5),
    "race, a quarter for seeds, a quarter passes the pause": RacePlan(3, 0.25, pause=1, keep=0.25),
}


class Outcome(NamedTuple):
    """What a study states of its choice, and the truth: gains over the base."""

    said: float
    chance: float
    covered: bool
    true: float
    seen: float
    true_of_seen: float


class World:
    """A space, a base and seeds: trainings of known candidates."""

    def __init__(self, variances: Variances, middle: float, candidates: int, rng: numpy.random.Generator) -> None:
        self.variances, self.rng = variances, rng
        self.gains = rng.normal(middle, variances.between, candidates)
        self.common = rng.normal(0, variances.seeds, 100)
        self.trainings: list[Training] = []

    def train(self, candidate: int | None, seed: int) -> None:
        """Train a candidate, or the base (None), with a seed."""
        gain = 0.0 if candidate is None else float(self.gains[candidate])
        value = 75 + gain + self.common[seed] + self.rng.normal(0, self.variances.within)
        self.trainings.append(Training(BASE if candidate is None else str(candidate), seed, float(value)))


def study(variances: Variances, middle: float, rng: numpy.random.Generator, known: bool) -> Outcome:
    """Race in a world and compare the stated gain of the choice with its truth."""
    world = World(variances, middle, CANDIDATES, rng)
    for seed in range(BASE_SEEDS):
        world.train(None, seed)
    for candidate in range(CANDIDATES):
        world.train(candidate, 0)
    counts, of_base = numpy.ones(CANDIDATES, dtype=int), BASE_SEEDS
    totals = numpy.array([t.value for t in world.trainings if t.candidate != BASE])
    for _ in range(FURTHER):
        means = totals / counts
        chosen = int(top_two(*posterior(means, counts, means.mean(), variances), rng))
        if counts[chosen] == of_base:
            world.train(None, of_base)
            of_base += 1
        else:
            world.train(chosen, int(counts[chosen]))
            totals[chosen] += world.trainings[-1].value
            counts[chosen] += 1
    found = estimate(world.trainings, BASE, variances if known else None)
    best, luckiest = int(found.order()[0]), int(found.seen.argmax())
    effect = found.of(found.candidates[best])
    true, true_of_seen = (float(world.gains[int(found.candidates[at])]) for at in (best, luckiest))
    low, high = effect.interval
    return Outcome(effect.gain, effect.chance, low < true < high, true, float(found.seen[luckiest]), true_of_seen)


def outcomes(space: str, count: int, known: bool, seed: int = 0) -> list[Outcome]:
    """Return so many studies of a space, each with its own middle."""
    rng = numpy.random.default_rng([seed, known])
    return [study(_variances(space, rng), rng.uniform(*MIDDLES), rng, known) for _ in range(count)]


def _variances(space: str, rng: numpy.random.Generator) -> Variances:
    if space != DRAWN:
        return SPACES[space]
    reliability = rng.uniform(0.0, 0.95)
    return Variances(within=0.6, between=0.6 * math.sqrt(reliability / (1 - reliability)), seeds=0.2)


def deciles(found: Sequence[Outcome]) -> list[dict[str, float]]:
    """Return each tenth of the studies, by the chance that they state: that chance's mean, and how often it came true."""
    ordered = sorted(found, key=lambda one: one.chance)
    parts = [[ordered[i] for i in part] for part in numpy.array_split(numpy.arange(len(ordered)), 10)]
    return [
        {
            "said": round(float(numpy.mean([one.chance for one in part])), 4),
            "came true": round(float(numpy.mean([one.true > 0 for one in part])), 4),
            "studies": len(part),
        }
        for part in parts
    ]


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    """Return calibration and bias over studies; gains in points, each bias with its standard error."""
    tenths = deciles(found)

    def mean(values: Sequence[float]) -> list[float]:
        return [round(float(numpy.mean(values)), 4), round(float(numpy.std(values) / len(values) ** 0.5), 4)]

    return {
        "studies": len(found),
        "deciles": tenths,
        "largest difference": round(max(abs(t["said"] - t["came true"]) for t in tenths), 4),
        "bias of the gain, se": mean([one.said - one.true for one in found]),
        "bias of what is seen, se": mean([one.seen - one.true_of_seen for one in found]),
        "true gain chosen by gain, se": mean([one.true for one in found]),
        "true gain chosen by what is seen, se": mean([one.true_of_seen for one in found]),
        "interval of 95 % covers": round(float(numpy.mean([one.covered for one in found])), 4),
    }


def races(runs: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return what the same work finds in several ways."""
    return {name: _rounded(simulate(plan, SITUATION, BUDGET, runs, seed)._asdict()) for name, plan in PLANS.items()}


def _rounded(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items() if value is not None}


def pilots(space: str, count: int, seed: int = 0) -> dict[str, float]:
    """Return how often a pilot's intervals of 95 % hold the truth."""
    variances, rng, middle = SPACES[space], numpy.random.default_rng(seed), -0.9
    truth = (variances.within, variances.between, variances.reliability, middle)
    held = []
    for number in range(count):
        world = World(variances, middle, 10, rng)
        for candidate, seeds in [(None, 4), *((candidate, 2) for candidate in range(10))]:
            for one in range(seeds):
                world.train(candidate, one)
        found = variance_intervals(world.trainings, BASE, draws=1000, seed=number)
        held.append([low <= true <= high for (low, high), true in zip(found, truth, strict=True)])
    names = ("within", "between", "reliability", "middle")
    return {name: round(float(share), 4) for name, share in zip(names, numpy.mean(held, axis=0), strict=True)}


def table(record: Mapping[str, Any]) -> str:
    """Return the record as text: a line a decile, then the biases and the races."""
    lines = []
    for space, kinds in record["spaces"].items():
        for kind, found in kinds.items():
            lines.append(f"reliability {space}, variances {kind}, {found['studies']} studies")
            lines += [f"  said {t['said']:7.1%}  came true {t['came true']:7.1%}" for t in found["deciles"]]
            lines += [f"  {name}: {value}" for name, value in found.items() if name not in ("studies", "deciles")]
    for name, found in record["races"].items():
        figures = f"gain {found['gain']:+.3f}, chance {found['chance']:.1%}, said {found['said']:+.3f}"
        lines.append(f"{name}: {figures}")
    lines += [f"pilots, reliability {space}: {found}" for space, found in record["pilots"].items()]
    return "\n".join(lines)


def main() -> None:
    """Simulate all and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--estimated", type=int, default=2_000)
    parser.add_argument("--races", type=int, default=10_000)
    parser.add_argument("--pilots", type=int, default=1_000)
    args = parser.parse_args()
    start = time.perf_counter()
    record = {
        "spaces": {
            space: {
                "known": summary(outcomes(space, args.studies, known=True)),
                "estimated": summary(outcomes(space, args.estimated, known=False)),
            }
            for space in (*SPACES, DRAWN)
        },
        "races": races(args.races),
        "pilots": {space: pilots(space, args.pilots) for space in SPACES},
        "design": {"candidates": CANDIDATES, "further": FURTHER, "base seeds": BASE_SEEDS, "middles": MIDDLES},
        "budget of races": BUDGET,
        "environment": environment(threads=1),
    }
    print(table(record))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULT, record)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
