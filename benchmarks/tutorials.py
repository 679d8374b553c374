"""The tutorials' printed accuracies beside ours.

    python -m benchmarks.tutorials --gather runs/*    # trainings with --test, into accuracy.json
    python -m benchmarks.tutorials                    # the tables of docs/reproduce_the_tutorials.md

The tables hold nothing that is not in `docs/results/tutorials/`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.performance import gather
from search.record.files import read_json

RECORDS = Path(__file__).parents[1] / "docs" / "results" / "tutorials"


def gathered(runs: list[Path]) -> list[dict[str, Any]]:
    """Return what the tables need of trainings that ended and opened the test set, by class too."""
    classes = [read_json(run / "result.json")["test_class_accuracy"] for run in sorted(runs)]
    return [record | {"test_class_accuracy": found} for record, found in zip(gather(runs), classes, strict=True)]


def overall(printed: dict[str, Any], records: pd.DataFrame) -> pd.DataFrame:
    """Return a line for each tutorial's training: its printed accuracy, and ours over random seeds."""
    rows = []
    for recipe, told in printed.items():
        ours = records[records["recipe"] == recipe]
        test = 100 * ours["test_accuracy"]
        rows.append(
            {
                "recipe": recipe,
                "network": told["network"],
                "printed %": f"{told['test_accuracy']:.2f}",
                "ours %": f"{test.mean():.2f} +- {test.std():.2f}" if len(ours) else "not measured",
                "smallest, largest": f"{test.min():.2f}, {test.max():.2f}" if len(ours) else "",
                "seeds": ", ".join(map(str, sorted(ours["seed"]))),
                "precision": ", ".join(sorted(set(ours["precision"]))),
                "minutes": f"{ours['seconds'].mean() / 60:.0f}" if len(ours) else "",
            }
        )
    return pd.DataFrame(rows)


def by_class(told: dict[str, Any], records: pd.DataFrame) -> pd.DataFrame:
    """Return the printed and our accuracy of each class, in percent."""
    ours = 100 * pd.DataFrame(list(records["test_class_accuracy"]))
    rows = [
        {"class": name, "printed %": f"{value:.2f}", "ours %": f"{ours[name].mean():.2f} +- {ours[name].std():.2f}"}
        for name, value in told["test_class_accuracy"].items()
    ]
    mean = sum(told["test_class_accuracy"].values()) / len(rows)
    rows.append({"class": "mean", "printed %": f"{mean:.2f}", "ours %": f"{100 * records['test_accuracy'].mean():.2f}"})
    return pd.DataFrame(rows)


def main() -> None:
    """Gather what is given, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gather", nargs="+", type=Path, default=[])
    options = parser.parse_args()
    if options.gather:
        (RECORDS / "accuracy.json").write_text(json.dumps(gathered(options.gather), indent=1) + "\n")
    printed, records = (
        read_json(RECORDS / "printed.json"),
        pd.DataFrame(json.loads((RECORDS / "accuracy.json").read_text())),
    )
    print(overall(printed, records).to_string(index=False), end="\n\n")
    for recipe, told in printed.items():
        if "test_class_accuracy" in told:
            found = records[records["recipe"] == recipe]
            print(f"{recipe}, by class\n\n{by_class(told, found).to_string(index=False)}", end="\n\n")
    about = sorted({(r["processor"], r["threads"], r["commit"]) for _, r in records.iterrows()})
    print("; ".join(f"{processor}, {threads} thread, commit {commit}" for processor, threads, commit in about))


if __name__ == "__main__":
    main()
