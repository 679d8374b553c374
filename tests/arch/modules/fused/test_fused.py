"""The fused execution against the plain one: the same outputs, gradients and running statistics, to rounding."""

from __future__ import annotations

import copy
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

import arch
from arch.modules.fused import native
from arch.modules.fused.fused import FusedConv, fuse, runs_as
from arch.modules.plain import Network
from arch.registry import BLOCKS, HEADS
from search.training.hardware import torch_threads
from tests.support import ROOT
from tests.support.specs import specs

pytestmark = pytest.mark.usefixtures("nested_block")
C = 6
SIZES = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (1, 4), (2, 3), (7, 5), (9, 11)]
SOME_SIZES = [(1, 1), (2, 2), (3, 3), (4, 4), (2, 3), (9, 11)]  # of the passes that are torch's own
LARGE = [(33, 33), (47, 35)]  # for stems
SPLIT = {"b1x1": 3, "b3x3": [2, 5], "b5x5": [3, 2], "pool": 4}
SHORT = {"b3x3": [2, 2], "b5x5": [1, 1], "pool": 1, "pool_kind": "avg", "shortcut": True}
BLOCK_ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "conv": [
        {"out": 9, "kernel": 1},
        {"out": 4, "kernel": 1, "stride": 2},
        {"out": 5, "kernel": 3},
        {"out": 5, "kernel": 3, "stride": 2},
        {"out": 3, "kernel": 5},
        {"out": 3, "kernel": [1, 7]},
        {"out": 17, "kernel": 2, "stride": 2, "padding": "valid"},
        {"out": 3, "kernel": 1, "padding": 1},
        {"out": 3, "kernel": 3, "padding": 2},
        {"out": 2, "kernel": 1, "stride": 3, "padding": 1},
    ],
    "conv_reduced": [{"b3x3": [3, 5]}],
    "max_pool": [
        {"kernel": 3, "stride": 1, "padding": "same"},
        {"kernel": 3, "stride": 2, "ceil": True},
        {"kernel": 2, "stride": 2},
        {"kernel": 3, "stride": 2, "padding": 1, "ceil": True},
    ],
    "avg_pool": [
        {"kernel": 3, "stride": 1, "padding": "same"},
        {"kernel": 3, "stride": 2, "ceil": True},
        {"kernel": 3, "stride": 2, "padding": 1, "ceil": True},
        {"kernel": 2, "stride": 2},
    ],
    "inception_v1": [SPLIT, *(SHORT | {"b1x1": width} for width in (3, 2, 1))],  # wider than the input, as it, narrower
    "inception_naive": [{"b1x1": 3, "b3x3": 5, "b5x5": 2}],
    "inception_v2": [SPLIT, SPLIT | {"pool_kind": "avg", "shortcut": True}],
    "inception_v3": [SPLIT | {"n": 3}, SPLIT | {"n": 7, "pool_kind": "avg", "shortcut": True}],
    "inception_residual": [SPLIT, {"b1x1": 2, "b3x3": [2, 2], "b5x5": [1, 1], "pool": 1, "scale": 0.5}],
    "separable": [{"out": 5, "kernel": 7, "stride": 2, "multiplier": 2}, {"out": 3, "kernel": 3, "stride": 1}],
    "inception_v1_3x3": [SPLIT],
    "inception_v1_relu": [SPLIT],
    "inception_mini": [],
    "inception_bn": [
        {"b1x1": 3, "b3x3": [2, 5], "double3x3": [3, 2], "pool": 4, "pooling": pooling} for pooling in ("avg", "max")
    ],
    "reduction_bn": [{"b3x3": [2, 5], "double3x3": [3, 2]}],
    "inception_v3_a": [{"b1x1": 3, "b5x5": [2, 5], "double3x3": [3, 2], "pool": 4, "count_pad": c} for c in (True, False)],
    "inception_v3_b": [{"b1x1": 3, "b7x7": [2, 5], "double7x7": [3, 2], "pool": 4}],
    "inception_v3_c": [{"b1x1": 3, "b3x3": [2, 5], "double3x3": [3, 2, 4], "pool": 4}],
    "reduction_a": [{"k": 2, "l": 3, "m": 4, "n": 5}, {"k": 2, "l": 3, "m": 4, "n": 5, "padding": "same"}],
    "reduction_b": [{"b3x3": [2, 5], "b7x7": [2, 3, 2, 3], "padding": padding} for padding in ("valid", "same")],
    "stem_v4": [
        {"conv1": [3, 4, 5], "conv2": 4, "b3x3": [2, 3], "b7x7": [2, 3, 2, 3], "conv3": 4, "padding": "same"} | more
        for more in ({"stride": 1}, {"stride": 2}, {"stride": 1, "first": "7x1"})
    ],
    "inception_v4_a": [{"b1x1": 3, "b3x3": [2, 5], "double3x3": [3, 2], "pool": 4}],
    "inception_v4_b": [{"b1x1": 3, "b7x7": [2, 5, 3], "double7x7": [3, 2, 2, 3, 4], "pool": 4}],
    "inception_v4_c": [{"b1x1": 3, "b3x3": [2, 5], "double3x3": [3, 2, 2, 3], "pool": 4}],
    "inception_resnet_a": [{"b1x1": 3, "b3x3": [2, 5], "double3x3": [3, 2, 4], "linear": C}],
    "inception_resnet_b": [{"b1x1": 3, "b7x7": [2, 5, 3], "linear": C}],
    "inception_resnet_c": [{"b1x1": 3, "b3x3": [2, 5, 3], "linear": C, "activation": a} for a in (True, False)],
    "reduction_resnet_b": [{"first": [2, 5], "second": [2, 5], "double3x3": [3, 2, 4], "padding": "same"}],
    "nested_for_tests": [{"width": 2}],
}  # fmt: skip
HEAD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "classifier": {"dropout": 0.4},
    "aux_googlenet": {},
    "flattened": {},
    "aux_torchvision": {},
    "aux_cifar32": {},
    "aux_flowers": {},
    "aux_v3": {"padding": "same"},
    "aux_small": {"width": 5, "pool": 1},
}
STYLES: list[dict[str, Any]] = [
    {"norm": "batch", "bias": True},
    {"norm": "batch_shift"},
    {"norm": "none"},
    {"norm": "batch", "activation": "none", "eps": 0.001, "momentum": 0.01},
]


