"""The measurement `latency`: ms an image, on the device and threads of the training."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from arch.modules.plain import Network
from search.evaluation.bench import random_images, seconds
from search.evaluation.measurements.registry import measurement

BATCH = 64  # images a batch
_WARM_UP, _LEAST, _SECONDS = 3, 15, 1.0  # batches before, timed batches at least, and for how long


@measurement
@torch.inference_mode()
def latency(network: Network, bf16: bool = False) -> dict[str, Any]:
    """Return the forward time in ms for an image, without auxiliary heads, and how it was taken.

    `latency` is the median over batches of 64 random images (at least 15 batches, at least 1 s), divided by
    64; `latency_low` and `latency_high` are the quartiles. Other work on the machine shows in it.
    """
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    images = random_images(network, BATCH)
    times: list[float] = []
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for _ in range(_WARM_UP):
                seconds(lambda: network(images), device)
            while len(times) < _LEAST or sum(times) < _SECONDS:
                times.append(seconds(lambda: network(images), device))
    finally:
        network.train(was_training)
    low, middle, high = (1000 * value / BATCH for value in statistics.quantiles(times, n=4))
    return {
        "latency": middle,
        "latency_low": low,
        "latency_high": high,
        "latency_batch": BATCH,
        "latency_batches": len(times),
        "latency_threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "latency_device": str(device),
    }
