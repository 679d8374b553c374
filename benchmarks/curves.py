"""Learning curves of random networks, on which pruning is then judged without training again.

Each candidate is googlenet_cifar_small with a random family for each stage, random splits (uniform over the
compositions) and a random width, trained for 9 epochs on 10,000 CIFAR-10 images and judged after each epoch on the
5,000 held out. Several processes may share the work; what is recorded already is not trained again.

    python -m benchmarks.curves run --runs runs/curves --count 64 --share 0/2     # and 1/2 beside it
    python -m benchmarks.curves gather --runs runs/curves                         # to docs/results/curves
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import optuna
import torch

import arch
import search
from arch.specs.edit import with_width
from search.data.batches import mix
from search.engines.task import Task, run
from search.record.environment import environment
from search.record.files import read_json, read_lines, write_json, write_text
from search.space.candidates import decode
from search.space.choosers import Sampled
from search.space.space import Space

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "curves"
WIDTHS = (0.5, 0.625, 0.75, 0.875, 1.0, 1.125)
SPACE = Space.model_validate(
    {
        "splits": {"reduce": [0.25, 1.0]},
        "family": {
            "per": "stage",
            "choices": ["inception_v1", "inception_v2", "inception_v3", "inception_residual"],
        },
    }
)
RECIPE = search.load_recipe("muon", {"epochs": 9})
DATA = search.DataConfig(name="cifar10", train_fraction=10_000 / 45_000)


def candidate(number: int) -> arch.Spec:
    """Return the network of that number, always the same."""
    sampler = optuna.samplers.RandomSampler(seed=mix(0, number) % 2**32)
    trial = optuna.create_study(sampler=sampler).ask()
    spec = decode(SPACE, arch.load("googlenet_cifar_small"), RECIPE, Sampled(trial)).spec
    return with_width(spec, trial.suggest_categorical("width", WIDTHS), 4)


def record(runs: Path, numbers: range) -> None:
    """Train the candidates that have no result yet."""
    for number in numbers:
        folder = runs / f"{number:03d}"
        if (folder / "result.json").exists():
            continue
        spec = arch.to_mapping(candidate(number))
        task = Task(str(folder), spec, RECIPE.model_dump(), DATA.model_dump(), seed=0, about={"trial": number})
        for epoch in run(task):
            print(
                f"{number:03d} epoch {epoch.epoch}: {epoch.val_accuracy:.2%}, {epoch.images_per_second:.0f} img/s",
                flush=True,
            )
        (folder / "weights.safetensors").unlink(missing_ok=True)


def gather(runs: Path) -> None:
    """Write all recorded curves as one table: a row for each candidate and epoch."""
    rows = []
    for folder in sorted(runs.glob("[0-9]*")):
        if (folder / "result.json").exists():
            result = read_json(folder / "result.json")
            for epoch in read_lines(folder / "metrics.jsonl"):
                values = (epoch["val_accuracy"], round(epoch["val_loss"], 5), round(epoch["train_accuracy"], 5))
                shared = (int(folder.name), result["spec_id"], result["macs"], epoch["epoch"])
                rows.append((*shared, *values, round(epoch["seconds"], 2)))
    names = ("candidate", "spec_id", "macs", "epoch", "val_accuracy", "val_loss", "train_accuracy", "seconds")
    lines = [names, *rows]
    with open(RESULTS / "curves.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    about = {
        "data": DATA.model_dump(),
        "recipe": RECIPE.model_dump(),
        "seed": 0,
        "space": SPACE.model_dump(),
        "widths": WIDTHS,
    }
    write_json(RESULTS / "about.json", about | {"environment": environment(threads=1)})
    write_text(RESULTS / "README.md", __doc__.partition("\n\n    ")[0] + "\n")
    print(f"{len(rows)} rows of {len({row[0] for row in rows})} candidates")


def main() -> None:
    """Record or gather."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["run", "gather"])
    parser.add_argument("--runs", type=Path, default=Path("runs/curves"))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--share", default="0/1", help="which part of the work is this process's")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    if options.what == "gather":
        gather(options.runs)
    else:
        own, parts = map(int, options.share.split("/"))
        record(options.runs, range(own, options.count, parts))


if __name__ == "__main__":
    main()
