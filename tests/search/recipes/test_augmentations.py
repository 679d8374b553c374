"""Crops, flips and holes, by hand."""

from __future__ import annotations

import torch

import search
from search.recipes.augmentations import Draw, crop, cutout, flip


def test_augmentation_by_hand() -> None:
    pixels = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4) + 1
    recipe = search.load_recipe("default", {"crop": 1, "cutout": 4})
    draw = Draw(torch.Generator().manual_seed(0))
    cropped = crop(recipe, pixels.repeat(500, 1, 1, 1), draw)
    padded = torch.nn.functional.pad(pixels, (1, 1, 1, 1))
    possible = {padded[0, :, y : y + 4, x : x + 4].numpy().tobytes() for y in range(3) for x in range(3)}
    seen = {image.numpy().tobytes() for image in cropped[::2]}
    assert seen == possible
    flipped = flip(recipe, pixels, Draw(draw.generator, torch.tensor([True, False])))
    assert torch.equal(flipped, torch.stack([pixels[0].flip(-1), pixels[1]]))
    holes = cutout(recipe, torch.full((300, 1, 8, 8), 9, dtype=torch.uint8), draw)
    zeros = (holes == 0).flatten(1).sum(1)
    assert int(zeros.max()) == 16
    assert int(zeros.min()) == 4  # a corner: a quarter of the square is inside
