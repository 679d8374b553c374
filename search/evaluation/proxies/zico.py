"""The proxy `zico`: how much larger a network's gradients are than they vary from batch to batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arch.modules.plain import Network
from search.evaluation.proxies.registry import proxy

_BATCHES = 2  # parts of the images whose gradients are compared; so many have the authors


@proxy
def zico(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum over convolutions and linear layers of log(sum of mean |gradient| / deviation, over weights).

    Mean and deviation are over two halves of the images; weights whose gradients do not vary are left out, and so are
    auxiliary heads. Li et al. 2023, arXiv 2301.11300, with the deviation of the gradient, as in their code.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    gradients: list[list[Tensor]] = [[] for _ in layers]
    for some, answers in zip(images.chunk(_BATCHES), labels.chunk(_BATCHES), strict=True):
        network.zero_grad(set_to_none=True)
        F.cross_entropy(network(some, aux=False).logits, answers).backward()
        for layer, found in zip(layers, gradients, strict=True):
            if layer.weight.grad is not None:  # an auxiliary head's has none
                found.append(layer.weight.grad.flatten())
    return sum(_of_layer(torch.stack(found)) for found in gradients if found)


def _of_layer(gradients: Tensor) -> float:
    """Return the logarithm of a layer's sum, from its gradients (batches, weights); 0 where none varies."""
    deviation = gradients.std(0, correction=0)
    varies = deviation > 0
    total = (gradients.abs().mean(0)[varies] / deviation[varies]).sum()
    return float(total.log()) if varies.any() else 0.0
