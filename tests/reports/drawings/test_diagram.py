from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

import arch
import inceptory
from arch.nodes import Node, avg_pool, chain, concat, conv, depthwise, linear_1x1, max_pool, pad, relu, residual
from arch.nodes import adaptive_pool as adaptive
from arch.registry import BLOCKS, Width
from arch.specs.edit import with_args
from reports.drawings.diagram import PAPER, draw, save
from reports.drawings.graph import Graph, head_graph, network_graph, row_graph
from tests.support.isolation import registered
from tests.support.networks import every_network
from tests.support.specs import specs


def expanded_for_tests(width: Width) -> Node:
    """A concat within a branch, as in the expanded module of v3 (Szegedy et al. 2015, figure 7)."""
    return concat(
        b1x1=conv(1, 1),
        b3x3=conv(width, 1) >> concat(wide=conv(2, (1, 3)), high=conv(3, (3, 1))),
        pool=avg_pool(3) >> conv(4, 1),
    )


def leaves_for_tests(width: Width) -> Node:
    """Every leaf that says something of its own."""
    return chain(
        conv(width, (1, 7), 2, "valid"),
        conv(2 * width, 3, (2, 1), groups=2),
        depthwise(2, 3),
        linear_1x1(width),
        conv(width, 2, padding=1, norm=False),
        max_pool(3, 2, "valid", ceil=True),
        pad((1, 2)),
        relu(),
        adaptive(2),
        adaptive(1),
    )


def knots_for_tests(width: Width) -> Node:
    """Sums within sums, sums side by side, and branches without a node: nine ways out of one box."""
    inner = residual(concat(nothing=chain(), deep=conv(width, 3)) >> linear_1x1(width))
    return chain(
        conv(width, 1),
        concat(
            first=residual(conv(width, 3) >> conv(width, 1), scale=0.5, activation=False),
            second=residual(inner),
            third=residual(conv(width, 3) >> conv(width, 1)),
            last=chain(),
        ),
    )


def wide_for_tests(count: Width) -> Node:
    """Branches of one to three convolutions; the first has 101 channels, the next 102, and so on."""
    return concat(**{f"b{i}": chain(*[conv(101 + i, 3)] * (1 + i % 3)) for i in range(count)})


def any_tree(generator: random.Random, depth: int) -> Node:
    """A tree of chains, concats and sums at random; some branches and bodies hold nothing."""
    if depth == 0:
        return generator.choice([conv(generator.randint(1, 9), 3), avg_pool(3), chain()])
    parts = [any_tree(generator, depth - 1) for _ in range(generator.randint(1, 3))]
    match generator.choice(["chain", "concat", "residual"]):
        case "chain":
            return chain(*parts)
        case "concat":
            return concat(**{f"b{index}": part for index, part in enumerate(parts)})
    return residual(parts[0], project=True, activation=generator.random() < 0.5)


def random_for_tests(seed: Width) -> Node:
    """A tree of depth 4 at random."""
    return any_tree(random.Random(seed), 4)


@pytest.fixture(scope="module", autouse=True)
def blocks_for_tests(nested_block: None) -> Iterator[None]:
    with registered(BLOCKS, expanded_for_tests, leaves_for_tests, knots_for_tests, wide_for_tests, random_for_tests):
        yield


def spec_of(*rows: dict[str, Any], **more: Any) -> arch.Spec:
    named = [{"name": f"r{index}"} | row for index, row in enumerate(rows)]
    heads = {"final": {"head": "classifier"}}
    return arch.from_mapping({"name": "own", "input": [8, 32, 32], "classes": 5, "rows": named, "heads": heads} | more)


def block(name: str, **args: Any) -> Graph:
    return row_graph(spec_of({"block": name} | args), "r0")


def texts(graph: Graph) -> list[str]:
    return [" / ".join(box.lines) for box in graph.boxes]


def arrows(graph: Graph) -> set[tuple[int, int]]:
    return {(edge.start, edge.end) for edge in graph.edges}


