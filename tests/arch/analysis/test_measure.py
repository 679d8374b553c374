from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

import arch
from arch.analysis.dead_weights import DeadTaps, dead_taps, warning
from arch.analysis.measure import Field, depth, measure, peak_memory, receptive_field
from arch.analysis.shapes import Placed, place, place_network
from arch.nodes import (
    Chain,
    Concat,
    Dropout,
    Flatten,
    Node,
    Relu,
    Residual,
    adaptive_pool,
    avg_pool,
    chain,
    concat,
    conv,
    depthwise,
    dropout,
    flatten,
    global_pool,
    linear,
    max_pool,
    pad,
    relu,
    residual,
)
from arch.specs.spec import FINAL
from arch.specs.style import Style
from tests.support.specs import specs

pytestmark = pytest.mark.usefixtures("nested_block")
slow_enough = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
Taps = dict[str, set[tuple[int, int]]]


def placed(node: Node, *shape: int) -> Placed:
    return place(node, shape, Style())


def predicted_taps(spec: arch.Spec) -> Taps:
    """The dead taps (row, column) of every convolution that has some, by its key in the state dict."""
    found = measure(spec)
    groups = [("rows", row) for row in found.rows[:-1]] + [("heads", row) for row in (*found.aux, found.rows[-1])]
    result = {}
    for group, row in groups:
        for taps in row.dead:
            key = ".".join(filter(None, (group, row.name, taps.layer, "conv.weight")))
            every = product(range(taps.kernel[0]), range(taps.kernel[1]))
            result[key] = {(i, j) for i, j in every if i in taps.rows or j in taps.columns}
    return result


def taps_of(part: Placed) -> tuple[DeadTaps, ...]:
    return dead_taps(part)[0]


def silent_taps(gradients: dict[str, Tensor]) -> Taps:
    """The taps whose gradient is exactly zero for every pair of channels."""
    zero = {key: (grad == 0).all(0).all(0) for key, grad in gradients.items()}
    return {key: {(int(i), int(j)) for i, j in mask.nonzero()} for key, mask in zero.items() if mask.any()}


def test_dead_weights_of_the_tutorials_googlenet_against_measured_gradients() -> None:
    """Whole taps without gradient, for all channels at once: a unit that happens to be off does not count."""
    spec = arch.load("googlenet_bn_cifar32")
    torch.manual_seed(0)
    network = arch.build(spec).double().train()
    out = network(torch.randn(8, *spec.input, dtype=torch.float64))
    sum((logits * torch.randn_like(logits)).sum() for logits in (out.logits, *out.aux.values())).backward()
    kernels = {key: weight.grad for key, weight in network.named_parameters() if weight.dim() == 4}
    assert predicted_taps(spec) == silent_taps(kernels)
    silent = sum(
        int((grad == 0).all(0).all(0).sum()) * grad.shape[0] * grad.shape[1]
        for key, grad in kernels.items()
        if key.startswith("rows.")
    )
    assert measure(spec).dead_weights == silent == 1_404_928
    assert f"{100 * silent / arch.cost(spec).params:.1f}" == "23.4"


@slow_enough
@given(specs())
def test_dead_taps_of_random_specs_against_measured_gradients(spec: arch.Spec) -> None:
    """Each convolution by itself, on what really comes in: what later layers read is not the question."""
    torch.manual_seed(0)
    network = arch.build(replace(spec, style=spec.style.model_copy(update={"activation": "none"}))).double().train()
    inputs: dict[str, Tensor] = {}
    modules = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, given, out, name=name: inputs.update({name: given[0].detach()}))
    network(torch.randn(3, *spec.input, dtype=torch.float64))
    gradients = {}
    for name, module in modules.items():
        out = module(inputs[name])
        gradients[f"{name}.weight"] = torch.autograd.grad((out * torch.randn_like(out)).sum(), module.weight)[0]
    assert predicted_taps(spec) == silent_taps(gradients)


