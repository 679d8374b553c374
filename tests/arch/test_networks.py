"""The shipped networks against the exact figures of the literature."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import arch
from arch.analysis.diff import differences
from arch.analysis.layers import layers
from arch.analysis.shapes import Placed
from arch.files.safe_yaml import load_yaml
from arch.ledger.quantity import tree
from arch.modules.fvcore_check import check
from arch.nodes import Conv, Node, Pool, Relu, Residual, dims
from arch.specs.edit import searchable
from arch.specs.read import NETWORKS
from tests.support import DATA, DOCS
from tests.support.networks import every_network

# params and MACs without heads, params with heads: fvcore's and torch's counts of independent translations of each
# paper, released code and tutorial
EXACT = {
    "googlenet": (6_998_552, 1_582_671_872, 13_378_280),
    "googlenet_separable": (6_991_856, 1_498_677_248, 13_371_584),
    "googlenet_torchvision": (6_624_904, 1_498_376_192, 13_004_888),
    "googlenet_bn": (7_005_832, 1_582_671_872, 13_385_816),
    "bn_inception": (11_188_288, 1_934_857_216, 11_188_288),
    "bn_inception_printed": (11_278_528, 1_948_605_440, 11_278_528),
    "inception_v3": (23_834_568, 5_713_216_096, 27_161_264),
    "inception_v3_printed_stem": (24_410_696, 6_045_493_856, 24_410_696),
    "inception_v4": (42_679_816, 12_253_974_624, 42_679_816),
    "inception_resnet_v1": (22_756_328, 6_206_361_696, 22_756_328),
    "inception_resnet_v2_printed": (32_433_928, 9_257_953_632, 32_433_928),
    "inception_resnet_v2": (55_843_464, 13_155_794_016, 59_211_120),
    "googlenet_bn_cifar32": (5_998_362, 32_288_768, 6_150_062),
    "googlenet_fashion224": (5_977_530, 1_502_982_144, 5_977_530),
    "googlenet_bn_blocks": (7_012_472, 1_582_671_872, 7_012_472),
    "googlenet_d2l": (5_977_530, 276_066_304, 5_977_530),
    "inception_mini": (269_898, 27_872_256, 269_898),
    "inception_v3_488": (24_244_328, 5_842_387_040, 27_571_024),
    "inception_v3_488_printed": (23_588_328, 5_652_988_000, 26_915_024),
    "googlenet_conv_relu": (5_955_452, 228_985_600, 5_955_452),
    "googlenet_conv_relu_192": (5_998_362, 229_157_120, 5_998_362),
}
FULL_CONV1 = {"conv1": {"block": "conv", "out": 64, "kernel": 7, "stride": 2}}
SHIFT = {"style": {"norm": "batch_shift"}}
# the same three after an edit; None where the source gives no such figure
EDITED = {
    "tutorial 002 with 1000 classes": ("googlenet_flowers", {"classes": 1000}, (6_998_552, 1_582_671_872, 13_378_280)),
    "tutorial 002": ("googlenet_flowers", {}, (5_978_677, None, 10_318_655)),
    "TF-Slim's norm without a scale in v3": ("inception_v3", SHIFT, (23_817_352, None, None)),
    "the same in tutorial 004's": ("inception_v3_488", SHIFT, (24_227_032, None, 27_552_832)),
    "the same to the letter": ("inception_v3_488_printed", SHIFT, (23_571_352, 5_652_988_000, 26_897_152)),
    "tutorial 004's padding alone": (
        "inception_v3",
        {"rows": {"conv4a": {"padding": "same"}}},
        (23_834_568, 5_816_172_640, 27_161_264),
    ),
    "BN-Inception with a full 7x7": ("bn_inception", {"rows": FULL_CONV1}, (11_194_984, 2_018_851_840, None)),
    "the same as printed": ("bn_inception_printed", {"rows": FULL_CONV1}, (11_285_224, 2_032_600_064, None)),
    "the same with Caffe's biases": (
        "bn_inception_printed",
        {"rows": FULL_CONV1, "style": {"bias": True}},
        (11_295_240, 2_032_600_064, None),
    ),
}
# what fvcore says in all of torchvision's and timm's networks, and of GoogLeNet with batch norm
FVCORE_TOTALS = {
    "googlenet_torchvision": 1_504_878_688,
    "googlenet_bn": 1_589_174_368,
    "inception_v3": 5_731_282_144,
    "inception_v4": 12_284_251_296,
    "inception_resnet_v2": 13_182_930_592,
}
AUX_MACS = {
    "googlenet": 8_372_224,
    "googlenet_torchvision": 3_013_496_832 // 2 - 1_498_376_192,  # trained, two images
    "googlenet_bn_cifar32": 64_879_104 // 2 - 32_288_768,
    "inception_v3": 5_683_200,
}
STAGES = json.loads((DATA / "stages.json").read_text())
SISTERS = {
    "googlenet_cifar_small": "inception_v1",
    "inception_v2_cifar_small": "inception_v2",
    "inception_v3_cifar_small": "inception_v3",
    "inception_residual_cifar_small": "inception_residual",
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_totals(name: str) -> None:
    total = arch.cost(arch.load(name))
    assert (total.params, total.macs, total.params + total.aux_params) == EXACT[name]


@pytest.mark.parametrize("name", SISTERS)
def test_sisters_have_two_heads_and_the_tutorial_networks_budget(name: str) -> None:
    spec = arch.load(name)
    assert 20_000_000 <= arch.cost(spec).macs <= 32_288_768
    assert len(spec.aux_rows) == 2
    assert {row.block for row in searchable(spec)} == {SISTERS[name]}


@pytest.mark.parametrize("name", every_network())
def test_fvcore_agrees(name: str) -> None:
    checked = check(arch.load(name))
    assert [count for count in checked.counts if not count.agrees] == []
    if name in FVCORE_TOTALS:
        assert arch.cost(arch.load(name)).macs + checked.adds == FVCORE_TOTALS[name]
    if name == "googlenet":
        assert checked.adds == 1024 * 7 * 7  # the mean over the last map; it has no norm


def test_googlenet_rows_as_table_1() -> None:
    """Output sizes and MACs of arXiv 1409.4842's Table 1 where its figures are right (ops in M, rounded)."""
    rows = {row.name: row for row in arch.cost(arch.load("googlenet")).rows}
    printed = {"conv2": 360, "3a": 128, "3b": 304, "4b": 88, "4c": 100, "4d": 119, "4e": 170, "5b": 71, "final": 1}
    assert {name: round(rows[name].macs / 1e6) for name in printed} == printed
    outputs = {
        "conv1": (64, 112, 112),
        "conv2": (192, 56, 56),
        "3b": (480, 28, 28),
        "4e": (832, 14, 14),
        "5b": (1024, 7, 7),
    }
    assert {name: rows[name].output for name in outputs} == outputs


