"""Figures of a network before it is trained: proxies at its initial weights, on images of its first batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from arch.specs.spec import Spec
from search.data.batches import Batch, mix, training_batches
from search.data.dataset import Data
from search.evaluation.proxies.registry import PROXIES
from search.recipes.recipe import Recipe
from search.training.fit import first_network

IMAGES = 128  # at most


def proxies_of(
    spec: Spec, data: Data, recipe: Recipe, names: Iterable[str], seed: int = 0, device: str = "cpu"
) -> dict[str, float]:
    """Return proxies by name, of the weights and the first 128 images that a training with this seed begins with.

    The caller's random numbers stay as they are.

    Raises
    ------
    InputError
        There is no such proxy; names near ones.

    Examples
    --------
    >>> import arch, search
    >>> from search.evaluation.untrained import proxies_of
    >>> spec, data = arch.load("googlenet_cifar_tiny"), search.load_data("digits")
    >>> sorted(proxies_of(spec, data, search.load_recipe("default"), ["naswot", "zico"]))
    ['naswot', 'zico']
    """
    where = torch.device(device)
    first = training_batches(len(data.train), recipe.batch, seed, 0, recipe.flip == "alternate")[0]
    few = Batch(first.index[:IMAGES], first.seed, None if first.flip is None else first.flip[:IMAGES])
    images, labels = next(iter(data.stream(data.train, [few], recipe, spec.input[1:], where)))
    found = {}
    for name in names:
        # Each gets a network of its own, as a forward pass in training mode changes its averages.
        network = first_network(spec, recipe, seed).to(where).train()
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
            torch.manual_seed(mix(seed, 3))  # what dropout draws
            found[name] = PROXIES.get(name)(network, images, labels)
    return found
