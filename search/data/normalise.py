"""Resize and normalise a batch of uint8 images for a network, on the device that trains."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from search.recipes.recipe import Recipe


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
