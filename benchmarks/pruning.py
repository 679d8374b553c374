"""What pruning saves and costs: recorded learning curves, replayed through the pruner of a study.

The curves (docs/results/curves) are of random networks, each trained to its end. In a random order, one at a time,
each is cut off where the pruner says so. What counts is the front of accuracy against MACs among those that came to
their end: its hypervolume as a part of that of all networks, and the epochs trained as a part of all epochs.

Beside it stand, at about the same number of epochs: pruning at random (each rung cuts off as large a part as the
pruner did in that order), successive halving without regard to cost, and the pruner by held-out accuracy.

    python -m benchmarks.pruning            # prints, and writes docs/results/performance/pruning.json
    python -m benchmarks.pruning choose     # options, by other orders than those of the comparison
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.curves import RESULTS as CURVES
from reports.tables.insight import hypervolume
from search.record.files import write_json
from search.sampling.rungs import Rungs

RESULT = CURVES.parent / "performance" / "pruning.json"
ORDERS = range(20)
_ORDERS_TO_CHOOSE_BY = range(1000, 1020)
CHANCE = 0.1  # accuracy of the hypervolume's reference point; its MACs are those of the dearest network
_HALF, _CLOSE = 0.5, 0.99
_DRAWS = 20  # of random pruning, for each order


@dataclass(frozen=True)
class Curve:
    """A network's cost, and its accuracies after each epoch."""

    number: int
    macs: int
    held_out: tuple[float, ...]
    training: tuple[float, ...]


class Pruner(Protocol):
    """What `search.sampling.rungs.Rungs` offers."""

    by: str

    def note(self, key: str, macs: int, epoch: int, loss: float) -> None:
        """Take note of a candidate after an epoch."""
        ...

    def prunes(self, key: str, epoch: int) -> bool:
        """Return whether it ends there."""
        ...


class AtRandom(Rungs):
    """Cuts off a given part of those that stand on each rung, whoever they are."""

    def __init__(self, parts: dict[int, float], seed: int) -> None:
        super().__init__()
        self.parts, self.random = parts, random.Random(seed)

    def prunes(self, key: str, epoch: int) -> bool:
        """Return whether the lot falls on it."""
        return self.random.random() < self.parts.get(epoch, 0.0)


def read_curves(path: Path = CURVES / "curves.csv") -> list[Curve]:
    """Return the recorded curves, by number."""
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = []
    for number, group in itertools.groupby(rows, key=lambda row: int(row["candidate"])):
        epochs = sorted(group, key=lambda row: int(row["epoch"]))
        held_out, training = (tuple(float(row[k]) for row in epochs) for k in ("val_accuracy", "train_accuracy"))
        found.append(Curve(number, int(epochs[0]["macs"]), held_out, training))
    return found


def dominated(curves: Iterable[Curve], accuracy: float, macs: float) -> float:
    """Return the area that networks dominate, up to a reference point of low accuracy and many MACs."""
    return hypervolume([(curve.held_out[-1], curve.macs) for curve in curves], (accuracy, macs))


@dataclass(frozen=True)
class Replay:
    """What came of one order: who came to the end, epochs trained, and the part that each rung cut off."""

    finished: list[Curve]
    epochs: int
    parts: dict[int, float]


def replay(order: Sequence[Curve], pruner: Pruner) -> Replay:
    """Train the networks in this order, one at a time, as a study with this pruner would."""
    finished, epochs = [], 0
    stood: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    for curve in order:
        values = curve.training if pruner.by == "train_accuracy" else curve.held_out
        last = len(values)
        for epoch, value in enumerate(values, 1):
            epochs += 1
            pruner.note(str(curve.number), curve.macs, epoch, -value)
            stood[epoch] += 1
            if epoch < last and pruner.prunes(str(curve.number), epoch):
                ended[epoch] += 1
                break
        else:
            finished.append(curve)
    return Replay(finished, epochs, {epoch: ended[epoch] / stood[epoch] for epoch in stood})


def orders(curves: Sequence[Curve], seeds: Iterable[int]) -> list[list[Curve]]:
    """Return the networks in an order for each seed."""
    return [random.Random(seed).sample(list(curves), len(curves)) for seed in seeds]


