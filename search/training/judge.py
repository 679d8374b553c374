"""Evaluate a network on a part of a data set: loss, accuracy, predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from arch.modules.plain import Network
from search.data.batches import Batch, plain_batches
from search.data.dataset import Data, ImagePart
from search.recipes.recipe import Recipe
from search.record.predictions import Predictions
from search.training.hardware import memory_format, sum_type

_EVAL_BATCH = 250


@dataclass(frozen=True)
class Judged:
    """A network's figures on some images; `aux` by the row of each head, `predictions` (N,).

    `probabilities` (N, C) and `aux_predictions` (N,) are kept only on request.
    """

    loss: float
    accuracy: float
    aux_accuracy: dict[str, float]
    predictions: Tensor
    probabilities: Tensor | None = None
    aux_predictions: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def judge(
    network: Network, data: Data, part: ImagePart, recipe: Recipe, bf16: bool = False, keep: bool = False
) -> Judged:
    """Return loss and accuracy of a network on a part of the data, its auxiliary heads' accuracies too.

    With `keep` also the probabilities of the classes and what each auxiliary head predicts.
    """
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    loss = torch.zeros((), dtype=sum_type(device), device=device)
    aux = {row: torch.zeros((), dtype=torch.int64, device=device) for row in network.spec.aux_rows}
    correct = torch.zeros((), dtype=torch.int64, device=device)
    predictions: list[Tensor] = []
    probabilities: list[Tensor] = []
    aux_predictions: dict[str, list[Tensor]] = {row: [] for row in aux}
    batches = plain_batches(len(part), _EVAL_BATCH)
    for images, labels in data.stream(part, batches, recipe, network.spec.input[1:], device):
        images = images.contiguous(memory_format=memory_format(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            out = network(images, aux=True)
        loss += F.cross_entropy(out.logits.float(), labels, reduction="sum")
        predictions.append(out.logits.argmax(1))
        correct += (predictions[-1] == labels).sum()
        if keep:
            probabilities.append(out.logits.float().softmax(1))
        for row, logits in out.aux.items():
            predicted = logits.argmax(1)
            aux[row] += (predicted == labels).sum()
            aux_predictions[row].append(predicted)
    network.train(was_training)
    n = len(part)
    accuracies = {row: int(hits) / n for row, hits in aux.items()}
    return Judged(
        float(loss) / n,
        int(correct) / n,
        accuracies,
        torch.cat(predictions).cpu(),
        torch.cat(probabilities).cpu() if keep else None,
        {row: torch.cat(found).cpu() for row, found in aux_predictions.items()} if keep else {},
    )


SHOWN, WRONG = 40, 20  # images kept to look at, and at most how many of them wrong


def predictions_of(
    network: Network, data: Data, part: ImagePart, recipe: Recipe, bf16: bool
) -> tuple[Judged, Predictions]:
    """Return a network's figures on a part of the data, and its predictions."""
    judged = judge(network, data, part, recipe, bf16, keep=True)
    assert judged.probabilities is not None
    labels = part.labels.cpu().numpy()
    shown = choose_shown(judged.predictions.numpy() == labels)
    pixels = next(iter(part.stream([Batch(torch.from_numpy(shown), None)], recipe, network.spec.input[1:])))
    predictions = Predictions(
        data.classes,
        labels.astype(np.int64),
        judged.probabilities.numpy(),
        {row: predicted.numpy() for row, predicted in judged.aux_predictions.items()},
        shown,
        pixels.cpu().permute(0, 2, 3, 1).contiguous().numpy(),
    )
    return judged, predictions


def choose_shown(right: NDArray[np.bool_], seed: int = 0) -> NDArray[np.int64]:
    """Return sorted indices of up to 40 images to look at, drawn with `seed`: up to 20 wrong, and right ones."""
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(np.flatnonzero(~right))[:WRONG]
    others = generator.permutation(np.flatnonzero(right))[: SHOWN - len(wrong)]
    return np.sort(np.concatenate([wrong, others])).astype(np.int64)
