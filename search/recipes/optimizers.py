"""Optimizers by name. Each is a function of the recipe and the network whose parameters it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from arch.registry import Definitions
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


_QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of Jordan et al. 2024
_ITERATIONS = 3


class Muon(torch.optim.Optimizer):
    """SGD with momentum, in which matrices step along their momentum's nearest orthogonal matrix.

    A convolution's weights count as a matrix of a row for each output channel. They keep the norm
    sqrt(rows): behind a batch norm their length has no effect but on the step's, so that the learning rate
    alone says how far they turn. All other parameters are for plain SGD, at `plain` times the rate.

    Keller Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        lr: float,
        plain: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        groups = [
            {"params": list(matrices), "matrix": True, "scale": 1.0},
            {"params": list(others), "matrix": False, "scale": plain},
        ]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients that are there."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        gradient, lr, momentum = parameter.grad, group["lr"], group["momentum"]
        assert gradient is not None
        if not group["matrix"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(gradient))
        velocity.mul_(momentum).add_(gradient)
        direction = gradient.add(velocity, alpha=momentum)
        if group["matrix"]:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
            direction = orthogonal(direction.flatten(1)).view_as(direction)
        parameter.add_(direction, alpha=-lr)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix near the closest one whose singular values are 1, by Newton-Schulz iteration in bf16."""
    a, b, c = _QUINTIC
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result
