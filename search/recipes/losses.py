"""Losses by name. Each is a function of the recipe, logits (N, C) and labels (N,), averaged over the batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from arch.registry import Definitions
from search.recipes.parts import Part, chosen
from search.recipes.recipe import Recipe

LOSSES = Definitions("loss", Part, "losses")


def make_loss(recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the recipe's loss as a function of logits (N, C) and labels (N,)."""
    return partial(chosen(LOSSES, recipe.loss, f"recipe {recipe.name}, loss"), recipe)


@LOSSES.register
def cross_entropy(recipe: Recipe, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, with the part `label_smoothing` of each label spread over all classes."""
    return F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
