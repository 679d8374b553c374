"""Training on one GPU: images per second of the plain loop, the careful loop and Inceptory; then a whole training.

    python -m benchmarks.gpu --to result.json

(a) plain: float32, NCHW, PIL items through a DataLoader with workers; (b) tuned: (a) with channels_last, bf16
autocast and pinned memory; (c) inceptory: `search.fit`, plain and compiled. They take turns; medians. Without a
GPU it says so and measures nothing; `--device cpu` with few steps only tries the code out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import arch
import search
from benchmarks.throughput import BATCH, RECIPE, PilItems, load_images, loss_of, network_of, usual_sgd
from search.data.batches import training_batches
from search.data.dataset import Data
from search.record.environment import environment

Steps = Callable[[int], None]


def loop(name: str, data: Data, device: torch.device, tuned: bool) -> Steps:
    """Return a function that trains for some steps as (a), or as (b) where `tuned`."""
    network = network_of(name).to(device).train()
    if tuned:
        network = network.to(memory_format=torch.channels_last)
    optimizer = usual_sgd(network)
    loader = torch.utils.data.DataLoader(
        PilItems(data), BATCH, shuffle=True, drop_last=True, num_workers=8, pin_memory=tuned, persistent_workers=True
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def steps(count: int) -> None:
        for images, labels in itertools.islice(batches, count):
            images, labels = images.to(device, non_blocking=tuned), labels.to(device, non_blocking=tuned)
            if tuned:
                images = images.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss_of(network, images, labels, bf16=tuned).backward()
            optimizer.step()

    return steps


def ours(name: str, data: Data, device: torch.device, execution: str) -> Steps:
    """Return a function that trains for some steps with `search.fit`; each call sets the training up anew."""

    def steps(count: int) -> None:
        recipe = search.load_recipe(RECIPE, {"max_steps": count})
        for _ in search.fit(arch.load(name), data, recipe, on="everything", device=str(device), execution=execution):
            pass

    return steps


def images_per_second(steps: Steps, count: int, device: torch.device) -> float:
    """Return the speed of `count` steps, less what a call of one step takes: setting up is not counted."""
    seconds = []
    for number in (1, count + 1):
        _finish(device)
        start = time.perf_counter()
        steps(number)
        _finish(device)
        seconds.append(time.perf_counter() - start)
    return count * BATCH / (seconds[1] - seconds[0])


def data_path(data: Data, device: torch.device, count: int) -> float:
    """Return images per second of our data path alone, augmentation and shuffling included."""
    part = data.everything.on(device)
    batches = training_batches(len(part), BATCH, 0, 0)[:count]
    _finish(device)
    start = time.perf_counter()
    for _ in data.stream(part, batches, RECIPE, (32, 32), device):
        pass
    _finish(device)
    return len(batches) * BATCH / (time.perf_counter() - start)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def whole_training(name: str, data: Data, device: torch.device, epochs: int) -> dict[str, float]:
    """Return the held-out accuracy and the seconds of a training with the `muon` recipe."""
    start = time.perf_counter()
    recipe = search.load_recipe("muon", {"epochs": epochs})
    *_, last = search.fit(arch.load(name), data, recipe, device=str(device))
    return {"val_accuracy": last.val_accuracy or 0.0, "seconds": time.perf_counter() - start, "epochs": epochs}


def main() -> None:
    """Print a table, and write the results where `--to` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="googlenet_cifar_small")
    parser.add_argument("--whole", default="googlenet_cifar")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here: nothing measured")
    data = load_images()
    executions = ("plain", "compiled") if device.type == "cuda" else ("plain",)
    contestants = {
        "plain": loop(options.network, data, device, tuned=False),
        "tuned": loop(options.network, data, device, tuned=True),
        **{f"inceptory, {execution}": ours(options.network, data, device, execution) for execution in executions},
    }
    found: dict[str, list[float]] = {contestant: [] for contestant in contestants}
    for _ in range(options.rounds + 1):  # the first round warms up
        for contestant, steps in contestants.items():
            found[contestant].append(images_per_second(steps, options.steps, device))
    speeds = {contestant: statistics.median(values[1:]) for contestant, values in found.items()}
    results: dict[str, Any] = {
        "environment": environment(device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"),
        "network": options.network,
        "images_per_second": speeds,
        "all": found,
        "data_path": data_path(data, device, options.steps),
        "whole": {"network": options.whole} | whole_training(options.whole, data, device, options.epochs)
        if options.epochs
        else {},
    }
    for contestant, speed in speeds.items():
        print(f"{contestant:24} {speed:10.0f} img/s   {speed / speeds['plain']:.2f} x plain")
    print(f"data path {results['data_path']:,.0f} img/s; {results['whole']}")
    if options.to:
        options.to.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