@pytest.fixture(params=["native", "torch"])
def passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the compiled passes, and without."""
    if request.param == "torch":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("no C++ compiler here, or INCEPTORY_NATIVE=0")
    return request.param


def of_row(
    block: str, arguments: dict[str, Any], size: tuple[int, int], style: dict[str, Any] | None = None
) -> Network | None:
    """A network of one row on 6 channels, with every number drawn; None where the row cannot stand on such a map."""
    spec = arch.from_mapping({
        "name": "one", "input": [C, *size], "classes": 3, "style": style or {},
        "rows": [{"name": "a", "block": block, **arguments}],
        "heads": {"final": {"head": "classifier"}},
    })  # fmt: skip
    try:
        return drawn(arch.build(spec))
    except arch.SpecError:
        return None


def drawn(network: Network) -> Network:
    """The network in float64, without dropout, its norms neither at rest nor at their first values."""
    network.double()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, 0.1, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


def loss_of(network: Network, images: Tensor) -> Tensor:
    out = network(images, aux=True)
    return sum((F.cross_entropy(logits, torch.arange(len(images)) % logits.shape[1]) for logits in out.aux.values()),
               F.cross_entropy(out.logits, torch.arange(len(images)) % out.logits.shape[1]))  # fmt: skip


def near(ours: Tensor | None, plain: Tensor | None, scale: float, what: str) -> None:
    assert (ours is None) == (plain is None), what
    if ours is not None and plain is not None:
        assert ours.shape == plain.shape, what
        most = max(scale, float(plain.detach().abs().max()))
        assert float((ours.detach() - plain.detach()).abs().max()) <= 1e-10 * most, what


def assert_equal(plain: Network, n: int = 5, channels_last: bool = True) -> Network:
    """Hold a fused copy to the plain network: outputs, gradients of everything, buffers; train, eval, without gradients."""
    fused = fuse(copy.deepcopy(plain))
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in fused.named_parameters()] == [name for name, _ in plain.named_parameters()]
    images = torch.randn(n, *plain.spec.input, dtype=torch.float64)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    for training in (True, False):
        inputs = []
        for network in (fused, plain):
            network.train(training).zero_grad(set_to_none=True)
            inputs.append(images.clone(memory_format=torch.preserve_format).requires_grad_())
            loss_of(network, inputs[-1]).backward()
        state, expected = fused.state_dict(), plain.state_dict()
        for name in expected:
            near(state[name].double(), expected[name].double(), 0.0, f"{name}, training {training}")
        gradients = dict(plain.named_parameters())
        largest = max(
            float(parameter.grad.abs().max()) for parameter in gradients.values() if parameter.grad is not None
        )
        near(inputs[0].grad, inputs[1].grad, 1e-3 * largest, f"input, training {training}")
        for name, parameter in fused.named_parameters():
            near(parameter.grad, gradients[name].grad, 1e-3 * largest, f"gradient of {name}, training {training}")
    with torch.no_grad():
        near(fused(images).logits, plain(images).logits, 0.0, "logits without gradients")
    return fused


def test_every_block_and_head_is_held() -> None:
    assert set(BLOCK_ARGUMENTS) == set(BLOCKS.names())
    assert set(HEAD_ARGUMENTS) == set(HEADS.names())


@pytest.mark.parametrize("block", [block for block in BLOCK_ARGUMENTS if block != "inception_mini"])
def test_blocks(block: str, passes: str) -> None:
    torch.manual_seed(0)
    held = 0
    for arguments in BLOCK_ARGUMENTS[block]:
        for size in [*(SIZES if passes == "native" else SOME_SIZES), *(LARGE if "stem" in block else [])]:
            plain = of_row(block, arguments, size)
            if plain:
                assert_equal(plain)
                held += 1
    assert held


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_styles(style: dict[str, Any], passes: str) -> None:
    torch.manual_seed(1)
    for block in ("inception_v1", "inception_v3", "inception_residual", "nested_for_tests", "reduction_a"):
        for size in [(1, 1), (2, 2), (3, 3), (8, 7)]:
            plain = of_row(block, BLOCK_ARGUMENTS[block][-1], size, style)
            if plain:
                assert_equal(plain, channels_last=False)


def test_a_small_map_framed_anew(passes: str) -> None:
    torch.manual_seed(2)
    for half in range(1, 5):  # the pool halves the map, and `padding` zeros on each side bring it back
        plain = of_row("inception_mini", {"b1x1": 3, "b3x3": 4, "b5x5": 2, "padding": half}, (4 * half, 4 * half))
        assert plain is not None
        assert_equal(plain)


@pytest.mark.parametrize("head", HEAD_ARGUMENTS)
def test_heads(head: str, passes: str) -> None:
    torch.manual_seed(3)
    held = 0
    for size in [(1, 1), (2, 3), (5, 5), (14, 14)]:
        spec = {
            "name": "one", "input": [C, *size], "classes": 3,
            "rows": [{"name": "a", "block": "conv", "out": 7, "kernel": 1}],
            "heads": {"a": {"head": head, **HEAD_ARGUMENTS[head]}, "final": {"head": head, **HEAD_ARGUMENTS[head]}},
        }  # fmt: skip
        try:
            plain = drawn(arch.build(arch.from_mapping(spec)))
        except arch.SpecError:
            continue
        assert_equal(plain)
        held += 1
    assert held


@settings(max_examples=25, deadline=None, derandomize=True)
@given(spec=specs())
def test_random_networks(spec: arch.Spec) -> None:
    try:
        plain = drawn(arch.build(spec))
    except arch.SpecError:
        return
    torch.manual_seed(4)
    assert_equal(plain, n=4)


@pytest.mark.parametrize("name", ["googlenet_bn_cifar32", "googlenet_cifar_small"])
def test_whole_networks(name: str, passes: str) -> None:
    torch.manual_seed(5)
    assert_equal(drawn(arch.build(arch.load(name))), n=6)


def stepped(network: Network, steps: int, batch: int) -> list[float]:
    """The losses of so many steps on images that are always the same."""
    generator = torch.Generator().manual_seed(6)
    # larger steps are chaotic, and part any two orders of summation
    optimizer = torch.optim.SGD(network.parameters(), 0.002, 0.9, weight_decay=5e-4, nesterov=True)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(network, torch.randn(batch, *network.spec.input, generator=generator, dtype=torch.float64))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_fifty_steps(micro: arch.Spec, passes: str) -> None:
    torch.manual_seed(7)
    plain = drawn(arch.build(micro))
    fused = fuse(copy.deepcopy(plain))
    assert stepped(fused, 50, 16) == pytest.approx(stepped(plain, 50, 16), rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet_bn_cifar32", "googlenet_cifar_small"])
def test_fifty_steps_of_whole_networks(name: str, passes: str) -> None:
    torch.manual_seed(8)
    plain = drawn(arch.build(arch.load(name)))
    fused = fuse(copy.deepcopy(plain))
    assert stepped(fused, 50, 32) == pytest.approx(stepped(plain, 50, 32), rel=1e-8)


def test_weights_and_optimizer_states_move_both_ways(micro: arch.Spec, passes: str) -> None:
    torch.manual_seed(9)
    images = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    for first, second in (("plain", "fused"), ("fused", "plain")):
        networks = [drawn(arch.build(micro, first)), drawn(arch.build(micro, second))]
        optimizers = [torch.optim.SGD(network.parameters(), 0.01, 0.9) for network in networks]
        loss_of(networks[0], images).backward()
        optimizers[0].step()
        networks[1].load_state_dict(networks[0].state_dict())
        optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
        losses = []
        for network, optimizer in zip(networks, optimizers, strict=True):
            for _ in range(3):
                optimizer.zero_grad()
                loss = loss_of(network, images)
                loss.backward()
                optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_a_frozen_norm_is_left_alone(micro: arch.Spec, passes: str) -> None:
    """One sibling's norm in evaluation: it keeps its statistics, and the others go on."""
    torch.manual_seed(10)
    plain = drawn(arch.build(micro))
    fused = fuse(copy.deepcopy(plain))
    images = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    for network in (plain, fused):
        network.train()
        for name, module in network.named_modules():
            if name == "rows.3a.b3x3.reduce.norm":
                module.eval()
        loss_of(network, images).backward()
    expected = plain.state_dict()
    for name, tensor in fused.state_dict().items():
        near(tensor.double(), expected[name].double(), 0.0, name)
    for (name, ours), theirs in zip(fused.named_parameters(), plain.parameters(), strict=True):
        near(ours.grad, theirs.grad, 1e-4, name)