def test_inception_v1() -> None:
    graph = row_graph(arch.load("googlenet"), "3a")
    assert texts(graph) == [
        "input / 192x28x28",
        "1x1 conv / 64",
        "1x1 conv / 96",
        "3x3 conv / 128",
        "1x1 conv / 16",
        "5x5 conv / 32",
        "3x3 max pool",
        "1x1 conv / 32",
        "concat / 256",
    ]
    assert arrows(graph) == {(0, 1), (1, 8), (0, 2), (2, 3), (3, 8), (0, 4), (4, 5), (5, 8), (0, 6), (6, 7), (7, 8)}
    assert graph.title == "googlenet, row 3a: inception_v1"
    assert graph.caption.startswith("Input 192x28x28, output 256x28x28. After each conv: ReLU, unless")
    assert "arXiv 1409.4842" in graph.caption


def test_residual_with_and_without_a_projection() -> None:
    args = {"b1x1": 2, "b3x3": [2, 2], "b5x5": [3, 3], "scale": 0.3}
    identity, projected = (block("inception_residual", **args, pool=pool) for pool in (1, 8))
    assert texts(identity)[1] == "1x1 conv / 2"
    assert texts(identity)[-4:] == ["concat / 8", "1x1 conv, linear / 8", "+ / body x 0.3", "ReLU"]
    total = len(identity.boxes) - 2
    assert {(0, total), (total - 1, total), (total, total + 1)} <= arrows(identity)
    assert texts(projected)[1] == "1x1 conv, linear / 15"
    total = len(projected.boxes) - 2
    assert {(0, 1), (1, total), (total - 1, total), (total, total + 1)} <= arrows(projected)
    assert (0, total) not in arrows(projected)


def test_concat_within_a_branch() -> None:
    graph = block("expanded_for_tests", width=6)
    assert texts(graph)[1:] == [
        "1x1 conv / 1",
        "1x1 conv / 6",
        "1x3 conv / 2",
        "3x1 conv / 3",
        "concat / 5",
        "3x3 average pool",
        "1x1 conv / 4",
        "concat / 10",
    ]
    assert arrows(graph) == {(0, 1), (1, 8), (0, 2), (2, 3), (2, 4), (3, 5), (4, 5), (5, 8), (0, 6), (6, 7), (7, 8)}


def test_what_each_leaf_says() -> None:
    assert texts(block("leaves_for_tests", width=6))[1:] == [
        "1x7 conv / 6, /2, valid",
        "3x3 conv / 12, 2 groups, /2x1",
        "3x3 depthwise conv, linear / 24",
        "1x1 conv, linear / 6",
        "2x2 conv, no norm / 6, padding 1",
        "3x3 max pool / /2, valid, ceil",
        "pad / 1x2",
        "ReLU",
        "average pool / to 2x2",
        "global / average pool",
    ]


def test_a_style_without_norm_or_activation_is_said_once() -> None:
    spec = spec_of({"block": "conv", "out": 4, "kernel": 3, "style": {"norm": "none", "activation": "none"}})
    graph = row_graph(spec, "r0")
    assert texts(graph)[1] == "3x3 conv / 4"
    assert "After each conv: nothing" in graph.caption


def test_heads() -> None:
    spec = arch.load("googlenet")
    assert texts(head_graph(spec, "4a")) == [
        "input / 512x14x14",
        "5x5 average pool / /3, valid",
        "1x1 conv / 128",
        "flatten / 2048",
        "linear / 1024",
        "ReLU",
        "dropout / p = 0.7",
        "linear / 1000",
    ]
    assert texts(head_graph(spec))[-2:] == ["dropout / p = 0.4", "linear / 1000"]
    with pytest.raises(arch.SpecError, match=r"no head hangs on row '3a'\. Heads: 4a, 4d, final"):
        head_graph(spec, "3a")
    for graph in (head_graph, row_graph):
        with pytest.raises(arch.SpecError, match=r"there is no row '3c'\. Did you mean"):
            graph(spec, "3c")


