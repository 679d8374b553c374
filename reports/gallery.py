"""The gallery: a Markdown page of all networks with their costs, and drawings of the main blocks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import arch
from arch.spec import Spec
from reports.diagram import draw
from reports.figures import svg
from reports.graph import network_graph, row_graph
from reports.table import Table
from search.record import write_text

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
NETWORKS = ("googlenet", "inception_v4", "inception_resnet_v2", "inception_v3_cifar_small")


def gallery(folder: Path) -> Path:
    """Write `networks.md` and its drawings in `networks/` into a folder; return the page."""
    graphs = {block: row_graph(arch.load(network), row) for block, (network, row) in BLOCKS.items()}
    graphs |= {network: network_graph(arch.load(network)) for network in NETWORKS}
    for name, graph in graphs.items():
        write_text(folder / "networks" / f"{name}.svg", svg(draw(graph)))
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
        "Written by `inceptory gallery docs`; a test holds it to the networks. Parameters, MACs (multiply-adds of convolutions "
        "and linear layers, batch 1), depth (layers with parameters on the longest path) and dead weights (whose kernel taps only "
        "see padding) are without auxiliary heads. Every count equals fvcore's (`inceptory count '*' --check`).",
    ]
    for title, group in kinds.items():
        parts += [
            f"## {title}",
            _table(group),
            "\n".join(f"- `{spec.name}`: {spec.note}" for spec in group if spec.note),
        ]
    parts += ["## Blocks", "Drawn from their nodes by `inceptory draw NETWORK ROW`; the input is at the bottom."]
    parts += [_figure(block, f"`{block}`: {network}, row {row}") for block, (network, row) in BLOCKS.items()]
    parts += ["## Whole networks", *(_figure(network, f"`{network}`") for network in NETWORKS)]
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
                "params": f"{cost.params:,}",
                "with heads": f"{cost.params + cost.aux_params:,}",
                "MACs": f"{cost.macs:,}",
                "depth": str(measures.depth),
                "dead weights": f"{measures.dead_weights:,}",
                "source": spec.source,
            }
        )
    return Table("networks", "", pd.DataFrame(rows)).markdown().strip()


def _figure(name: str, caption: str) -> str:
    return f"{caption}\n\n![{caption.replace('`', '')}](networks/{name}.svg)"
