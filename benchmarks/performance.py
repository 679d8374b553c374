"""Gather finished trainings into a record, and write docs/results/performance.md from the records.

    python -m benchmarks.performance --gather runs/*    # trainings with --test, into accuracy.json
    python -m benchmarks.performance                    # the page, from the JSON files that are there

The page holds nothing that is not in `docs/results/performance/*.json`; a test rebuilds it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from reports.tables.table import Table
from search.record.files import read_json

PAGE = Path(__file__).parents[1] / "docs" / "results" / "performance.md"
RECORDS = PAGE.with_suffix("")
TARGETS = (0.70, 0.79)
TUTORIAL, OURS = "googlenet_bn_cifar32", "googlenet_cifar_small"
SAME = ["network", "recipe", "epochs", "precision"]
_KEPT = (
    "network",
    "recipe",
    "recipe_id",
    "seed",
    "epochs",
    "train_images",
    "execution",
    "precision",
    "test_accuracy",
    "seconds",
    "images_per_second",
    "macs",
)


def gather(runs: list[Path]) -> list[dict[str, Any]]:
    """Return what the page needs of trainings that ended and opened the test set, with commit and processor."""
    found = []
    for run in sorted(runs):
        result = read_json(run / "result.json")
        if result["state"] != "complete" or "test_accuracy" not in result:
            raise SystemExit(f"{run}: no finished training with its test accuracy; run it with --test to its end.")
        about = read_json(run / "environment.json")
        found.append(
            {key: result[key] for key in _KEPT}
            | {"threads": about["threads"]}
            | {key: about[key] for key in ("commit", "processor", "time")}
        )
    return found


def accuracies(records: list[dict[str, Any]]) -> Table:
    """Return a line for each network, recipe and length: mean and deviation over its random seeds."""
    rows = []
    for key, group in pd.DataFrame(records).groupby(SAME):
        test = 100 * group["test_accuracy"]
        spread = f"+- {test.std():.2f} ({test.min():.2f} to {test.max():.2f})" if len(group) > 1 else "n = 1"
        rows.append(
            dict(zip(SAME, key, strict=True))
            | {
                "seeds": ", ".join(map(str, sorted(group["seed"]))),
                "test %": f"{test.mean():.2f} {spread}",
                "core-seconds": f"{group['seconds'].mean():.0f}",
                "img/s, one thread": f"{group['images_per_second'].mean():.0f}",
            }
        )
    return Table("accuracy", "", pd.DataFrame(rows))


def mean_accuracy(records: list[dict[str, Any]], network: str, recipe: str, epochs: int = 20) -> float:
    """Return the mean test accuracy of trainings of that kind, in percent."""
    found = [
        r["test_accuracy"] for r in records if (r["network"], r["recipe"], r["epochs"]) == (network, recipe, epochs)
    ]
    return 100 * sum(found) / len(found)


def causes(records: list[dict[str, Any]]) -> str:
    """Say what the network and what the recipe bring, each beside both of the other."""
    mean = {(n, r): mean_accuracy(records, n, r) for n in (TUTORIAL, OURS) for r in ("tutorial_000", "muon")}
    by_recipe = [mean[network, "muon"] - mean[network, "tutorial_000"] for network in (TUTORIAL, OURS)]
    by_network = [mean[OURS, recipe] - mean[TUTORIAL, recipe] for recipe in ("tutorial_000", "muon")]
    return (
        f"Percentage points after 20 epochs: the recipe brings {by_recipe[0]:+.2f} with the tutorial's network and "
        f"{by_recipe[1]:+.2f} with ours; the network brings {by_network[0]:+.2f} with the tutorial's recipe and "
        f"{by_network[1]:+.2f} with ours. The tutorial's text reports 69.88 % for its own of both."
    )


def reached(records: list[dict[str, Any]], naive: dict[str, float]) -> Table:
    """Return for each target the schedule of whole epochs that reached it in the fewest core-seconds, mean of its seeds.

    Beside it the naive loop: on the same schedule, and on the tutorial's network and recipe; estimated from `naive`, the
    plain loop's rate on one thread by network, img/s.
    """
    means = (
        pd.DataFrame(records)
        .groupby(["network", "recipe", "epochs"], as_index=False)[["test_accuracy", "seconds", "train_images"]]
        .mean()
    )
    means["naive"] = means["epochs"] * means["train_images"] / means["network"].map(naive)
    tutorial, rows = means[means["recipe"] == "tutorial_000"], []
    for target in TARGETS:
        enough = means[means["test_accuracy"] >= target]
        best = enough.loc[enough["seconds"].idxmin()]
        lines = [("fit", best, best["seconds"]), ("naive loop, estimated", best, best["naive"])]
        own = tutorial[tutorial["network"] == TUTORIAL].iloc[0]
        rows += [
            {
                "target %": f"{100 * target:.0f}",
                "network": line["network"],
                "recipe": line["recipe"],
                "epochs": line["epochs"],
                "test %": f"{100 * line['test_accuracy']:.2f}"
                + ("" if line["test_accuracy"] >= target else ", not reached"),
                "by": how,
                "core-seconds": f"{seconds:.0f}",
            }
            for how, line, seconds in [*lines, ("naive loop, estimated", own, own["naive"])]
        ]
    return Table("reached", "", pd.DataFrame(rows))


def tried(records: list[dict[str, Any]]) -> Table:
    """Return the recipes that were tried, the best of each length first."""
    rows = [
        {"tried": r["tried"], "epochs": r["epochs"], "held-out %": f"{100 * r['val_accuracy']:.2f}"} for r in records
    ]
    return Table("tried", "", pd.DataFrame(rows))


def throughput(result: dict[str, Any]) -> Table:
    """Return the contestants of one throughput run; ratios to (a) as one process on two threads."""
    tuned = {row["way"]: row for row in result["rows"] if row["contestant"] == "tuned"}
    rows = []
    for row in result["rows"]:
        line = {"contestant": row["contestant"], "way": row["way"]}
        for kind, name in (("alone", "step alone"), ("training", "end to end")):
            low, high = row[kind]["ratios"]
            line[f"{name}, img/s"] = f"{row[kind]['images_per_second']:.0f}"
            line[f"{name}, ratio"] = f"{row[kind]['ratio']:.2f} ({low:.2f} to {high:.2f})"
        to_tuned = row["training"]["images_per_second"] / tuned[row["way"]]["training"]["images_per_second"]
        line["to tuned, same way"] = f"{to_tuned:.2f}"
        peak = row.get("peak_mib_a_process")
        line["peak MiB a process"] = "not measured" if peak is None else f"{peak:.0f}"
        rows.append(line)
    return Table("throughput", "", pd.DataFrame(rows))


def counting(results: list[dict[str, Any]]) -> Table:
    """Return the time of a count in each way, medians."""
    rows = [
        {"network": result["network"]} | {way: f"{ms['median']:.3f}" for way, ms in result["ms"].items()}
        for result in results
    ]
    return Table("count", "", pd.DataFrame(rows))


def _naive() -> dict[str, float]:
    """Return what the plain loop does on one thread, end to end, img/s by network."""
    results = [read_json(file) for file in sorted(RECORDS.glob("throughput_*.json"))]
    return {
        result["network"]: row["training"]["images_per_second"] / 2
        for result in results
        for row in result["rows"]
        if row["contestant"] == "plain" and row["way"].startswith("two processes")
    }


def page() -> str:
    """Return the text of the page."""
    accuracy = json.loads((RECORDS / "accuracy.json").read_text())
    counts = read_json(RECORDS / "count.json")
    about = sorted({(record["processor"], record["commit"]) for record in accuracy})
    parts = [
        "# Performance",
        "Written by `python -m benchmarks.performance` from the records in `performance/`; a test rebuilds it. Ratios are "
        "medians of one run in which the contestants took turns; behind them the smallest and the largest.",
        "## Accuracy on CIFAR-10",
        "Trained on all 50,000 images, one pinned thread each, several at once beside other work (so core-seconds are what was "
        "had); the test set was opened once, after the last epoch. The `muon` recipe was chosen on the 5,000 held-out images "
        "(see its file). Mean and standard deviation over random seeds.",
        accuracies(accuracy).markdown().strip(),
        "; ".join(f"{processor}, commit {commit}" for processor, commit in about) + ".",
        causes(accuracy),
        "### Core-seconds to an accuracy",
        "The schedule of those above that reached a mean test accuracy in the fewest core-seconds. The naive loop's seconds are "
        "estimated: as many images at the rate that (a) below has on one thread (its share of two processes); that it "
        "would reach the same accuracy is taken from its computing the same.",
        reached(accuracy, _naive()).markdown().strip(),
        "### What was tried for the recipe",
        "googlenet_cifar_small, 45,000 images, judged on the 5,000 held out, n = 1 each (seed 0), so differences of a point say "
        "little. The whitening first layer did not help and is not kept.",
        tried(json.loads((RECORDS / "tried.json").read_text())).markdown().strip(),
        "## Training throughput",
        "(a) `plain`: float32, NCHW, PIL items through a DataLoader, as the tutorials write it; (b) `tuned`: with channels_last "
        "and bf16 autocast; (c) `inceptory`: `search.fit` with its defaults. Batch 128. Ratios to (a) as one process on two threads.",
    ]
    for file in sorted(RECORDS.glob("throughput_*.json")):
        result = read_json(file)
        path, proof, env = result["data_path"], result["proof"], result["environment"]
        parts += [
            f"### `{result['network']}`",
            throughput(result).markdown().strip(),
            f"(c) ran as {result['execution']}, {result['precision']}. Proof before the race, (a) against (c): float64 gradients "
            f"{proof['gradients']:.0e} apart (relative), 50 losses {proof['losses']:.0e}; in own precision the mean loss "
            f"{100 * proof['mean loss in own precision']:.1f} %. Data path: {path['ratio']:.1f} times PIL and DataLoader, "
            f"{100 * path['share_of_a_step']:.1f} % of a step. Growth after {result['growth_steps']:,} steps, MiB: "
            f"{', '.join(f'{name} {grown:+.1f}' for name, grown in result['growth_mib'].items()) or 'not measured'}. "
            f"{env['processor']}, cores {result['cores']} of {env['cores']}, load {result['load'][0]:.1f} to "
            f"{result['load'][1]:.1f}, torch {env['versions']['torch']}, {env['time'][:10]}, commit {env['commit']}, "
            f"{result['rounds']} rounds.",
        ]
    env = counts["environment"]
    parts += [
        "## Counting",
        "Milliseconds for a network's cost, medians: `arch.cost` cold and after an edit, beside what counts a built network.",
        counting(counts["results"]).markdown().strip(),
        f"{env['processor']}, one thread, {env['time'][:10]}, commit {env['commit']}.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Gather what is given, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gather", nargs="+", type=Path, default=[])
    options = parser.parse_args()
    if options.gather:
        RECORDS.mkdir(parents=True, exist_ok=True)
        (RECORDS / "accuracy.json").write_text(json.dumps(gather(options.gather), indent=1) + "\n")
    PAGE.write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