def test_network_with_its_heads() -> None:
    spec = arch.load("googlenet")
    graph = network_graph(spec)
    said = texts(graph)
    assert [text.partition(":")[0] for text in said if not text.startswith("aux")] == [
        "input / 3x224x224",
        *(row.name for row in spec.rows),
        "final",
    ]
    assert said[5] == "3a: inception_v1 → 256x28x28 / b1x1 64, b3x3 96>128, b5x5 16>32, pool 32"
    assert [(said[row][:2], said[head]) for row, head in graph.heads] == [
        ("4a", "auxiliary, 4a: aux_googlenet → 1000"),
        ("4d", "auxiliary, 4d: aux_googlenet → 1000"),
    ]
    main = [index for index, text in enumerate(said) if not text.startswith("aux")]
    assert arrows(graph) == set(pairwise(main))


def test_equal_rows_in_a_run_are_one_box_that_ends_at_a_head() -> None:
    row = {"block": "conv", "out": 8, "kernel": 3}
    heads = {"final": {"head": "classifier"}, "r2": {"head": "aux_small"}}
    graph = network_graph(spec_of(*[row] * 5, row | {"stride": 2}, row | {"stride": 2}, heads=heads))
    assert [text for text in texts(graph) if "conv" in text] == [
        "r0 to r2: conv x 3 → 8x32x32 / out 8, kernel 3",
        "r3 to r4: conv x 2 → 8x32x32 / out 8, kernel 3",
        "r5: conv → 8x16x16 / out 8, kernel 3, stride 2",
        "r6: conv → 8x8x8 / out 8, kernel 3, stride 2",
    ]
    assert graph.heads == ((1, 2),)


def measured(graph: Graph) -> tuple[dict[str, Bbox], dict[str, Bbox], dict[str, Any], float]:
    """Return boxes and texts as Agg draws them, edges' corners, all in inches, and the figure's width."""
    figure = draw(graph)
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    inches = figure.dpi_scale_trans.inverted()
    boxes = {
        p.get_gid(): Bbox(inches.transform_bbox(p.get_path().get_extents(p.get_transform()))) for p in axes.patches
    }
    words = {t.get_gid(): Bbox(inches.transform_bbox(t.get_window_extent(renderer))) for t in axes.texts}
    edges = {p.get_gid(): p._path_original.vertices for p in axes.patches if p.get_gid().startswith("edge")}
    return {k: v for k, v in boxes.items() if k.startswith("box")}, words, edges, figure.get_figwidth()


def inside(inner: Bbox, outer: Bbox) -> bool:
    return bool((inner.min >= outer.min).all() and (inner.max <= outer.max).all())


def through(points: Any, box: Bbox) -> bool:
    """Say whether a line passes the inside of a box, by many points on it."""
    core, line = box.padded(-0.005), np.asarray(points)
    places = line[:-1, None] + np.diff(line, axis=0)[:, None] * np.linspace(0, 1, 61)[:, None]
    return bool(((places >= core.min) & (places <= core.max)).all(-1).any())


def check_drawing(graph: Graph, legible: bool = True) -> None:
    boxes, words, edges, width = measured(graph)
    page = Bbox([[0, 0], [width, 1000]])
    assert len(boxes) == len(graph.boxes)
    assert len(edges) == len(graph.edges) + len(graph.heads)
    for one, two in combinations(boxes.values(), 2):
        assert not one.overlaps(two), graph.title
    for name, box in boxes.items():
        assert inside(words[name.replace("box", "text")], box), graph.title
        assert inside(box, page)
        assert not any(through(points, box) for points in edges.values()), graph.title
    captions = [bounds for name, bounds in words.items() if name.startswith("caption")]
    for bounds in captions:
        assert inside(bounds, page)
        assert not any(bounds.overlaps(box) for box in boxes.values())
    if legible:
        assert 7 * min(1, PAPER / width) >= 6, graph.title


def graphs(spec: arch.Spec) -> list[Graph]:
    rows = {row.key: row_graph(spec, row.name) for row in spec.rows}
    return [network_graph(spec), *rows.values(), *(head_graph(spec, name) for name in spec.heads)]


@pytest.mark.parametrize("name", every_network())
def test_shipped_networks_are_legible(name: str) -> None:
    for graph in graphs(arch.load(name)):
        check_drawing(graph)