def test_a_norm_refuses_one_value_a_channel(passes: str) -> None:
    plain = of_row("conv", {"out": 3, "kernel": 1}, (1, 1))
    assert plain is not None
    with pytest.raises(ValueError, match="more than one value a channel"):
        fuse(plain).train()(torch.randn(1, C, 1, 1, dtype=torch.float64))


def test_what_is_not_a_number_stays_so(passes: str) -> None:
    """A training that diverges must be seen to."""
    for block in ("conv", "max_pool"):
        plain = of_row(block, BLOCK_ARGUMENTS[block][0], (4, 4))
        assert plain is not None
        images = torch.randn(4, C, 4, 4, dtype=torch.float64)
        images[1, 2, 1, 1] = torch.nan
        assert torch.isnan(fuse(plain).train()(images).logits).any()


def test_mixed_precision_agrees(passes: str) -> None:
    """In bf16 both executions are as far from float32 as bf16 is."""
    torch.manual_seed(11)
    plain = arch.build(arch.load("googlenet_cifar_tiny")).to(memory_format=torch.channels_last)
    fused = fuse(copy.deepcopy(plain))
    images = torch.randn(32, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        exact = copy.deepcopy(plain).train()(images).logits
    gradients = []
    for network in (plain, fused):
        with torch.autocast("cpu", torch.bfloat16):
            out = network.train()(images)
        assert float((out.logits.detach().float() - exact).abs().max() / exact.abs().max()) < 0.1
        out.logits.float().square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in network.parameters())
    assert float(F.cosine_similarity(gradients[0], gradients[1], 0)) > 0.98


