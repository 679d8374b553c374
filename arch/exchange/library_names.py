"""The names that torchvision and timm give to the layers of networks that they share with us.

A naming is a small table: their module for each of our rows, and their branch for each of our blocks' branches. Layers
within a branch are numbered in order, so a table lists branches, not layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from arch.analysis.shapes import Placed, place_network
from arch.errors import InputError, near
from arch.nodes import Conv, Linear
from arch.specs.spec import Spec


@dataclass(frozen=True)
class Naming:
    """How a library names a network.

    `rows` and `heads` map our row to their module. `branches` maps, for each block or head, the start of our path to
    their path. In that `{i}` counts a branch's layers from 0, `{n}` from 1, and `{ab}` is a or b for two parallel
    layers. A block that is not listed is one layer, and the module itself.
    """

    rows: Mapping[str, str]
    heads: Mapping[str, str]
    branches: Mapping[str, Mapping[str, str]]


_TORCHVISION_V3 = {
    "inception_v3_a": {
        "b1x1": "branch1x1",
        "b5x5": "branch5x5_{n}",
        "double3x3": "branch3x3dbl_{n}",
        "pool": "branch_pool",
    },
    "reduction_a": {"b3x3": "branch3x3", "double3x3": "branch3x3dbl_{n}"},
    "inception_v3_b": {
        "b1x1": "branch1x1",
        "b7x7": "branch7x7_{n}",
        "double7x7": "branch7x7dbl_{n}",
        "pool": "branch_pool",
    },
    "reduction_b": {"b3x3": "branch3x3_{n}", "b7x7": "branch7x7x3_{n}"},
    "inception_v3_c": {
        "b1x1": "branch1x1",
        "b3x3": "branch3x3_{n}{ab}",
        "double3x3": "branch3x3dbl_{n}{ab}",
        "pool": "branch_pool",
    },
    "aux_v3": {"conv1x1": "conv0", "conv5x5": "conv1", "linear": "fc"},
}
_SEQUENCES = {"b1x1": "branch0", "b3x3": "branch1.{i}", "double3x3": "branch2.{i}", "pool": "branch3.1"}
_SEVENS = {"b1x1": "branch0", "b7x7": "branch1.{i}", "double7x7": "branch2.{i}", "pool": "branch3.1"}
_RESIDUAL = {"b1x1": "branch0", "b3x3": "branch1.{i}", "b7x7": "branch1.{i}", "double3x3": "branch2.{i}"}
_RESIDUAL |= {"linear": "conv2d"}

NAMINGS: dict[str, dict[str, Naming]] = {
    "torchvision": {
        "googlenet_torchvision": Naming(
            rows={"conv1": "conv1", "conv2": ""}
            | {row: f"inception{row}" for row in ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]},
            heads={"4a": "aux1", "4d": "aux2", "final": ""},
            branches={
                "conv_reduced": {"reduce": "conv2", "conv3x3": "conv3"},
                "inception_v1_3x3": {
                    "b1x1": "branch1",
                    "b3x3": "branch2.{i}",
                    "b5x5": "branch3.{i}",
                    "pool": "branch4.1",
                },
                "aux_torchvision": {"conv1x1": "conv", "linear": "fc1", "linear_2": "fc2"},
                "classifier": {"linear": "fc"},
            },
        ),
        "inception_v3": Naming(
            rows={
                f"conv{row}": f"Conv2d_{row}_{kernel}"
                for row, kernel in {"1a": "3x3", "2a": "3x3", "2b": "3x3", "3b": "1x1", "4a": "3x3"}.items()
            }
            | {row: f"Mixed_{row}" for row in ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]},
            heads={"6e": "AuxLogits", "final": ""},
            branches=_TORCHVISION_V3 | {"classifier": {"linear": "fc"}},
        ),
    },
    "timm": {
        "inception_v4": Naming(
            rows={"stem": "features"}
            | {f"a{i}": f"features.{i + 5}" for i in range(1, 5)}
            | {"reduction_a": "features.10"}
            | {f"b{i}": f"features.{i + 10}" for i in range(1, 8)}
            | {"reduction_b": "features.18"}
            | {f"c{i}": f"features.{i + 18}" for i in range(1, 4)},
            heads={"final": ""},
            branches={
                "stem_v4": {
                    "conv3x3": "0",
                    "conv3x3_2": "1",
                    "conv3x3_3": "2",
                    "concat.b3x3": "3.conv",
                    "concat_2.b3x3": "4.branch0.{i}",
                    "concat_2.b7x7": "4.branch1.{i}",
                    "concat_3.b3x3": "5.conv",
                },
                "inception_v4_a": _SEQUENCES,
                "reduction_a": {"b3x3": "branch0", "double3x3": "branch1.{i}"},
                "inception_v4_b": _SEVENS,
                "reduction_b": {"b3x3": "branch0.{i}", "b7x7": "branch1.{i}"},
                "inception_v4_c": _SEQUENCES | {"b3x3": "branch1_{i}{ab}", "double3x3": "branch2_{i}{ab}"},
                "classifier": {"linear": "last_linear"},
            },
        ),
        "inception_resnet_v2": Naming(
            rows={f"conv{row}": f"conv2d_{row}" for row in ["1a", "2a", "2b", "3b", "4a", "7b"]}
            | {"5b": "mixed_5b", "reduction_a": "mixed_6a", "reduction_b": "mixed_7a", "c10": "block8"}
            | {f"a{i}": f"repeat.{i - 1}" for i in range(1, 11)}
            | {f"b{i}": f"repeat_1.{i - 1}" for i in range(1, 21)}
            | {f"c{i}": f"repeat_2.{i - 1}" for i in range(1, 10)},
            heads={"final": ""},
            branches={
                "inception_v3_a": {
                    "b1x1": "branch0",
                    "b5x5": "branch1.{i}",
                    "double3x3": "branch2.{i}",
                    "pool": "branch3.1",
                },
                "inception_resnet_a": _RESIDUAL,
                "inception_resnet_b": _RESIDUAL,
                "inception_resnet_c": _RESIDUAL,
                "reduction_a": {"b3x3": "branch0", "double3x3": "branch1.{i}"},
                "reduction_resnet_b": {"first": "branch0.{i}", "second": "branch1.{i}", "double3x3": "branch2.{i}"},
                "classifier": {"linear": "classif"},
            },
        ),
    },
}

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def library_keys(spec: Spec, library: str) -> dict[str, str]:
    """Return the library's state-dict key for each of ours, heads included, in our order.

    The network is found by its name; the number of classes may differ.

    Raises
    ------
    InputError
        There is no such library, or it does not have this network.
    """
    if library not in NAMINGS:
        raise InputError(f"there is no naming of '{library}'.{near(library, NAMINGS)} Known: {', '.join(NAMINGS)}.")
    namings = NAMINGS[library]
    if spec.name not in namings:
        raise InputError(f"{library} has no network '{spec.name}'. It has: {', '.join(namings)}.")
    naming, placed = namings[spec.name], place_network(spec)
    result: dict[str, str] = {}
    for row, part in zip(spec.rows, placed.rows, strict=True):
        if row.name in naming.rows:
            result |= _keys(part, f"rows.{row.name}", naming.rows[row.name], naming.branches.get(row.block, {"": ""}))
    for after, module in naming.heads.items():
        if after in placed.heads:
            result |= _keys(placed.heads[after], f"heads.{after}", module, naming.branches[spec.heads[after].head])
    return result


def _keys(placed: Placed, ours: str, module: str, branches: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of all layers of a row or head."""
    # First the steps of each branch, as their numbers count steps: two parallel layers are one step.
    result: dict[str, str] = {}
    seen: dict[str, dict[str, list[str]]] = {start: {} for start in branches}
    layers = list(_layers(placed, ()))
    for path, _ in layers:
        start, step, letter = _position(path, branches)
        seen[start].setdefault(step, []).append(letter)
    for path, part in layers:
        start, step, last = _position(path, branches)
        index, parallel = list(seen[start]).index(step), seen[start][step]
        letter = "ab"[parallel.index(last)] if len(parallel) > 1 else ""
        theirs = branches[start].format(i=index, n=index + 1, ab=letter)
        result |= _leaves(part, ".".join((ours, *path)), ".".join(filter(None, (module, theirs))))
    return result


