"""Augmentations by name. Each is a function of the recipe, a batch of uint8 images and a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from arch.errors import InputError
from arch.registry import Definitions
from search.recipes.parts import Part, chosen
from search.recipes.recipe import Recipe

AUGMENTATIONS = Definitions("augmentation", Part)


@dataclass(frozen=True)
class Draw:
    """What an augmentation draws by: `generator` has the batch's own seed, and lives on the CPU.

    `mirrored` (N,) says which images to mirror where the batch decides that, with `flip: alternate`.
    """

    generator: Generator
    mirrored: Tensor | None = None


def augment(pixels: Tensor, recipe: Recipe, draw: Draw) -> Tensor:
    """Return uint8 images (N, C, H, W) changed by the recipe's augmentations in their order, still uint8.

    Raises
    ------
    InputError
        An augmentation returns other than uint8 images of the same shape.
    """
    for choice in recipe.augment:
        changed = chosen(AUGMENTATIONS, choice, f"recipe {recipe.name}, augment")(recipe, pixels, draw)
        if changed.dtype != torch.uint8 or changed.shape != pixels.shape:
            raise InputError(
                f"recipe {recipe.name}, augment: {choice} returns {changed.dtype} images {tuple(changed.shape)}, but an "
                f"augmentation returns uint8 of the shape that came, {tuple(pixels.shape)}; convert them there."
            )
        pixels = changed
    return pixels


@AUGMENTATIONS.register
def crop(recipe: Recipe, pixels: Tensor, draw: Draw) -> Tensor:
    """Shift each image by up to `crop` pixels each way; black comes in."""
    if not (padding := recipe.crop):
        return pixels
    n, _, h, w = pixels.shape
    shifts = torch.randint(0, 2 * padding + 1, (2, n), generator=draw.generator).to(pixels.device)
    windows = F.pad(pixels, (padding,) * 4).unfold(2, h, 1).unfold(3, w, 1)
    return windows[torch.arange(n, device=pixels.device), :, shifts[0], shifts[1]]


@AUGMENTATIONS.register
def flip(recipe: Recipe, pixels: Tensor, draw: Draw) -> Tensor:
    """Mirror half of the images left to right; with `flip: alternate` each one in every other epoch."""
    if not recipe.flip:
        return pixels
    mirrored = draw.mirrored
    if mirrored is None:
        mirrored = torch.randint(0, 2, (len(pixels),), generator=draw.generator).bool()
    return torch.where(mirrored.to(pixels.device).view(-1, 1, 1, 1), pixels.flip(-1), pixels)


@AUGMENTATIONS.register
def cutout(recipe: Recipe, pixels: Tensor, draw: Draw) -> Tensor:
    """Blacken one square of `cutout` pixels a side in each image, its centre anywhere (DeVries and Taylor 2017)."""
    if not (size := recipe.cutout):
        return pixels
    n, _, h, w = pixels.shape
    y = torch.randint(0, h, (n, 1, 1, 1), generator=draw.generator).to(pixels.device)
    x = torch.randint(0, w, (n, 1, 1, 1), generator=draw.generator).to(pixels.device)
    rows = torch.arange(h, device=pixels.device).view(1, 1, h, 1)
    columns = torch.arange(w, device=pixels.device).view(1, 1, 1, w)
    half = size // 2
    inside = (rows >= y - half) & (rows < y - half + size) & (columns >= x - half) & (columns < x - half + size)
    return pixels.masked_fill(inside, 0)
