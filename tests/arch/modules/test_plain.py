from __future__ import annotations

import pytest
import torch
from torch import nn

import arch
from arch.modules.plain import initialise


def test_heads_run_in_training_or_when_asked(micro: arch.Spec) -> None:
    network = arch.build(micro)
    images = torch.randn(2, 3, 32, 32)
    assert sorted(network(images).aux) == ["3a"]
    network.eval()
    assert network(images).aux == {}
    assert network(images, aux=True).aux["3a"].shape == (2, 10)
    assert network(images).logits.shape == (2, 10)


def test_state_dict_keys_follow_the_spec(micro: arch.Spec) -> None:
    keys = arch.build(micro).state_dict()
    assert "rows.3a.b5x5.reduce.conv.weight" in keys
    assert "rows.3a.b5x5.conv5x5.norm.running_mean" in keys
    assert "heads.final.linear.bias" in keys
    assert "rows.stem.conv5x5.conv.bias" not in keys  # no bias before a batch norm


def test_inception_v1_computes_what_the_figure_says() -> None:
    """Against a module written out by hand, with the same weights."""
    spec = arch.from_mapping({
        "name": "one", "input": [6, 9, 9], "classes": 2, "style": {"norm": "none"},
        "rows": [{"name": "a", "block": "inception_v1", "b1x1": 2, "b3x3": [3, 4], "b5x5": [1, 2], "pool": 3}],
        "heads": {"final": {"head": "classifier"}},
    })  # fmt: skip
    network = arch.build(spec).double()
    w = network.state_dict()
    x = torch.randn(2, 6, 9, 9, dtype=torch.float64)

    def conv(x: torch.Tensor, key: str, padding: int = 0) -> torch.Tensor:
        key = f"rows.a.{key}.conv"
        return torch.relu(nn.functional.conv2d(x, w[f"{key}.weight"], w[f"{key}.bias"], padding=padding))

    expected = torch.cat([
        conv(x, "b1x1"),
        conv(conv(x, "b3x3.reduce"), "b3x3.conv3x3", 1),
        conv(conv(x, "b5x5.reduce"), "b5x5.conv5x5", 2),
        conv(nn.functional.max_pool2d(x, 3, 1, 1), "pool.project"),
    ], 1)  # fmt: skip
    assert torch.allclose(network.rows["a"](x), expected, rtol=1e-12)


def test_residual_block_is_scaled_and_projected() -> None:
    spec = arch.from_mapping({
        "name": "one", "input": [6, 5, 5], "classes": 2, "style": {"norm": "none"},
        "rows": [{"name": "a", "block": "inception_residual", "b1x1": 2, "b3x3": [3, 4], "b5x5": [1, 2], "pool": 3, "scale": 0.3}],
        "heads": {"final": {"head": "classifier"}},
    })  # fmt: skip
    block = arch.build(spec).double().rows["a"]
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    assert torch.allclose(block(x), torch.relu(block.shortcut(x) + 0.3 * block.body(x)), rtol=1e-12)
    assert {name.rpartition(".")[2] for name, _ in block.shortcut.named_parameters()} == {"weight", "bias"}


@pytest.mark.parametrize(
    ("init", "deviation"),
    [("kaiming", (2 / (8 * 25)) ** 0.5), ("truncated", 0.088), ("glorot", (2 / (11 * 25)) ** 0.5)],
)
def test_initialisations(micro: arch.Spec, init: str, deviation: float) -> None:
    torch.manual_seed(0)
    network = arch.build(micro)
    initialise(network, init)
    weight = network.state_dict()["rows.stem.conv5x5.conv.weight"]  # 8 outputs, 3 inputs, 5x5
    assert float(weight.std()) == pytest.approx(deviation, rel=0.08)
    assert float(network.state_dict()["heads.final.linear.bias"].abs().max()) == 0
