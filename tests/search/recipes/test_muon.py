"""Muon's steps next to a plain reference, matrix by matrix in float64."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import arch
import search
from search.recipes.muon import Muon, orthogonal
from search.recipes.optimizers import make_optimizer
from tests.support import MICRO

SMALL = ((8, 72), (30, 40), (32, 27), (64, 16), (64, 64), (8, 72))  # computed in float32
LARGE = ((20, 100), (65, 300), (96, 96), (180, 120), (200, 1000))  # computed in bf16, as the largest are
FLOAT32, BF16 = 1e-5, 0.02  # how far, of the reference's norm
VALUES = {"lr": 0.02, "plain": 5.0, "momentum": 0.9, "weight_decay": 0.01}


def plain_orthogonal(matrix: Tensor) -> Tensor:
    """Return what the iteration gives as Jordan et al. write it."""
    x = matrix.double()
    x = x / (x.norm() + 1e-7)
    x = x.T if len(matrix) > matrix.shape[1] else x
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if len(matrix) > matrix.shape[1] else x


def plain_step(parameter: Tensor, gradient: Tensor, velocity: Tensor, matrix: bool) -> Tensor:
    """Return where a parameter goes; `velocity` changes."""
    lr, momentum = VALUES["lr"], VALUES["momentum"]
    gradient = gradient if matrix else gradient + VALUES["weight_decay"] * parameter
    velocity.mul_(momentum).add_(gradient)
    direction = gradient + momentum * velocity
    if matrix:
        parameter = parameter * len(parameter) ** 0.5 / parameter.norm()
        direction = plain_orthogonal(direction.flatten(1)).view_as(direction)
    return parameter - lr * direction


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def parameters(shapes: Sequence[tuple[int, ...]], layout: torch.memory_format) -> list[nn.Parameter]:
    drawn = [torch.randn(shape) for shape in shapes]
    return [nn.Parameter(x.contiguous(memory_format=layout) if x.ndim == 4 else x) for x in drawn]


def set_gradients(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_steps_are_those_of_a_plain_reference(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    matrices = parameters([(4, 3, 3, 3), (30, 16, 1, 1), (30, 5, 3, 3), (64, 3, 3, 3), (4, 3, 3, 3)], layout)
    others = parameters([(5,), (10, 20), (6, 4, 3, 3)], layout)
    optimizer = Muon(matrices, others, **VALUES)
    optimizer.param_groups[1]["lr"] = VALUES["lr"]
    plain = [parameter.detach().double() for parameter in matrices + others]
    velocities = [torch.zeros_like(x) for x in plain]
    for _ in range(4):
        set_gradients(matrices + others)
        optimizer.step()
        for i, parameter in enumerate(matrices + others):
            assert parameter.grad is not None
            plain[i] = plain_step(plain[i], parameter.grad.double(), velocities[i], i < len(matrices))
            assert apart(parameter.detach(), plain[i]) < FLOAT32


@pytest.mark.parametrize(("shapes", "tolerance"), [(SMALL, FLOAT32), (LARGE, BF16)])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_matrices_of_several_sizes_at_once(shapes: Sequence[tuple[int, int]], tolerance: float, scale: float) -> None:
    """Zeros that fill Gram matrices up reach no other entry, whatever else is in the stack."""
    torch.manual_seed(0)
    matrices = [scale * torch.randn(shape) for shape in shapes]
    for found, matrix in zip(orthogonal(matrices), matrices, strict=True):
        assert apart(found, plain_orthogonal(matrix)) < tolerance


def test_directions_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 144), (144, 16), (32, 32), (128, 512)):
        matrix = torch.randn(*shape)
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        (found,) = orthogonal([matrix])
        values = torch.linalg.svdvals(found.float())
        assert 0.5 < values[len(values) // 4 :].mean() < 1.4
        assert torch.nn.functional.cosine_similarity(found.flatten().float(), (u @ vh).flatten(), dim=0) > 0.9


def test_no_gradient_no_direction() -> None:
    for shape in ((8, 16), (96, 200)):
        zero, other = orthogonal([torch.zeros(shape), torch.ones(shape)])
        assert not zero.any()
        assert other.isfinite().all()
        assert other.any()
    moved, kept = parameters([(4, 3, 3, 3), (4, 3, 3, 3)], torch.channels_last)
    before = kept.detach().clone()
    set_gradients([moved])
    optimizer = Muon([moved, kept], [], **VALUES)
    optimizer.step()
    assert torch.equal(kept, before)
    assert kept not in optimizer.state


def test_a_saved_state_resumes_to_the_same_bits() -> None:
    """The file is of the layout that earlier versions wrote: a velocity a parameter, two groups."""
    recipe = search.load_recipe("muon")

    def trained(steps: range, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for step in steps:
            torch.manual_seed(step)
            set_gradients(list(network.parameters()))
            optimizer.step()

    pairs = []
    for _ in range(2):
        network = arch.build(arch.load(MICRO)).to(memory_format=torch.channels_last)
        pairs.append((network, make_optimizer(recipe, network)))
    (network, optimizer), (again, resumed) = pairs
    trained(range(3), network, optimizer)
    file = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    assert {key for state in saved["optimizer"]["state"].values() for key in state} == {"velocity"}
    keys = {"params", "matrix", "scale", "lr", "momentum", "weight_decay"}
    assert [set(group) for group in saved["optimizer"]["param_groups"]] == [keys, keys]
    again.load_state_dict(saved["network"])
    resumed.load_state_dict(saved["optimizer"])
    trained(range(3, 6), network, optimizer)
    trained(range(3, 6), again, resumed)
    for one, two in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(optimizer.state[one]["velocity"], resumed.state[two]["velocity"])