def judged(curves: Sequence[Curve], replays: Sequence[Replay]) -> dict[str, Any]:
    """Return each order's part of the hypervolume and of the epochs, and their medians and worst.

    `strict_hypervolume` is to a reference point of the lowest accuracy among the networks: there is no
    target for it, and it shows what the first one forgives.
    """
    dearest = max(curve.macs for curve in curves)
    every = sum(len(curve.held_out) for curve in curves)

    def parts(accuracy: float) -> list[float]:
        whole = dominated(curves, accuracy, dearest)
        return [round(dominated(r.finished, accuracy, dearest) / whole, 5) for r in replays]

    volumes, strict = parts(CHANCE), parts(min(curve.held_out[-1] for curve in curves))
    epochs = [round(r.epochs / every, 4) for r in replays]
    return {
        "hypervolume": {"median": statistics.median(volumes), "worst": min(volumes)},
        "within_1_percent": sum(volume >= _CLOSE for volume in volumes),
        "epochs": {"median": statistics.median(epochs), "worst": max(epochs)},
        "strict_hypervolume": {"median": statistics.median(strict), "worst": min(strict)},
        "orders": [{"hypervolume": v, "epochs": e} for v, e in zip(volumes, epochs, strict=True)],
    }


def compared(curves: Sequence[Curve], seeds: Iterable[int] = ORDERS) -> dict[str, dict[str, Any]]:
    """Return what each way of pruning comes to, over the same orders."""
    given = orders(curves, seeds)
    ours = [replay(order, Rungs()) for order in given]
    lots = [
        replay(order, AtRandom(own.parts, draw))
        for order, own in zip(given, ours, strict=True)
        for draw in range(_DRAWS)
    ]
    budget = statistics.median(r.epochs for r in ours)
    blind = min(
        (
            [replay(order, Rungs(better=1, keep=part / 20, similar=math.inf)) for order in given]
            for part in range(1, 20)
        ),
        key=lambda found: abs(statistics.median(r.epochs for r in found) - budget),
    )
    held_out = [replay(order, Rungs(by="objective")) for order in given]
    return {
        "rungs": judged(curves, ours),
        "rungs by held-out accuracy": judged(curves, held_out),
        "successive halving without costs": judged(curves, blind),
        "at random": judged(curves, lots),
    }


def choose(curves: Sequence[Curve]) -> list[tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
    """Return options that need at most half of the epochs, best first by orders that nothing else is judged on.

    With each come its results on these orders, on those of the comparison, and on either half of the networks
    (few networks prune little, for there is nobody to compare with: their epochs are no target).
    """
    even, odd = ([curve for curve in curves if curve.number % 2 == half] for half in (0, 1))
    grid: dict[str, Sequence[Any]] = {
        "first": (1, 2),
        "factor": (1.5, 2.0, 3.0),
        "better": (2, 3, 4, 5),
        "keep": (0.0, 0.25, 0.5),
        "similar": (0.1, 0.25, 0.5),
    }
    found = []
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))

        def on(networks: Sequence[Curve], seeds: Iterable[int], options: dict[str, Any] = options) -> dict[str, Any]:
            return judged(networks, [replay(order, Rungs(**options)) for order in orders(networks, seeds)])

        chosen = on(curves, _ORDERS_TO_CHOOSE_BY)
        if chosen["epochs"]["median"] <= _HALF:
            others = {"judged on": on(curves, ORDERS), "even half": on(even, ORDERS), "odd half": on(odd, ORDERS)}
            found.append((options, {"chosen on": chosen} | others))

    def merit(entry: tuple[dict[str, Any], dict[str, dict[str, Any]]]) -> tuple[float, ...]:
        result = entry[1]["chosen on"]
        return -result["within_1_percent"], -result["hypervolume"]["worst"], result["epochs"]["median"]

    return sorted(found, key=merit)


def line(name: str, result: dict[str, Any]) -> str:
    """Return a result as a line of text."""
    volume, epochs, strict = result["hypervolume"], result["epochs"], result["strict_hypervolume"]
    return (
        f"{name:34} hypervolume {volume['median']:.4f} (worst {volume['worst']:.4f}), within 1 % in "
        f"{result['within_1_percent']} of {len(result['orders'])}, epochs {epochs['median']:.3f} "
        f"(worst {epochs['worst']:.3f}); strict {strict['median']:.3f} (worst {strict['worst']:.3f})"
    )


def main() -> None:
    """Compare ways of pruning, or choose options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["compare", "choose"], nargs="?", default="compare")
    parser.add_argument("--curves", type=Path, default=CURVES / "curves.csv")
    parser.add_argument("--to", type=Path, default=RESULT)
    options = parser.parse_args()
    curves = read_curves(options.curves)
    if options.what == "choose":
        for chosen, found in choose(curves)[:10]:
            print(chosen)
            for name, result in found.items():
                print(line(f"  {name}", result))
        return
    results = compared(curves)
    about = {
        "networks": len(curves),
        "epochs": len(curves[0].held_out),
        "reference": {"accuracy": CHANCE, "macs": max(curve.macs for curve in curves)},
        "options": {k: v for k, v in vars(Rungs()).items() if not k.startswith("_")},
    }
    for name, result in results.items():
        print(line(name, result))
        if name != "rungs":
            del result["orders"]
    write_json(options.to, about | {"results": results})


if __name__ == "__main__":
    main()
