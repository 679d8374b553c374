"""Muon: steps along orthogonal matrices, which are found for all matrices of a size at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

_QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of Jordan et al. 2024
_ITERATIONS = 3
# Gram matrices are filled up to a multiple of this side, so that more of them fit into one product.
_SIDE = 32
# Up to this side the iteration is in float32: it takes no longer there (AMD Zen 5, one thread) than bf16.
_FLOAT32 = 64


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
            parameters: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["matrix"]:
                for alike in _by_side(parameters):
                    self._turn(alike, group)
            else:
                self._descend(parameters, group)

    def _turn(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Step along the orthogonal matrices of parameters whose Gram matrices are of one side."""
        gradients, velocities = _gradients(parameters), self._velocities(parameters)
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, gradients)
        directions = torch._foreach_add(gradients, velocities, alpha=group["momentum"])
        # With channels last their matrices need no copy. Another order of columns changes nothing but that order.
        found = orthogonal([direction.movedim(1, -1).flatten(1) for direction in directions])
        lengths = torch._foreach_norm(parameters)
        torch._foreach_div_(lengths, [len(parameter) ** 0.5 for parameter in parameters])
        torch._foreach_div_(parameters, lengths)
        shaped = [step.view_as(p.movedim(1, -1)).movedim(-1, 1) for step, p in zip(found, parameters, strict=True)]
        torch._foreach_add_(parameters, shaped, alpha=-group["lr"])

    def _descend(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Take a step of SGD with Nesterov momentum, all parameters in one kernel."""
        sgd(
            parameters,
            _gradients(parameters),
            [*self._velocities(parameters)],
            fused=True,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=True,
            maximize=False,
        )

    def _velocities(self, parameters: list[Tensor]) -> list[Tensor]:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["velocity"] = torch.zeros_like(parameter)
        return [self.state[parameter]["velocity"] for parameter in parameters]


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return for each matrix one near the closest one whose singular values are 1, by Newton-Schulz iteration.

    An iteration multiplies X by a polynomial of X X^T. All these polynomials commute, so that only the small square
    Gram matrices are iterated on, in one stack, and X is multiplied once. For X of m rows and n columns that takes
    4 m^2 n + 18 m^3 operations instead of 12 m^2 n + 6 m^3. Zeros that fill a Gram matrix up leave its rest as it is.
    """
    wide = [matrix if len(matrix) <= matrix.shape[1] else matrix.T for matrix in matrices]
    side = _filled(max(len(x) for x in wide))
    if side > _FLOAT32:
        wide = [x.bfloat16() for x in wide]
    grams = wide[0].new_zeros(len(wide), side, side)
    for gram, x in zip(grams, wide, strict=True):
        torch.mm(x, x.T, out=gram[: len(x), : len(x)])
    found = [factor[: len(x), : len(x)] @ x for factor, x in zip(_factors(grams), wide, strict=True)]
    return [x if x.shape == matrix.shape else x.T for x, matrix in zip(found, matrices, strict=True)]


def _factors(grams: Tensor) -> Tensor:
    """Return what matrices are multiplied by, from their Gram matrices (B, M, M), which are used up."""
    a, b, c = _QUINTIC
    norms = grams.diagonal(dim1=1, dim2=2).sum(1, dtype=torch.float32).sqrt().add(1e-7)[:, None, None]
    grams.div_(norms**2)
    rest = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)  # the polynomial, but for `a` on its diagonal
    factors = rest + a * torch.eye(grams.shape[1], dtype=grams.dtype, device=grams.device)
    for _ in range(_ITERATIONS - 1):
        for _ in range(2):
            grams = torch.baddbmm(grams, rest, grams, beta=a)
        rest = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
        factors = torch.baddbmm(factors, rest, factors, beta=a)
    return factors.div_(norms)


def _by_side(parameters: list[Tensor]) -> list[list[Tensor]]:
    """Return parameters with those together whose Gram matrices are filled up to the same side."""
    sides: dict[int, list[Tensor]] = {}
    for parameter in parameters:
        side = min(len(parameter), parameter.numel() // len(parameter))
        sides.setdefault(_filled(side), []).append(parameter)
    return list(sides.values())


def _filled(side: int) -> int:
    return -(-side // _SIDE) * _SIDE


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