def test_dead_taps_by_hand() -> None:
    assert taps_of(placed(conv(2, 3), 5, 1, 1)) == (DeadTaps("", (3, 3), (1, 1), (0, 2), (0, 2), 5 * 2 * 8),)
    assert taps_of(placed(conv(2, 3), 5, 2, 2)) == ()
    one_row = taps_of(placed(conv(2, 5), 1, 1, 4))[0]  # a 1x4 map: only the middle row of taps lives
    assert (one_row.rows, one_row.columns, one_row.weights) == ((0, 1, 3, 4), (), 2 * 20)
    # stride 4 on 3 pixels, padding 2: one window at -2, whose taps 0 and 1 lie on padding
    assert taps_of(placed(conv(1, 5, 4), 1, 3, 3))[0].rows == (0, 1)
    grouped = taps_of(placed(depthwise(2, 3), 5, 1, 1))[0]
    assert grouped.weights == 5 * 2 * 8
    # zeros of a Pad count as padding, also behind a rectifier; the map without them is 1x1
    padded = taps_of(placed(pad(1) >> relu() >> conv(1, 3, padding="valid"), 1, 1, 1))
    assert padded == (DeadTaps("conv3x3", (3, 3), (1, 1), (0, 2), (0, 2), 8),)
    branch = taps_of(placed(pad(1) >> concat(a=relu(), b=conv(1, 1)) >> conv(1, 3, padding="valid"), 1, 1, 1))
    assert branch == ()  # branch b has a bias, or a norm that shifts: no zeros any more


def test_auxiliary_heads_are_measured_apart() -> None:
    spec = arch.load("googlenet_bn_cifar32")
    found = measure(spec)
    assert [row.name for row in found.aux] == ["4a", "4d"]
    assert [row.name for row in found.rows] == [*(row.name for row in spec.rows), "final"]
    assert {row.depth for row in found.aux} == {3}


def test_the_warning_names_rows_reasons_and_a_remedy() -> None:
    dead = {
        "1": (),
        "2": (DeadTaps("a", (5, 5), (2, 2), (0, 4), (0, 4), 1_000), DeadTaps("b", (5, 5), (2, 2), (0, 4), (0, 4), 200)),
        "3": (DeadTaps("a", (5, 5), (2, 2), (0, 4), (0, 4), 34),),
    }
    text = warning(dead, 12_340)
    assert text.startswith("warning: 1,234 weights, 10.0 % of the parameters without auxiliary heads")
    assert "\n  2, 3: 5x5 kernels on 2x2 maps\n" in text
    assert "a stem with less stride" in text
    assert warning({"1": ()}, 10) == ""


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (chain(conv(4, 3), max_pool(3), relu(), conv(4, 3)), 2),
        (depthwise(1, 3) >> conv(4, 1), 1),  # a separable convolution is one layer
        (concat(a=conv(4, 1), b=conv(4, 1) >> concat(c=conv(4, 3), d=conv(4, 3) >> conv(4, 3)), e=max_pool(3)), 3),
        (residual(conv(4, 1)), 1),
        (residual(avg_pool(3) >> pad(1) >> max_pool(3, 1, "valid")), 0),
        (residual(max_pool(3) >> conv(8, 1) >> conv(8, 3), project=True), 2),
        (global_pool() >> flatten() >> linear(7) >> relu() >> linear(3), 2),
    ],
)
def test_depth_by_hand(node: Node, expected: int) -> None:
    assert depth(placed(node, 4, 8, 8)) == expected


def test_depth_of_the_papers_networks() -> None:
    """22 layers with parameters (Szegedy et al. 2014, section 5)."""
    assert measure(arch.load("googlenet")).depth == 22


