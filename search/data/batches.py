"""The batches of an epoch: which images are in which batch, and each batch's seed, all from a few numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Batch:
    """The image indices of one batch; `seed` draws its augmentation (None: none), `flip` (N,) says which to mirror."""

    index: Tensor
    seed: int | None
    flip: Tensor | None = None


def mix(*numbers: int) -> int:
    """Return a seed that depends on all numbers and their order."""
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")


def steps_an_epoch(length: int, batch: int) -> int:
    """Return how many full batches there are, or one where not even one is full."""
    return max(1, length // batch)


def training_batches(length: int, batch: int, seed: int, epoch: int, alternate: bool = False) -> list[Batch]:
    """Return an epoch's batches, shuffled; images that do not fill a last batch are left out.

    With `alternate` an image is mirrored in every other epoch, half of them in the first: two epochs
    show each image both ways.
    """
    order = torch.randperm(length, generator=Generator().manual_seed(mix(seed, epoch)))
    flips = torch.randint(0, 2, (length,), generator=Generator().manual_seed(mix(seed, 2))) + epoch
    parts = [order[step * batch : (step + 1) * batch] for step in range(steps_an_epoch(length, batch))]
    return [
        Batch(part, mix(seed, epoch, step), (flips[part] % 2).bool() if alternate else None)
        for step, part in enumerate(parts)
    ]


def plain_batches(length: int, batch: int) -> list[Batch]:
    """Return batches over all images in order, without augmentation."""
    return [Batch(torch.arange(at, min(at + batch, length)), None) for at in range(0, length, batch)]


def stratified(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Return the sorted indices of `fraction` of each class (at least one image), drawn with `seed`."""
    generator = Generator().manual_seed(seed)
    chosen = []
    for label in torch.unique(labels):
        members = (labels == label).nonzero().flatten()
        take = max(1, round(fraction * len(members)))
        chosen.append(members[torch.randperm(len(members), generator=generator)[:take]])
    return torch.cat(chosen).sort().values