@pytest.mark.parametrize("name", STAGES)
def test_stage_outputs(name: str) -> None:
    """Of rows, and of the joins inside a stem (`stem/concat`)."""
    placed = tree(name).trunk
    parts = {f"{row}/{part.name}": part for row, whole in placed.items() for part in whole.parts}
    found = {stage: list((placed | parts)[stage].output) for stage in STAGES[name]}
    assert found == STAGES[name]


@pytest.mark.parametrize("case", EDITED)
def test_totals_after_an_edit(case: str) -> None:
    name, edits, expected = EDITED[case]
    total = arch.cost(arch.from_mapping({"name": "edited", "base": name, "edits": edits}))
    found = (total.params, total.macs, total.params + total.aux_params)
    assert [value for value, wanted in zip(found, expected, strict=True) if wanted is not None] == [
        wanted for wanted in expected if wanted is not None
    ]


def _figures(spec: arch.Spec) -> tuple[str, str, str]:
    total = arch.cost(spec)
    return f"{total.params:,}", f"{total.params + total.aux_params:,}", f"{total.macs:,}"


def test_the_texts_about_tutorial_004s_v3_give_its_own_figures() -> None:
    """Both readings, each with batch norm's usual scale and without it; the text itself prints no total."""
    page = (DOCS / "reproduce_the_tutorials.md").read_text()
    for name in ("inception_v3_488", "inception_v3_488_printed"):
        spec = arch.load(name)
        figures = _figures(spec)
        unscaled = _figures(arch.from_mapping({"name": "unscaled", "base": name, "edits": SHIFT}))
        assert f"`{name}` | {' | '.join(figures)} |" in page
        assert all(figure in page for figure in unscaled[:2])
        stated = set(re.findall(r"\d[\d,]*,\d{3}", spec.note))
        assert stated == {*figures[:2], *unscaled[:2]}


@pytest.mark.parametrize("name", AUX_MACS)
def test_macs_of_the_heads(name: str) -> None:
    assert arch.cost(arch.load(name)).aux_macs == AUX_MACS[name]


def test_a_norm_without_a_scale_is_built_as_it_is_counted() -> None:
    edits = {"style": {"norm": "batch_shift"}, "input": [3, 75, 75]}
    spec = arch.from_mapping({"name": "shift", "base": "inception_v3", "edits": edits | {"heads": {"6e": "remove"}}})
    assert [count for count in check(spec).counts if not count.agrees] == []


def leaves(network: str, row: str) -> list[Node]:
    """The leaves of a row in the order in which they are written."""

    def inside(placed: Placed) -> Iterator[Node]:
        if not placed.parts:
            yield placed.node
        for part in placed.parts:
            yield from inside(part)

    return list(inside(tree(network).trunk[row]))