def test_receptive_field_by_hand() -> None:
    """GoogLeNet row by row: each 3x3 or 5x5 adds (k - 1) jumps, the widest branch counts."""
    rows = {row.name: row.field for row in measure(arch.load("googlenet")).rows}
    sizes = {"conv1": 7, "pool1": 11, "conv2": 19, "pool2": 27, "3a": 59, "3b": 91, "4e": 427, "5b": 715}
    assert {name: rows[name].size for name in sizes} == {name: (size, size) for name, size in sizes.items()}
    assert [rows[name].jump for name in ("conv1", "pool2", "3a", "5b")] == [(2, 2), (8, 8), (8, 8), (32, 32)]
    assert rows["final"] is None
    start = Field()
    assert receptive_field(placed(conv(1, (1, 7)) >> conv(1, (3, 1)), 1, 9, 9), start).size == (3, 7)
    assert receptive_field(placed(residual(conv(1, 3, padding=1)), 1, 9, 9), start).size == (3, 3)
    assert receptive_field(placed(residual(conv(1, 1)) >> conv(1, 3), 1, 9, 9), start).size == (3, 3)
    assert receptive_field(placed(global_pool(), 1, 9, 8), start).size == (9, 8)
    # four windows over nine pixels are 3 wide (0-3, 2-5, 4-7, 6-9)
    assert receptive_field(placed(adaptive_pool(4), 1, 9, 9), start).size == (3, 3)
    # a 4x4 map from pooling 8x8 by two, framed to 8x8: its output 4 sees pixels 4 and 5, the 3x3's sees 3 to 5
    framed = concat(pool=max_pool(2, 2, "valid") >> pad(2), near=conv(1, 3))
    assert receptive_field(placed(framed, 1, 8, 8), start).size == (3, 3)
    # windows of two that reach up and down: together they see three pixels
    both = concat(up=conv(1, 2, padding=1) >> conv(1, 2, padding="valid"), here=conv(1, 1))
    assert receptive_field(placed(both, 1, 9, 9), start) == Field((-1, -1), (2, 2), (1, 1))


