from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import arch
from arch.analysis.layers import layers, totals
from tests.support import MICRO

BUILT = [
    str(MICRO),
    "googlenet_torchvision",
    "googlenet_separable",
    "inception_v3_cifar",
    "inception_v4_cifar",
    "inception_resnet_v1_cifar",
    "inception_residual_cifar_small",
]


@pytest.mark.parametrize("name", BUILT)
def test_the_list_is_what_runs_in_the_built_network(name: str) -> None:
    """Names, kinds, outputs and parameters of torch's own layers, in the order of a forward pass in training."""
    spec = arch.load(name)
    with torch.device("meta"):
        network = arch.build(spec).train()
        images = torch.zeros(2, *spec.input)
    ran: list[tuple[str, str, tuple[int, ...], int]] = []

    def note(module_name: str) -> object:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            params = sum(p.numel() for p in module.parameters())
            ran.append((module_name, type(module).__name__, tuple(output.shape[1:]), params))

        return hook

    for module_name, module in network.named_modules():
        if not list(module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(note(module_name))  # type: ignore[arg-type]
    network(images)
    modules = dict(network.named_modules())
    found = layers(spec)
    own = [layer for layer in found if not list(modules[layer.name].children())]
    assert [(layer.name, layer.kind, layer.output, layer.params) for layer in own] == ran
    joining = {"ConcatModule": {"Concat"}, "ResidualModule": {"Add", "ReLU"}}
    rest = [layer for layer in found if layer not in own]
    assert all(layer.kind in joining[type(modules[layer.name]).__name__] for layer in rest)


@pytest.mark.parametrize("name", arch.list_networks())
def test_the_parameters_are_the_networks(name: str) -> None:
    spec, cost = arch.load(name), arch.cost(arch.load(name))
    found = layers(spec)
    assert sum(layer.params for layer in found if not layer.aux) == cost.params
    assert sum(layer.params for layer in found if layer.aux) == cost.aux_params


def test_a_residual_block_runs_its_shortcut_then_its_body_then_the_sum() -> None:
    spec = arch.load("inception_residual_cifar_small")
    row = next(row.name for row in spec.rows if row.block == "inception_residual")
    own = [layer for layer in layers(spec) if layer.name.startswith(f"rows.{row}")]
    assert [layer.kind for layer in own[-2:]] == ["Add", "ReLU"]
    assert own[-1].in_place
    assert own[0].name.startswith(f"rows.{row}.shortcut")


def test_totals_by_hand() -> None:
    spec = arch.load(MICRO)
    found = layers(spec)
    sums = totals(spec, found)
    values = sum(layer.memory // 4 for layer in found)
    assert (sums.layers, sums.input, sums.outputs, sums.passes) == (len(found), 4 * 3 * 32 * 32, 4 * values, 8 * values)
    assert sums.params == sum(p.numel() for p in arch.build(spec).parameters())
    assert sums.total == sums.input + sums.passes + 4 * sums.params
