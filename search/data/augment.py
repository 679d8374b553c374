"""From uint8 pixels to what a network reads, a whole batch at once, on the device that trains."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from search.recipes.recipe import Recipe


def augment(pixels: Tensor, recipe: Recipe, generator: Generator, flips: Tensor | None = None) -> Tensor:
    """Return uint8 images (N, C, H, W) cropped, flipped and cut out as the recipe says, still uint8.

    `flips` (N,) says which ones to mirror where that is not drawn here.
    """
    if recipe.crop:
        pixels = random_crop(pixels, recipe.crop, generator)
    if flips is not None:
        pixels = flip(pixels, flips)
    elif recipe.flip:
        pixels = flip(pixels, torch.randint(0, 2, (len(pixels),), generator=generator).bool())
    if recipe.cutout:
        pixels = cutout(pixels, recipe.cutout, generator)
    return pixels


def prepare(pixels: Tensor, recipe: Recipe, mean: Tensor, std: Tensor) -> Tensor:
    """Return uint8 images as float32 (N, C, H, W): resized and normalised as the recipe says.

    `mean` and `std` are per channel on the scale 0 to 1; `half` maps to [-1, 1], `unit` to [0, 1].
    """
    images = pixels.float()
    if recipe.resize and images.shape[-1] != recipe.resize:
        images = F.interpolate(images, (recipe.resize, recipe.resize), mode="bilinear", antialias=True)
    if recipe.normalise == "unit":
        return images / 255
    if recipe.normalise == "half":
        return images / 127.5 - 1
    scale = 1 / (255 * std).view(1, -1, 1, 1)
    return images * scale - (mean / std).view(1, -1, 1, 1)


def random_crop(pixels: Tensor, padding: int, generator: Generator) -> Tensor:
    """Shift each image by up to `padding` pixels each way; black comes in."""
    n, _, h, w = pixels.shape
    shifts = torch.randint(0, 2 * padding + 1, (2, n), generator=generator).to(pixels.device)
    windows = F.pad(pixels, (padding,) * 4).unfold(2, h, 1).unfold(3, w, 1)
    return windows[torch.arange(n, device=pixels.device), :, shifts[0], shifts[1]]


def flip(pixels: Tensor, flips: Tensor) -> Tensor:
    """Mirror the images that `flips` (N,) marks, left to right."""
    return torch.where(flips.to(pixels.device).view(-1, 1, 1, 1), pixels.flip(-1), pixels)


def cutout(pixels: Tensor, size: int, generator: Generator) -> Tensor:
    """Blacken one `size` x `size` square of each image, its centre anywhere (DeVries and Taylor 2017)."""
    n, _, h, w = pixels.shape
    y = torch.randint(0, h, (n, 1, 1, 1), generator=generator).to(pixels.device)
    x = torch.randint(0, w, (n, 1, 1, 1), generator=generator).to(pixels.device)
    rows = torch.arange(h, device=pixels.device).view(1, 1, h, 1)
    columns = torch.arange(w, device=pixels.device).view(1, 1, 1, w)
    half = size // 2
    inside = (rows >= y - half) & (rows < y - half + size) & (columns >= x - half) & (columns < x - half + size)
    return pixels.masked_fill(inside, 0)
