"""A plan on paper for large studies: where one driver, its sampler and its storage saturate.

A simulation, not a measurement of a cluster: `--workers` workers take trials whose times are drawn from recorded ones
(docs/results/curves, scaled to a mean), and one driver serves them one after another. It records a finished trial and
proposes the next one, which takes what benchmarks/search.py measured, a + b * n seconds with n trials in the storage.

    python -m benchmarks.scaling            # to docs/results/performance/scaling.json and docs/scaling.md
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

from reports.tables.table import Table
from search.record.files import read_json, write_json, write_text

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RECORD, PAGE = RESULTS / "performance" / "scaling.json", RESULTS.parent / "scaling.md"
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
    """Return the driver's time by storage and sampler: lines through what was measured, parallel for each sampler.

    What grows with the trials is the sampler's time, whatever the storage; so it is the median of what each storage shows.
    """
    found: dict[tuple[str, str], Service] = {}
    frame = pd.DataFrame(read_json(RESULTS / "performance" / "search.json")["rows"])
    for sampler, of_sampler in frame.groupby("sampler", sort=False):
        by_storage = dict(list(of_sampler.groupby("storage", sort=False)))
        slopes = [np.polyfit(group["trials before"], group["driver"] / 1e3, 1)[0] for group in by_storage.values()]
        growing = max(float(np.median(slopes)), 0.0)
        for storage, group in by_storage.items():
            fixed = float((group["driver"] / 1e3 - growing * group["trials before"]).mean())
            found[str(storage), str(sampler)] = Service(max(fixed, 0.0), growing)
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


def table(rows: list[dict[str, Any]]) -> str:
    """Return the simulated studies as a Markdown table."""
    lines = [
        {
            "storage": row["storage"],
            "sampler": row["sampler"],
            "driver, ms a trial": f"{row['fixed, ms']:.0f} + {row['ms per 1,000 trials']:.1f} per 1,000",
            "trial, s": f"{row['trial, s']:.0f}",
            "hours": f"{row['hours']:.1f}",
            "workers busy, %": f"{100 * row['used']:.0f}",
            "saturated from trial": "never" if row["saturated_at"] is None else f"{row['saturated_at']:,}",
        }
        for row in rows
    ]
    return Table("scaling", "", pd.DataFrame(lines)).markdown()


def page(record: dict[str, Any]) -> str:
    """Return the text of docs/scaling.md."""
    measured = read_json(RESULTS / "performance" / "search.json")
    about, rows = measured["environment"], record["rows"]
    most = max(row["trials before"] for row in measured["rows"])
    busy = {
        mean: [f"{r['sampler']} on {r['storage']}" for r in rows if r["trial, s"] == mean and r["used"] >= 0.95]
        for mean in MEANS
    }
    enough = "\n".join(
        f"- trials of {mean:.0f} s: {', '.join(names) if names else 'none of them'}" for mean, names in busy.items()
    )
    pace = record["workers"] / MEANS[0]
    return f"""# {record["workers"]:,} GPUs, {record["trials"]:,} trials: a plan on paper

One driver calls the sampler, writes to the storage and writes the records; the workers do everything else. So the
driver, the sampler and the storage are one queue, and a study saturates where that queue is slower than the workers.
With {record["workers"]:,} workers and trials of {MEANS[0]:.0f} s it must serve {pace:.1f} trials a second, {1e3 / pace:.0f} ms each.

This page is a simulation (`python -m benchmarks.scaling`), not a measurement of a cluster. What goes in is measured: the
driver's time a trial at 0 and {most:,} earlier trials (`python -m benchmarks.search`, medians of {measured["turns"]} runs;
{about["processor"]}, one core, torch {about["versions"]["torch"]}, Optuna {about["versions"]["optuna"]}, files on {about["filesystem"]}), as a line that is
drawn on to {record["trials"]:,} trials, equally steep for all storages of a sampler; and the spread of trial
times, from the 48 recorded curves, scaled to the means below. Not in it: the cluster's own scheduling, epochs reported
in between, a busy database server, and on a disk the time of its commits: some 35 a trial here with SQLite and PostgreSQL,
one for each drawn parameter.

{table(rows)}
Saturated: from that trial on a worker waits for the driver for more than a tenth of a trial.

## What keeps 95 % of the workers busy

{enough}

## What to set

- **Sampler.** TPE looks at all earlier trials at each proposal, so its time grows with the study. The column
  "per 1,000" bounds a long one. For {record["trials"]:,} short trials take `random` or `qmc`, or several studies
  of TPE with a part of the trials each, the best of which start the next one (`start: [{{run: ..., top: 5}}]`).
- **Storage.** Every drawn parameter is a commit of its own in SQLite and PostgreSQL; `journal:///path` appends. A
  server is for dashboards and for several studies at once, not for speed. SQLite suffices up to some trials a second.
- **Longer trials.** The load on the driver falls as trials take longer: train for more epochs, or give a trial more
  of a machine (`engine.cpus`, `engine.gpus`). Look for a faster driver after that.
- **Splitting a study.** A study has one driver, which holds its total exactly. Studies that share a PostgreSQL server,
  each with a driver and run directory of its own, scale out; `inceptory confirm RUN --with RUN2:5` compares their best.
- **Records.** A trial's folder lies on a file system that all nodes share, or comes back with its result (Ray). Put the
  run directory on a file system that writes five small files a trial at the rate above.
"""


def main() -> None:
    """Simulate, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args()
    rows = plan(options.workers, options.trials)
    record = {"workers": options.workers, "trials": options.trials, "rows": rows}
    print(table(rows))
    write_json(RECORD, record)
    write_text(PAGE, page(record))


if __name__ == "__main__":
    main()
