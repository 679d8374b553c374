"""A plan on paper for large studies: where one driver, its sampler and its storage saturate.

A simulation, not a measurement of a cluster: `--workers` workers take trials whose times are drawn from recorded ones
(docs/results/curves, scaled to a mean), and one driver serves them one after another: a finished trial is told and the next one asked,
which takes what benchmarks/search.py measured, a + b * n seconds with n trials in the storage.

    python -m benchmarks.scaling            # to docs/results/performance/scaling.json and docs/scaling.md's table
"""

from __future__ import annotations

import argparse
import csv
import heapq
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from search.record import read_json, write_json

RESULTS = Path(__file__).parents[1] / "docs" / "results"
WORKERS, TRIALS, MEANS = 1_000, 100_000, (60.0, 600.0, 3_600.0)


class Service(NamedTuple):
    """Seconds that the driver spends on a trial: `fixed`, and `growing` for each trial that is in the storage."""

    fixed: float
    growing: float


class Outcome(NamedTuple):
    """What a simulated study came to: hours, the part of the workers' time that trained, and the trial from which on
    workers waited more than a tenth of a trial for the driver (None: never)."""

    hours: float
    used: float
    saturated_at: int | None


def simulate(service: Service, durations: np.ndarray, workers: int, trials: int) -> Outcome:
    """Return how a study goes in which free workers queue for one driver.

    The driver serves in the order of arrival; `durations` (s) are the trials' own times.
    """
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    driver_free, trained, saturated_at, end = 0.0, 0.0, None, 0.0
    patience = float(durations.mean()) / 10
    for number in range(trials):
        at, worker = heapq.heappop(free)
        begun = max(at, driver_free) + service.fixed + service.growing * number
        driver_free = begun
        if saturated_at is None and number >= workers and begun - at > patience:
            saturated_at = number
        duration = float(durations[number % len(durations)])
        trained += duration
        end = max(end, begun + duration)
        heapq.heappush(free, (begun + duration, worker))
    return Outcome(end / 3600, trained / (workers * end), saturated_at)


def recorded(mean: float, count: int) -> np.ndarray:
    """Return trial times in s, drawn from the recorded candidates' and scaled to a mean."""
    seconds: dict[str, float] = defaultdict(float)
    with open(RESULTS / "curves" / "curves.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            seconds[row["candidate"]] += float(row["seconds"])
    times = np.array(list(seconds.values()))
    return np.random.default_rng(0).choice(times / times.mean() * mean, count)


def services() -> dict[tuple[str, str], Service]:
    """Return the driver's time by storage and sampler: the line through what was measured."""
    found: dict[tuple[str, str], Service] = {}
    frame = pd.DataFrame(read_json(RESULTS / "performance" / "search.json")["rows"])
    for (storage, sampler), group in frame.groupby(["storage", "sampler"], sort=False):
        slope, start = np.polyfit(group["trials before"], group["driver"] / 1e3, 1)
        found[str(storage), str(sampler)] = Service(float(max(start, 0.0)), float(max(slope, 0.0)))
    return found


def plan(workers: int, trials: int) -> list[dict[str, Any]]:
    """Return a line for each storage, sampler and mean time of a trial."""
    rows = []
    for (storage, sampler), service in services().items():
        for mean in MEANS:
            outcome = simulate(service, recorded(mean, trials), workers, trials)
            about = {"storage": storage, "sampler": sampler, "trial, s": mean}
            rows.append(
                about
                | {"fixed, ms": 1e3 * service.fixed, "ms per 1,000 trials": 1e6 * service.growing}
                | outcome._asdict()
            )
    return rows


def main() -> None:
    """Simulate, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args()
    rows = plan(options.workers, options.trials)
    print(pd.DataFrame(rows).to_string(index=False))
    write_json(
        RESULTS / "performance" / "scaling.json", {"workers": options.workers, "trials": options.trials, "rows": rows}
    )


if __name__ == "__main__":
    main()