def test_two_threads_give_the_bits_of_one() -> None:
    if native.library() is None:
        pytest.skip("no C++ compiler here, or INCEPTORY_NATIVE=0")
    y = torch.randn(40_000, 19)
    found = []
    for threads in (1, 2):
        with torch_threads(threads):
            mean, variance = native.norm_stats(y)
            into = torch.empty_like(y)
            ones = torch.ones(19)
            found.append((mean, variance, *native.norm_grad(y, y * 2, into, mean, ones, ones, mean, True, True), into))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_statistics_do_not_cancel() -> None:
    if native.library() is None:
        pytest.skip("no C++ compiler here, or INCEPTORY_NATIVE=0")
    y = torch.randn(20_000, 9) * 0.1 + 100
    mean, variance = native.norm_stats(y)
    assert torch.allclose(mean.double(), y.double().mean(0), rtol=1e-6)
    assert torch.allclose(variance.double(), y.double().var(0, unbiased=False), rtol=1e-4)


def test_siblings_become_one_product() -> None:
    network = fuse(arch.build(arch.load("googlenet_bn_cifar32")))
    forms = {name: module.kernel for name, module in network.named_modules() if isinstance(module, FusedConv)}
    assert forms["rows.3a.b3x3.conv3x3"] is None  # 4x4: a convolution
    assert forms["rows.4a.b3x3.conv3x3"].taps is not None  # 2x2: between all positions
    assert forms["rows.5a.b5x5.conv5x5"].tap == (2, 2)  # 1x1: only the centre tap sees data
    assert network.rows["4a"].mergeable == ["b1x1", "b3x3", "b5x5"]