def test_receptive_field_against_measured_gradients() -> None:
    """All weights one, no activation, means for maxima: the field is where the input has a gradient."""
    rows = [
        {"name": "a", "block": "conv", "out": 2, "kernel": [5, 3], "stride": 2},
        {"name": "b", "block": "inception_v3", "b1x1": 1, "b3x3": [1, 1], "b5x5": [1, 1], "pool": 1, "n": 5},
        {"name": "c", "block": "max_pool", "kernel": 3, "ceil": True},
        {"name": "d", "block": "nested_for_tests", "width": 1},
        {"name": "e", "block": "inception_residual", "b1x1": 1, "b3x3": [1, 1], "b5x5": [1, 1], "pool": 1},
    ]
    spec = arch.from_mapping({
        "name": "seen", "input": [1, 160, 160], "classes": 2, "style": {"norm": "none", "activation": "none"},
        "rows": rows, "heads": {"final": {"head": "classifier"}},
    })  # fmt: skip
    network = arch.build(spec).double()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    image = torch.ones(1, 1, 160, 160, dtype=torch.float64, requires_grad=True)
    x = image
    for (name, row), found in zip(network.rows.items(), measure(spec).rows[:-1], strict=True):
        x = row(x)
        at = (x.shape[2] // 2, x.shape[3] // 2)
        seen = torch.autograd.grad(x[0, :, at[0], at[1]].sum(), image, retain_graph=True)[0][0, 0] > 0
        for axis in (0, 1):
            where = seen.any(1 - axis).nonzero()
            assert int(where[0]) == at[axis] * found.field.jump[axis] + found.field.start[axis], name
            assert int(where[-1] - where[0]) + 1 == found.field.size[axis], name


@pytest.mark.parametrize(
    ("node", "shape", "expected"),
    [
        (conv(2, 3), (3, 4, 4), 48 + 32),
        (conv(2, 3) >> relu() >> dropout(0.5), (3, 4, 4), 48 + 32),
        # 32 -> 64 -> 16: the first two are the most
        (conv(4, 3) >> max_pool(2, 2, "valid") >> conv(1, 1), (2, 4, 4), 32 + 64),
        # a runs on 32 to 16; then b on 32 to 48 while a's 16 waits: 96; the join: 64 and 64
        (concat(a=conv(1, 1), b=conv(3, 1)), (2, 4, 4), 64 + 64),
        # b's second layer turns 32 into 16 while a's 16 wait, and so does the input of 512, which c still reads
        (concat(a=conv(1, 1), b=conv(2, 1) >> conv(1, 1), c=conv(1, 1)), (32, 4, 4), 512 + 16 + 32 + 16),
        # without c nobody reads the input after b's first layer
        (concat(a=conv(1, 1), b=conv(2, 1) >> conv(1, 1)), (32, 4, 4), 512 + 16 + 32),
        # the input waits as the shortcut: 32 + 128 + 32 in the body, more than 3 * 32 at the sum
        (residual(conv(8, 1) >> conv(2, 1)), (2, 4, 4), 32 + 128 + 32),
        (residual(conv(2, 1)), (2, 4, 4), 3 * 32),
        # the projected shortcut waits: body in 32, out 64, shortcut 64; then the sum with 3 * 64
        (residual(conv(4, 1), project=True), (2, 4, 4), 3 * 64),
        # a rectifier on a shared input makes a copy: 32 + 32, then 16 more while the input waits
        (concat(a=relu() >> conv(1, 1), b=conv(1, 1)), (2, 4, 4), 32 + 32 + 16),
        (flatten() >> linear(5), (2, 4, 4), 32 + 5),
    ],
)
def test_peak_memory_by_hand(node: Node, shape: tuple[int, ...], expected: int) -> None:
    assert peak_memory(placed(node, *shape)) == 4 * expected


def test_peak_memory_of_googlenet() -> None:
    """The first convolution's 64x112x112 and what the pool makes of it, 64x56x56, four bytes each."""
    assert measure(arch.load("googlenet")).peak_memory == 4 * (64 * 112 * 112 + 64 * 56 * 56)


class Tape:
    """Every layer as one step (tensors read, sizes made), to find the peak from each tensor's last reader."""

    def __init__(self, elements: int) -> None:
        self.sizes, self.steps = [elements], []

    def step(self, *read: int, elements: int) -> int:
        self.sizes.append(elements)
        self.steps.append(read)
        return len(self.sizes) - 1

    def run(self, part: Placed, x: int) -> int:
        match part.node:
            case Dropout() | Flatten():
                return x
            case Chain():
                for inner in part.parts:
                    x = self.run(inner, x)
                return x
            case Concat():
                read = [self.run(inner, x) for inner in part.parts]
            case Residual():
                read = [self.run(inner, x) for inner in reversed(part.parts)]
                read += [x] if len(read) == 1 else []
            case _:
                read = [x]
        return self.step(*read, elements=math.prod(part.output))

    def peak(self) -> int:
        last = {tensor: index for index, read in enumerate(self.steps) for tensor in read}
        return max(
            sum(size for tensor, size in enumerate(self.sizes[: index + 2]) if last.get(tensor, index) >= index)
            for index in range(len(self.steps))
        )


@slow_enough
@given(specs())
def test_peak_memory_against_each_tensors_last_reader(spec: arch.Spec) -> None:
    """The fold against a tape of the whole network; standing rectifiers are left out, as they may work in place."""
    network = place_network(spec)
    tape = Tape(math.prod(spec.input))
    x = 0
    for part in (*network.rows, network.heads[FINAL]):
        x = tape.run(without_relu(part), x)
    assert measure(spec).peak_memory == 4 * tape.peak()


def without_relu(part: Placed) -> Placed:
    parts = tuple(without_relu(inner) for inner in part.parts if not isinstance(inner.node, Relu))
    return Placed(part.name, part.node, part.input, part.output, parts)
