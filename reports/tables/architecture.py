"""A network as the architecture table of a paper, in LaTeX: GoogLeNet's Table 1 (Szegedy et al. 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from arch.analysis.cost import count
from arch.analysis.measure import depth
from arch.analysis.shapes import Placed, place_network
from arch.nodes import AdaptivePool, Chain, Concat, Conv, Dropout, Flatten, Linear, Node, Pair, Pool, Relu, Residual
from arch.registry import Reduced
from arch.specs.spec import FINAL, Row, Spec, described, expand_row
from reports.tables.escape import tex
from reports.tables.table import fitted, needs

TIMES = r"$\times$"
BRANCHES = {
    "b1x1": ("1x1",),
    "b3x3": ("3x3 reduce", "3x3"),
    "double3x3": ("double 3x3 reduce", "double 3x3"),
    "b5x5": ("5x5 reduce", "5x5"),
    "pool": ("pool proj",),
}
GEOMETRY = ("out", "kernel", "stride", "padding", "ceil")  # in the patch and output columns
TYPES = {"conv": "convolution", "conv_reduced": "convolution", "max_pool": "max pool", "avg_pool": "avg pool"}


@dataclass(frozen=True)
class _Line:
    """A line of the table; `channels` are a row's branch arguments, or text where it has others."""

    type: str
    patch: str
    output: tuple[int, ...]
    times: int
    depth: int
    params: int
    macs: int
    channels: Mapping[str, Any] | str


def architecture_table(spec: Spec) -> str:
    r"""Return a network's rows as a LaTeX table, without auxiliary heads.

    The channel columns are those of the branches that the rows have; a row of another block spans them with
    its arguments, and where most rows are such there is one column of arguments. Equal rows in succession
    are one line with the sums of their figures. `depth` counts convolutions and linear layers, `params`
    is in thousands (1 K = 1000), `MACs` in millions. The table is shrunk to the page's width where it is wider;
    it needs `\usepackage{booktabs,adjustbox}`.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size.
    """
    lines = [*_row_lines(spec), *_head_lines(place_network(spec).heads[FINAL])]
    return "\n".join(
        [
            needs("booktabs", "adjustbox"),
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{_x(tex(_caption(spec, lines)))}}}",
            rf"\label{{tab:{''.join(c if c.isalnum() or c in '-.' else '-' for c in spec.name)}}}",
            fitted("\n".join(_tabular(lines))),
            r"\end{table*}",
            "",
        ]
    )


def _caption(spec: Spec, lines: Sequence[_Line]) -> str:
    source = f", {spec.source}" if spec.source else ""
    caption = (
        f"{spec.name}{source}. Input {'x'.join(map(str, spec.input))}, {spec.classes} classes; without auxiliary heads. "
        "Depth in convolutions and linear layers, parameters in thousands, MACs (multiply-adds) in millions."
    )
    sums = " A line for several rows holds the sums of their figures."
    return caption + sums if any(line.times > 1 for line in lines) else caption


