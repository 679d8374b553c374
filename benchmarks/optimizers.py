"""The optimizer's share of a training step, one pinned thread; every recipe has its turn at each step of one process.

Forward and backward are those of `search.fit` on a CPU. The thread's own time counts, without the time that other
processes had the core.

    python -m benchmarks.optimizers --network googlenet_cifar_small --recipes default,muon --core 1
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

import arch
import search
from arch.modules.builder import build
from search.recipes.losses import make_loss
from search.recipes.optimizers import make_optimizer
from search.record.environment import environment
from search.training.fit import training_loss
from search.training.hardware import keep_freed_memory, memory_format, pick_execution, pick_precision

CPU = torch.device("cpu")


class Contestant:
    """A network that trains with a recipe on one batch of noise, and the seconds that its steps took."""

    def __init__(self, name: str, recipe: str, batch: int) -> None:
        torch.manual_seed(0)
        spec, self.recipe = arch.load(name), search.load_recipe(recipe)
        self.network = build(spec, pick_execution("auto", CPU)).to(memory_format=memory_format(CPU)).train()
        self.optimizer, self.loss = make_optimizer(self.recipe, self.network), make_loss(self.recipe)
        self.images = torch.randn(batch, *spec.input).contiguous(memory_format=memory_format(CPU))
        self.labels = torch.arange(batch) % spec.classes
        self.weights = self.recipe.aux_weights(spec.aux_rows, 0.0)
        self.bf16 = pick_precision(self.recipe.precision, CPU) == "bf16"
        self.gradients: list[float] = []
        self.steps: list[float] = []

    def step(self) -> None:
        """Take a step and note the seconds of its two parts."""
        self.optimizer.zero_grad(set_to_none=True)
        begun = time.thread_time()
        loss, _ = training_loss(self.network, self.images, self.labels, self.weights, self.loss, self.bf16)
        loss.backward()
        between = time.thread_time()
        self.optimizer.step()
        self.gradients.append(between - begun)
        self.steps.append(time.thread_time() - between)

    def medians(self) -> tuple[float, float, float]:
        """Return milliseconds of the gradients and of the optimizer, and its share of both; the first 3 steps warm up."""
        gradients, step = (1e3 * statistics.median(part[3:]) for part in (self.gradients, self.steps))
        shares = [b / (a + b) for a, b in zip(self.gradients[3:], self.steps[3:], strict=True)]
        return gradients, step, statistics.median(shares)


def race(name: str, recipes: Sequence[str], steps: int, batch: int) -> str:
    """Return the table of a network."""
    contestants = [Contestant(name, recipe, batch) for recipe in recipes]
    for _ in range(steps + 3):
        for contestant in contestants:
            contestant.step()
    about: dict[str, Any] = environment()
    lines = [
        f"{name}, batch {batch}, {'bf16' if contestants[0].bf16 else 'fp32'}, one thread; {about['processor']}; torch "
        f"{about['versions']['torch']}; commit {about['commit']}. Medians of {steps} alternating steps; load average "
        f"{os.getloadavg()[0]:.1f}.",
        "",
        "| recipe | forward and backward, ms | optimizer, ms | its share | img/s without the data path |",
        "|:--|--:|--:|--:|--:|",
    ]
    for recipe, contestant in zip(recipes, contestants, strict=True):
        gradients, step, share = contestant.medians()
        speed = 1e3 * batch / (gradients + step)
        lines.append(f"| {recipe} | {gradients:.1f} | {step:.2f} | {share:.1%} | {speed:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="googlenet_cifar_small")
    parser.add_argument("--recipes", default="default,muon", help="names or files")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--core", type=int, default=0)
    given = parser.parse_args()
    os.sched_setaffinity(0, [given.core])
    torch.set_num_threads(1)
    keep_freed_memory()  # as fit does
    print(race(given.network, given.recipes.split(","), given.steps, given.batch))


if __name__ == "__main__":
    main()