def test_memory_does_not_grow(micro: arch.Spec, passes: str) -> None:
    fused = fuse(drawn(arch.build(micro)))
    stepped(fused, 30, 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stepped(fused, 150, 16)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_192  # KiB


def _said(**environment: str) -> subprocess.Popen[str]:
    code = "from arch.modules.fused.fused import runs_as; print(runs_as('fused'), runs_as('plain'), runs_as('fused', 'cuda'))"
    command = [sys.executable, "-c", code]
    cwd = ROOT
    return subprocess.Popen(command, env=os.environ | environment, cwd=cwd, stdout=subprocess.PIPE, text=True)


def test_which_one_ran_can_be_asked(tmp_path: Path) -> None:
    off = _said(INCEPTORY_NATIVE="0")
    without = _said(CXX="/nowhere/g++", PATH=str(tmp_path), INCEPTORY_CACHE=str(tmp_path / "none"))
    for process in (off, without):
        assert process.communicate()[0].split() == ["fused", "plain", "fused"]


@pytest.mark.slow
def test_processes_that_start_at_once_build_once(tmp_path: Path) -> None:
    if native.library() is None:
        pytest.skip("no C++ compiler here, or INCEPTORY_NATIVE=0")
    started = [_said(INCEPTORY_CACHE=str(tmp_path)) for _ in range(2)]
    assert {process.communicate()[0].split()[0] for process in started} == {"fused+native"}
    assert [path.suffix for path in (tmp_path / "native").iterdir() if path.name != "lock"] == [".so"]
    assert runs_as("fused") == "fused+native"