def _tabular(lines: Sequence[_Line]) -> list[str]:
    branches = _columns(lines)
    titles = [title for key in branches for title in BRANCHES[key]] or ["arguments"]
    header = ["type", "patch size/ stride", "output size", "depth"]
    header += [*(f"#{title}" if title[0].isdigit() else title for title in titles), "params (K)", "MACs (M)"]
    channels = "r" * len(titles) if branches else "l"
    depths = sum(line.depth for line in lines)
    return [
        rf"\begin{{tabular}}{{llrr{channels}rr}}",
        r"\toprule",
        _cells(*(_x(tex(title)) for title in header)),
        r"\midrule",
        *(_printed(line, branches) for line in lines),
        r"\midrule",
        _cells("total", "", "", depths, *[""] * len(titles), *_figures(lines)),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _row_lines(spec: Spec) -> Iterator[_Line]:
    stands = zip(spec.rows, place_network(spec).rows, strict=True)
    for _, group in groupby(stands, lambda pair: (pair[0].key, pair[1].input)):
        rows = list(group)
        (first, placed), last = rows[0], rows[-1][0]
        names = first.name if first is last else f"{first.name} to {last.name}"
        extras = {key: value for key, value in _other(first).items() if key not in BRANCHES}
        fits = not set(extras) & first.definition.widths and all(map(_fits, _branches(first).items()))
        kind = TYPES.get(first.block, first.block.replace("_", " "))
        text = f"{kind} ({names})" + (f", {described(extras)}" if extras and fits else "")
        channels = _branches(first) if fits else described(_other(first))
        yield _line(text, placed, _patch(expand_row(first)), len(rows), channels)


def _other(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.definition.non_default(row.args).items() if key not in GEOMETRY}


def _branches(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.args.items() if key in BRANCHES}


def _fits(branch: tuple[str, Any]) -> bool:
    """Return whether a branch's channels go into its columns: one number, or a reduction and an output."""
    key, value = branch
    return isinstance(value, int) or (isinstance(value, Reduced) and len(BRANCHES[key]) == 2)


def _head_lines(head: Placed) -> Iterator[_Line]:
    """Yield a line for each layer of the final head, as the papers print it."""
    for part in head.parts if isinstance(head.node, Chain) else (head,):
        match part.node:
            case Flatten() | Relu():
                continue
            case AdaptivePool(size=(1, 1)):
                yield _line("avg pool", part, _window(part.input[1:], (1, 1)))  # type: ignore[arg-type]
            case Pool(kind=kind):
                yield _line(f"{kind} pool", part, _patch(part.node))
            case Conv():
                yield _line("convolution", part, _patch(part.node))
            case Dropout(p=p):
                yield _line(f"dropout ({100 * p:g} %)", part)
            case Linear():
                yield _line("linear", part)
            case _:
                yield _line(part.name.replace("_", " "), part)


def _line(
    kind: str, placed: Placed, patch: str = "", times: int = 1, channels: Mapping[str, Any] | str | None = None
) -> _Line:
    params, macs, _ = count(placed)
    repeated = f"{times}{TIMES} " if times > 1 else ""
    return _Line(
        repeated + tex(kind),
        patch,
        placed.output,
        times,
        times * depth(placed),
        times * params,
        times * macs,
        channels or {},
    )


def _patch(node: Node) -> str:
    """Return kernel and stride of the one window in a row, that of a reduced convolution among them, or nothing."""
    layers = node.nodes if isinstance(node, Chain) else (node,)
    if any(isinstance(layer, Chain | Concat | Residual) for layer in layers):
        return ""
    windows = [layer for layer in layers if isinstance(layer, Conv | Pool)]
    chosen = [layer for layer in windows if layer.kernel != (1, 1)] or windows
    return _window(chosen[0].kernel, chosen[0].stride) if len(chosen) == 1 else ""


def _window(kernel: Pair, stride: Pair) -> str:
    steps = str(stride[0]) if stride[0] == stride[1] else TIMES.join(map(str, stride))
    return f"{TIMES.join(map(str, kernel))}/{steps}"


def _columns(lines: Sequence[_Line]) -> list[str]:
    """Return the branches that have columns: none where most rows with channels have other arguments."""
    split = [line.channels for line in lines if isinstance(line.channels, Mapping) and line.channels]
    if len(split) <= sum(isinstance(line.channels, str) for line in lines):
        return []
    return [key for key in BRANCHES if any(key in channels for channels in split)]


def _printed(line: _Line, branches: Sequence[str]) -> str:
    size = TIMES.join(map(str, (*line.output[1:], line.output[0]) if len(line.output) == 3 else (1, 1, line.output[0])))
    return _cells(line.type, line.patch, size, line.depth or "", *_channels(line, branches), *_figures([line]))


def _channels(line: _Line, branches: Sequence[str]) -> list[str]:
    if isinstance(line.channels, str):
        width = sum(len(BRANCHES[key]) for key in branches)
        return [rf"\multicolumn{{{width}}}{{l}}{{{tex(line.channels)}}}" if branches else tex(line.channels)]
    if not branches:
        return [tex(described(line.channels))]
    cells = []
    for key in branches:
        value = line.channels.get(key, "")
        numbers = value if isinstance(value, tuple) else (*[""] * (len(BRANCHES[key]) - 1), value)
        cells += [str(number) for number in numbers]
    return cells


def _figures(lines: Sequence[_Line]) -> tuple[str, str]:
    return _rounded(sum(line.params for line in lines) / 1e3), _rounded(sum(line.macs for line in lines) / 1e6)


def _rounded(value: float) -> str:
    """Show a figure as Table 1 does: an integer from 10 on, with a decimal below it, nothing for nothing."""
    if not value:
        return ""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.1g}"


def _x(text: str) -> str:
    """Return text with the x of `3x3` as a sign."""
    parts = text.split("x")
    joined = parts[0]
    for before, after in pairwise(parts):
        joined += (TIMES if before[-1:].isdigit() and after[:1].isdigit() else "x") + after
    return joined


def _cells(*cells: object) -> str:
    return " & ".join(map(str, cells)) + r" \\"