def _layers(placed: Placed, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Placed]]:
    """Yield the layers with weights and their paths below the row, in order."""
    if isinstance(placed.node, Conv | Linear):
        yield path, placed
    for part in placed.parts:
        yield from _layers(part, (*path, part.name))


def _position(path: tuple[str, ...], branches: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the branch of a layer, the step in it, and the layer's name: those of one step are parallel."""
    # A residual block's branches lie below `body.concat`; the tables leave that out. The longest start that fits wins.
    short = path[2:] if path[:2] == ("body", "concat") else path[1:] if path[:1] == ("body",) else path
    text = ".".join(short)
    start = next(start for start in sorted(branches, key=len, reverse=True) if f"{text}.".startswith(start))
    rest = text.removeprefix(start).strip(".").split(".")
    return start, rest[0], rest[-1]


def _leaves(placed: Placed, ours: str, theirs: str) -> dict[str, str]:
    """Return the keys of one layer: a convolution with or without its norm, or a linear layer."""
    node = placed.node
    if isinstance(node, Linear):
        return {f"{ours}.{leaf}": f"{theirs}.{leaf}" for leaf in ("weight", "bias")}
    assert isinstance(node, Conv)
    unit = f"{theirs}.conv" if node.norm else theirs
    result = {f"{ours}.conv.{leaf}": f"{unit}.{leaf}" for leaf in ("weight", *(["bias"] if node.bias else []))}
    if node.norm:
        result |= {f"{ours}.norm.{leaf}": f"{theirs}.bn.{leaf}" for leaf in _NORM}
    return result