@pytest.mark.parametrize(("name", "args"), [("expanded_for_tests", {"width": 384}), ("knots_for_tests", {"width": 8})])
def test_knotted_blocks_are_legible(name: str, args: dict[str, Any]) -> None:
    check_drawing(block(name, **args))


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(spec=specs())
def test_random_specs_are_drawn_without_overlap(spec: arch.Spec) -> None:
    try:
        drawn = graphs(spec)
    except arch.SpecError:
        return
    for graph in drawn:
        check_drawing(graph, legible=False)


def crossings(edges: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(name, a, b) for name, points in edges.items() for a, b in pairwise(points)]
    return [(n, m) for (n, a, b), (m, c, d) in combinations(lines, 2) if n != m and _cross(a, b, c, d)]


def _cross(a: Any, b: Any, c: Any, d: Any) -> bool:
    def side(p: Any, q: Any, r: Any) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < -1e-9 and side(c, d, a) * side(c, d, b) < -1e-9


@pytest.mark.parametrize("count", range(1, 13))
def test_branches_stand_in_their_written_order(count: int) -> None:
    graph = block("wide_for_tests", count=count)
    boxes, _, edges, _ = measured(graph)
    first = [next(i for i, text in enumerate(texts(graph)) if text.endswith(f" {101 + n}")) for n in range(count)]
    middles = [boxes[f"box-{index}"].x0 for index in first]
    assert middles == sorted(middles)
    assert crossings(edges) == []


@pytest.mark.parametrize("seed", range(1, 25))
def test_any_tree_is_drawn_without_overlap_and_without_crossing_edges(seed: int) -> None:
    graph = block("random_for_tests", seed=seed)
    check_drawing(graph, legible=False)
    assert crossings(measured(graph)[2]) == []


@pytest.mark.parametrize("name", ["knots_for_tests", "expanded_for_tests", "nested_for_tests"])
def test_edges_do_not_cross(name: str) -> None:
    assert crossings(measured(block(name, width=4))[2]) == []


def test_a_shortcut_with_other_channels_is_named() -> None:
    base = arch.load("googlenet_cifar_small")
    graph = row_graph(with_args(base, "3a", {"shortcut": True}), "3a")
    check_drawing(graph)
    assert "identity / 32 to 64 channels" in texts(graph)
    assert crossings(measured(graph)[2]) == []


def test_a_shortcut_runs_left_of_its_body() -> None:
    graph = block("knots_for_tests", width=4)
    boxes, _, edges, _ = measured(graph)
    body = texts(graph).index("3x3 conv / 4")
    shortcut = next(points for name, points in edges.items() if name == f"edge-1-{body + 2}")
    assert min(shortcut[:, 0]) < boxes[f"box-{body}"].x0


@pytest.mark.parametrize("name", ["inception_residual_cifar_small", "inception_resnet_v2"])
def test_a_residual_stands_on_its_body_and_its_shortcut_enters_from_the_left(name: str) -> None:
    spec = arch.load(name)
    graph = row_graph(spec, next(row.name for row in spec.rows if "res" in row.block))
    boxes, _, edges, _ = measured(graph)
    total = next(index for index, box in enumerate(graph.boxes) if box.lines[0] == "+")
    body, shortcut = (edge for edge in graph.edges if edge.end == total)
    upright = edges[f"edge-{body.start}-{total}"]
    assert len({round(x, 6) for x, _ in upright}) == 1
    assert len({round(boxes[f"box-{index}"].x0, 6) for index in (0, body.start, total, total + 1)}) == 1
    (before, y), (x, level) = edges[f"edge-{shortcut.start}-{total}"][-2:]
    assert before < x
    assert (x, y, y) == pytest.approx(
        (boxes[f"box-{total}"].x0, level, (upright[-1][1] + boxes[f"box-{total}"].y1) / 2)
    )


def test_input_at_the_bottom_and_one_height_a_layer() -> None:
    boxes = measured(row_graph(arch.load("googlenet"), "3a"))[0]
    heights = [round(boxes[f"box-{index}"].y0, 6) for index in range(9)]
    assert heights[0] < heights[1] < heights[3] < heights[8]
    assert heights[1] == heights[2] == heights[4] == heights[6]