def test_pools_of_bn_inception() -> None:
    """No count tells a mean from a maximum: figure 5 of arXiv 1502.03167 has means, but in 3c, 4e and 5b."""
    for network in ("bn_inception", "bn_inception_printed"):
        rows = [row for row in tree(network).trunk if row[0] in "345"]
        pools = {row: leaf for row in rows for leaf in leaves(network, row) if isinstance(leaf, Pool)}
        assert [row for row in rows if pools[row].kind == "max"] == ["3c", "4e", "5b"]
        assert [row for row in rows if pools[row].stride == (2, 2)] == ["3c", "4e"]
        for row in ("3c", "4e"):  # stride 2 on the last 3x3 of each branch
            strides = [leaf.stride[0] for leaf in leaves(network, row) if isinstance(leaf, Conv)]
            assert strides == [1, 2, 1, 1, 2]


@pytest.mark.parametrize("network", ["inception_resnet_v1", "inception_resnet_v2_printed", "inception_resnet_v2"])
def test_scales_of_the_residual_modules(network: str) -> None:
    """0.17, 0.10 and 0.20 by kind of module, in released code; its last one is not scaled and has no rectifier."""
    found = {row: placed.node for row, placed in tree(network).trunk.items() if isinstance(placed.node, Residual)}
    kinds = {"a": (0.17, True), "b": (0.1, True), "c": (0.2, True)}
    expected = {row: kinds[row[0]] for row in found}
    if network == "inception_resnet_v2":
        expected["c10"] = (1.0, False)
    assert {row: (node.scale, node.activation) for row, node in found.items()} == expected


def test_order_of_the_stems_asymmetric_layers() -> None:
    """7x1, then 1x7 in figure 3 of arXiv 1602.07261; the other way round in released code."""
    for network, order in (
        ("inception_v4", [(1, 7), (7, 1)]),
        ("inception_resnet_v2_printed", [(7, 1), (1, 7)]),
    ):
        kernels = [leaf.kernel for leaf in leaves(network, "stem") if isinstance(leaf, Conv)]
        assert [kernel for kernel in kernels if 7 in kernel] == order


def test_rectifiers_of_the_tutorials() -> None:
    """001 and 004's d2l have none in block 2; 001 has one behind each module's pool."""
    for network in ("googlenet_fashion224", "googlenet_d2l"):
        rows = [row for row in tree(network).trunk if row[0] in "345"]
        behind = {row: any(isinstance(leaf, Relu) for leaf in leaves(network, row)) for row in rows}
        assert set(behind.values()) == {network == "googlenet_fashion224"}
        acting = {row: [leaf.activation for leaf in leaves(network, row) if isinstance(leaf, Conv)] for row in rows}
        assert all(all(flags) for flags in acting.values())
        assert [leaf.activation for leaf in leaves(network, "conv2") if isinstance(leaf, Conv)] == [False, False]
        assert [leaf.activation for leaf in leaves(network, "conv1") if isinstance(leaf, Conv)] == [True]


LISTED = {"000": "googlenet_bn_cifar32", "003": "googlenet_bn_blocks"}


@pytest.mark.parametrize("tutorial", LISTED)
def test_the_tutorials_layer_listings(tutorial: str) -> None:
    """Every layer with parameters, in the order in which it runs: kind, output and parameters, built and from the spec."""
    network = arch.build(arch.load(LISTED[tutorial])).train()
    ran: list[list[str]] = []

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        params = sum(p.numel() for p in module.parameters())
        ran.append([type(module).__name__, "x".join(map(str, output.shape[1:])), str(params)])

    for module in network.modules():
        if not list(module.children()) and list(module.parameters()):
            module.register_forward_hook(note)
    network(torch.zeros(2, *network.spec.input))
    with open(DATA / f"listing_{tutorial}.csv", newline="") as file:
        listed = list(csv.reader(file))[1:]
    assert len(listed) == {"000": 123, "003": 112}[tutorial]
    assert ran == listed
    own = [layer for layer in layers(network.spec) if layer.params]
    assert [[layer.kind, dims(layer.output), str(layer.params)] for layer in own] == listed


CIFAR = ["bn_inception", "inception_v3", "inception_v4", "inception_resnet_v1", "inception_resnet_v2"]


@pytest.mark.parametrize("name", CIFAR)
def test_the_cifar_versions_work_on_maps_of_32_16_and_8_pixels(name: str) -> None:
    spec = arch.load(f"{name}_cifar")
    grids = [row.output[1] for row in arch.cost(spec).rows if len(row.output) == 3]
    assert (spec.input, spec.classes) == ((3, 32, 32), 10)
    assert sorted(set(grids), reverse=True) == [32, 16, 8]
    assert spec.aux_rows == arch.load(name).aux_rows


@pytest.mark.parametrize("name", CIFAR)
def test_diff_lists_the_declared_edits(name: str) -> None:
    """What `diff` says differs is what the file declares, row for row."""
    declared = load_yaml(NETWORKS / f"{name}_cifar.yaml")["edits"]
    original, derived = arch.load(name), arch.load(f"{name}_cifar")
    rows = {row.name for row in original.rows}
    listed = {
        line["row"] for line in differences(original, derived) if line["row"] in rows and line[derived.name] != "="
    }
    assert listed == set(declared["rows"])
