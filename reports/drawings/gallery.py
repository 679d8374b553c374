"""The gallery: a Markdown page of all networks with their costs, and drawings of the main blocks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import arch
from arch.registry import BLOCKS as DEFINITIONS
from arch.specs.spec import Spec
from reports.drawings.diagram import draw
from reports.drawings.graph import network_graph, row_graph
from reports.figures.style import svg
from reports.tables.escape import markdown
from reports.tables.table import Table
from search.record.files import write_text

BLOCKS = {
    "inception_v1": ("googlenet", "3a"),
    "inception_v2": ("inception_v2_cifar_small", "3a"),
    "inception_v3": ("inception_v3_cifar_small", "3a"),
    "inception_residual": ("inception_residual_cifar_small", "3a"),
    "separable": ("bn_inception", "conv1"),
    "inception_bn": ("bn_inception", "4a"),
    "reduction_bn": ("bn_inception", "3c"),
    "inception_v3_a": ("inception_v3", "5b"),
    "inception_v3_b": ("inception_v3", "6b"),
    "inception_v3_c": ("inception_v3", "7b"),
    "reduction_a": ("inception_v3", "6a"),
    "reduction_b": ("inception_v3", "7a"),
    "stem_v4": ("inception_v4", "stem"),
    "inception_v4_a": ("inception_v4", "a1"),
    "inception_v4_b": ("inception_v4", "b1"),
    "inception_v4_c": ("inception_v4", "c1"),
    "inception_resnet_a": ("inception_resnet_v2", "a1"),
    "inception_resnet_b": ("inception_resnet_v2", "b1"),
    "inception_resnet_c": ("inception_resnet_v2", "c1"),
    "reduction_resnet_b": ("inception_resnet_v2", "reduction_b"),
    "inception_mini": ("inception_mini", "2a"),
}
NETWORKS = ("googlenet", "inception_v3", "inception_v4", "inception_resnet_v2", "inception_v3_cifar_small")


_INTRODUCTION = """\
All networks that are shipped, what each costs, what is special about it, and drawings. To begin with, take
`googlenet_cifar_small` for small images and `googlenet` for the paper's own. `inceptory show NETWORK` prints a network
row by row, with `--format yaml` its file; `inceptory diff A B` lists what differs between two; `inceptory draw NETWORK`
draws one. A YAML file of your own goes wherever a name does ([your own block](write_your_own_block.md)).

Names: `_printed` is what a paper or a tutorial prints, its slips included; the network without it is the released one or has
slips mended. `_cifar` is a published network changed for 32x32 images; `_small` and `_tiny` are made for searches
and demonstrations. How they compare with what was printed: [the papers' tables](reproduce_the_papers.md) and
[the tutorials](reproduce_the_tutorials.md)."""
_DRAWN = (
    "The main blocks, drawn from their nodes by `inceptory draw NETWORK ROW`; the input is at the bottom. "
    "`inceptory list blocks` names all, with their arguments."
)
_COLUMNS = """\
Figures are those of the named input and number of classes, and leave auxiliary heads out; only `with heads` counts their
parameters too. MACs are multiply-adds of convolutions and linear layers, batch 1. Depth is the number of layers with
parameters on the longest path, a separable convolution as one. Dead weights belong to kernel taps that only ever see
padding. Parameters and MACs equal what torch and fvcore count in the built network (`inceptory count '*' --check`)."""


def gallery(folder: Path) -> Path:
    """Write `networks.md` and its drawings in `blocks/` and `networks/` into a folder; return the page.

    A block and a network may have the same name: each kind has its folder.
    """
    for block, (network, row) in BLOCKS.items():
        write_text(folder / _drawing("blocks", block), svg(draw(row_graph(arch.load(network), row))))
    for network in NETWORKS:
        write_text(folder / _drawing("networks", network), svg(draw(network_graph(arch.load(network)))))
    page = folder / "networks.md"
    write_text(page, text())
    return page


def text() -> str:
    """Return the page: a table a kind of source, then the drawings."""
    specs = [arch.load(name) for name in arch.list_networks()]
    kinds = {
        "Of the papers and their released code": [
            spec for spec in specs if not _is_ours(spec) and not _is_tutorial(spec)
        ],
        "Of the tutorials": [spec for spec in specs if _is_tutorial(spec)],
        "Of this project, for 32x32 images": [spec for spec in specs if _is_ours(spec)],
    }
    parts = [
        "# Networks",
        _INTRODUCTION,
        _COLUMNS,
        "Written by `inceptory gallery docs`; a test holds it to the networks.",
    ]
    for title, group in kinds.items():
        parts += [
            f"## {title}",
            _table(group),
            "\n".join(f"- `{spec.name}`: {markdown(spec.note)}" for spec in group if spec.note),
        ]
    parts += ["## Blocks", _DRAWN]
    parts += [
        _figure("blocks", block, f"{network}, row {row}", _what(block)) for block, (network, row) in BLOCKS.items()
    ]
    parts += [
        "## Complete networks",
        *(_figure("networks", network, arch.load(network).source) for network in NETWORKS),
    ]
    return "\n\n".join(parts) + "\n"


def _is_ours(spec: Spec) -> bool:
    return spec.input[1:] == (32, 32) and not _is_tutorial(spec)


def _is_tutorial(spec: Spec) -> bool:
    return spec.source.startswith("tutorial")


def _table(specs: list[Spec]) -> str:
    rows = []
    for spec in specs:
        cost, measures = arch.cost(spec), arch.measure(spec)
        rows.append(
            {
                "network": f"`{spec.name}`",
                "input": "x".join(map(str, spec.input)),
                "classes": str(spec.classes),
                "params": f"{cost.params:,}",
                "with heads": f"{cost.params + cost.aux_params:,}",
                "MACs": f"{cost.macs:,}",
                "depth": str(measures.depth),
                "dead weights": f"{measures.dead_weights:,}",
                "source": spec.source,
            }
        )
    return Table("networks", "", pd.DataFrame(rows)).markdown().strip()


def _what(block: str) -> str:
    return DEFINITIONS.get(block).summary


def _figure(kind: str, name: str, where: str, what: str = "") -> str:
    caption = f"`{name}` ({where}){f': {what}' if what else ''}"
    return f"{caption}\n\n![{name}, {where}]({_drawing(kind, name)})"


def _drawing(kind: str, name: str) -> str:
    return f"{kind}/{name}.svg"
