"""Optimizers by name. Each is a function of the recipe and the network whose parameters it trains."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from arch.registry import Definitions
from search.recipes.muon import Muon
from search.recipes.parts import Part, chosen
from search.recipes.recipe import Recipe

OPTIMIZERS = Definitions("optimizer", Part)


def make_optimizer(recipe: Recipe, network: nn.Module) -> Optimizer:
    """Return the recipe's optimizer over a network's parameters.

    The training sets each parameter group's `lr` before every step, times the group's `scale` where it has one.
    """
    optimizer: Optimizer = chosen(OPTIMIZERS, recipe.optimizer, f"recipe {recipe.name}, optimizer")(recipe, network)
    return optimizer


@OPTIMIZERS.register
def sgd(recipe: Recipe, network: nn.Module) -> Optimizer:
    """Stochastic gradient descent with `momentum`, of Nesterov where `nesterov`."""
    return torch.optim.SGD(
        network.parameters(),
        recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
        fused=True,  # one pass over the weights instead of five: a step of googlenet_bn_cifar32 takes 0.98 of the time
    )


@OPTIMIZERS.register
def adam(recipe: Recipe, network: nn.Module) -> Optimizer:
    """Adam with torch's own betas (Kingma and Ba 2015)."""
    return torch.optim.Adam(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


@OPTIMIZERS.register
def adamw(recipe: Recipe, network: nn.Module) -> Optimizer:
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


@OPTIMIZERS.register
def rmsprop(recipe: Recipe, network: nn.Module) -> Optimizer:
    """RMSprop with `momentum`, decay 0.9 and epsilon 1.0 (Szegedy et al. 2015, section 8)."""
    return torch.optim.RMSprop(
        network.parameters(),
        recipe.lr,
        alpha=0.9,
        eps=1.0,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )


@OPTIMIZERS.register
def muon(recipe: Recipe, network: nn.Module) -> Optimizer:
    """Orthogonal steps for convolutions before a batch norm; SGD at `plain_lr` for the rest (Jordan et al. 2024)."""
    named = dict(network.named_parameters())
    matrices = [name for name in named if name.removesuffix("conv.weight") + "norm.bias" in named]
    return Muon(
        [named[name] for name in matrices],
        [parameter for name, parameter in named.items() if name not in matrices],
        recipe.lr,
        recipe.plain_lr / recipe.lr,
        recipe.momentum,
        recipe.weight_decay,
    )
