"""Learning-rate schedules by name. Each is a function of the recipe and of where a training is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from arch.registry import Definitions
from search.recipes.parts import Part, chosen
from search.recipes.recipe import Recipe

SCHEDULES = Definitions("schedule", Part)


@dataclass(frozen=True)
class Moment:
    """Where a training is: `step` (from 0) of all its `steps`, in `epoch` (from 0).

    `losses` are the training losses of the epochs before.
    """

    step: int
    steps: int
    epoch: int
    losses: Sequence[float] = ()


def make_schedule(recipe: Recipe) -> Callable[[Moment], float]:
    """Return the recipe's learning rate as a function of the moment."""
    return partial(chosen(SCHEDULES, recipe.schedule, f"recipe {recipe.name}, schedule"), recipe)


@SCHEDULES.register
def one_cycle(recipe: Recipe, now: Moment) -> float:
    """Linear up to lr over the first part `warmup` of all steps, then linear down to min_lr."""
    return _warmed_up(recipe, now, lambda rest: 1 - rest)


@SCHEDULES.register
def cosine(recipe: Recipe, now: Moment) -> float:
    """Linear up to lr over the first part `warmup` of all steps, then half a cosine down to min_lr."""
    return _warmed_up(recipe, now, lambda rest: (1 + math.cos(math.pi * rest)) / 2)


@SCHEDULES.register
def constant(recipe: Recipe, now: Moment) -> float:
    """lr from the first step to the last."""
    return recipe.lr


@SCHEDULES.register
def step(recipe: Recipe, now: Moment) -> float:
    """Times `gamma` every `step_epochs` epochs, not below min_lr."""
    return max(recipe.min_lr, recipe.lr * recipe.gamma ** (now.epoch // recipe.step_epochs))


@SCHEDULES.register
def plateau(recipe: Recipe, now: Moment) -> float:
    """Times `gamma` once the training loss has not fallen for over `patience` epochs (torch's ReduceLROnPlateau)."""
    lr, best, waited = recipe.lr, math.inf, 0
    for loss in now.losses:
        if loss < best * (1 - 1e-4):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > recipe.patience:
            lr, waited = max(lr * recipe.gamma, recipe.min_lr), 0
    return lr


def _warmed_up(recipe: Recipe, now: Moment, falls: Callable[[float], float]) -> float:
    """Return the rate of a schedule that climbs first; `falls` goes from 1 to 0 over the part (0 to 1) that is left."""
    climb = recipe.warmup * now.steps
    if now.step < climb:
        return recipe.lr * (now.step + 1) / (climb + 1)
    rest = (now.step - climb) / max(1, now.steps - climb)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * falls(rest)