def test_heads_stand_at_the_height_of_their_rows_in_one_column() -> None:
    graph = network_graph(arch.load("googlenet"))
    boxes = measured(graph)[0]
    lefts = set()
    for row, head in graph.heads:
        assert boxes[f"box-{row}"].y0 == boxes[f"box-{head}"].y0
        lefts.add(round(boxes[f"box-{head}"].x0, 6))
    assert len(lefts) == 1
    assert len({round(boxes[f"box-{edge.end}"].x0, 6) for edge in graph.edges}) == 1


def test_a_line_is_broken_between_arguments() -> None:
    """Not within one: `no` and `count_pad` stand in one line."""
    drawn = {
        text.get_gid(): text.get_text().split("\n")
        for text in draw(network_graph(arch.load("inception_resnet_v2"))).axes[0].texts
    }
    (lines,) = [lines for lines in drawn.values() if lines[0].startswith("5b:")]
    assert len(lines) == 3
    assert lines[1].endswith(",")
    assert "no count_pad" in lines[2]
    captions = " ".join(line for name, (line, *_) in drawn.items() if name.startswith("caption"))
    assert "1000 classes. Source: Szegedy" in captions


def test_switches_are_said_without_a_value() -> None:
    """`ceil` where it is on; what is off by a row's own word is said too, as the default may be on."""
    lines = [text for name in ("googlenet", "inception_resnet_v2") for text in texts(network_graph(arch.load(name)))]
    assert any(text.endswith("kernel 3, stride 2, ceil") for text in lines)
    assert any(text.endswith("no count_pad") for text in lines)
    assert not [text for text in lines if re.search("true|false", text, re.IGNORECASE)]


def test_too_large_a_drawing_is_refused() -> None:
    rows = [{"block": "conv", "out": 1 + index % 2, "kernel": 1} for index in range(1_000)]
    with pytest.raises(arch.InputError, match="at most 300 either way"):
        draw(network_graph(spec_of(*rows)))


def test_files_are_well_formed_and_the_same_each_time(tmp_path: Path) -> None:
    spec = spec_of({"block": "expanded_for_tests", "width": 4}, name="a <b> & $c_d$/e", source="x\ny & <z>")
    first, second = (save(row_graph(spec, "r0"), tmp_path / run, spec.name) for run in "ab")
    assert [path.name for path in first] == ["a_b_c_d_e.svg", "a_b_c_d_e.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    root = ElementTree.parse(first[0]).getroot()
    found = {element.get("id") for element in root.iter()}
    assert {"box-0", "text-8", "edge-0-1"} <= found
    assert first[1].read_bytes().startswith(b"\x89PNG")


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        ("googlenet_cifar_small",): "googlenet_cifar_small",
        ("googlenet", "3a"): "googlenet-3a",
        ("googlenet", "4a", "--head", "--input", "3x256x256"): "googlenet-4a-head",
        ("googlenet", "final"): "googlenet-final",
    }
    for arguments, name in cases.items():
        assert command(monkeypatch, *arguments, "--to", str(tmp_path)) == 0
        paths = [tmp_path / f"{name}.{ending}" for ending in ("svg", "png")]
        assert capsys.readouterr().out.split() == [str(path) for path in paths]
        assert all(path.stat().st_size > 1_000 for path in paths)
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("googlenet", "3c"), "there is no row '3c'. Did you mean 4c or 3b or 3a?"),
        (("googlenet", "3a", "--head"), "no head hangs on row '3a'"),
        (("googlenet", "--head"), "--head goes with a row"),
        (("googlenet", "4a", "--input", "3x2x2"), "googlenet"),
    ],
)
def test_command_line_refuses(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert command(monkeypatch, *arguments, "--to", str(tmp_path)) == 2
    assert said in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["inceptory", "draw", *arguments])
    with pytest.raises(SystemExit) as left:
        inceptory.main()
    return int(left.value.code or 0)
