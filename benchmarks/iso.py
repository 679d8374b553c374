"""How many random splits are brought to the base network's MACs within 1 %, and how long that takes.

Splits of googlenet_cifar_small, uniform over the compositions, in multiples of 8; the time is that of the solving
alone, in CPU milliseconds of one process.

    python -m benchmarks.iso --count 4000     # to docs/results/performance/iso_macs.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler

import arch
import search
from arch.specs.edit import searchable, split_of
from search.record.environment import environment
from search.record.files import write_json
from search.space.axes.arguments import Kernel
from search.space.axes.family import Family
from search.space.axes.splits import Splits
from search.space.candidates import decode
from search.space.choosers import Sampled
from search.space.iso_macs import solve
from search.space.space import Space

RESULT = Path(__file__).parents[1] / "docs" / "results" / "performance" / "iso_macs.json"
NETWORK = "googlenet_cifar_small"
FAMILIES = ["inception_v1", "inception_v2", "inception_v3", "inception_residual"]
GOAL = Splits(mode="iso_macs")
SPACES: Mapping[str, Space] = {
    "family v1": Space(splits=Splits()),
    "family per stage": Space(splits=Splits(), family=Family(choices=FAMILIES)),
    "family and rows per stage, kernel": Space(
        splits=Splits(),
        family=Family(choices=FAMILIES),
        kernel=Kernel(choices=[3, 5, 7]),
        depth={"3": [1, 2, 3], "4": [1, 2, 3, 4], "5": [1, 2, 3]},
    ),
}


def measure(space: Space, count: int) -> dict[str, Any]:
    """Return how many of `count` random splits were solved, and the time that each took."""
    base, recipe = arch.load(NETWORK), search.load_recipe("default")
    macs = arch.cost(base).macs
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    solved, seconds, misses = 0, [], []
    for _ in range(count):
        drawn = decode(space, base, recipe, Sampled(study.ask())).spec
        proportions = {row.name: split_of(row) for row in searchable(drawn)}
        start = time.process_time()
        found = solve(drawn, proportions, macs, GOAL)
        seconds.append(time.process_time() - start)
        misses.append(abs(arch.cost(found.spec).macs / macs - 1))
        solved += not found.missed
    spread = statistics.quantiles(seconds, n=100)
    return {
        "count": count,
        "solved": solved,
        "ms": {name: round(spread[n - 1] * 1e3, 3) for name, n in (("p5", 5), ("median", 50), ("p95", 95))},
        "ms, mean": round(statistics.mean(seconds) * 1e3, 3),
        "off by, median": round(statistics.median(misses), 5),
        "off by, most": round(max(misses), 5),
    }


def main() -> None:
    """Measure every space and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=4_000)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    load = os.getloadavg()[0]
    results = {name: measure(space, options.count) for name, space in SPACES.items()}
    about = {
        "command": f"python -m benchmarks.iso --count {options.count}",
        "network": NETWORK,
        "goal": GOAL.model_dump(mode="json"),
        "load average at the start": round(load, 1),
    }
    write_json(options.out, about | {"spaces": results, "environment": environment(threads=1)})
    for name, result in results.items():
        print(
            f"{name}: {result['solved']} of {result['count']} solved, median {result['ms']['median']} ms, p95 {result['ms']['p95']} ms"
        )


if __name__ == "__main__":
    main()
