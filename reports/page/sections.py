"""What stands in a page: tables, figures and networks as HTML."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from arch.specs.read import from_mapping
from arch.specs.spec import Spec
from arch.specs.write import to_yaml
from reports.drawings.diagram import draw
from reports.drawings.graph import network_graph
from reports.figures.style import svg
from reports.page.svg import inline
from reports.runs.run import Run
from reports.runs.splits import splits
from reports.tables.protocol import protocol
from reports.tables.table import Table

_SENTENCE = re.compile(r"[.:;] ")
_MOST_DRAWN = 6  # networks of an ablation, so that the page stays small
_LONG = 16  # rows above which a table scrolls in a box of its own


# Tables


@dataclass(frozen=True)
class ShownTable:
    """A table in the page; `shared` are the numbers of notes that stand under Protocol."""

    name: str
    title: str
    lead: str
    html: Markup
    notes: tuple[str, ...]
    shared: tuple[int, ...]
    long: bool


def shared_notes(run: Run, tables: Sequence[Table]) -> list[str]:
    """Return the notes that several tables have, which a page says once: the protocol, as far as it holds, first."""
    counted = Counter(note for table in tables for note in table.notes)
    shared = [note for note, times in counted.items() if times > 1]
    return list(dict.fromkeys([*(note for note in protocol(run) if counted[note]), *shared]))


def shown_table(run: Run, table: Table, shared: list[str]) -> ShownTable:
    """Return a table for the page, its notes apart from those that are shared."""
    own = tuple(note for note in table.notes if note not in shared)
    numbers = tuple(sorted(shared.index(note) + 1 for note in table.notes if note in shared))
    html = Markup(table.html(caption=False))
    return ShownTable(table.name, _title(run, table.caption), table.lead, html, own, numbers, len(table.frame) > _LONG)


def _title(run: Run, caption: str) -> str:
    """Return a caption without the run's name, which the page has in its heading."""
    text = caption.removeprefix(f"{run.name}: ")
    return text[:1].upper() + text[1:]


# Figures


@dataclass(frozen=True)
class ShownFigure:
    """A figure in the page: its drawing and, to explore it, plotly's data; `pixels` where it holds pictures."""

    name: str
    caption: str
    svg: Markup
    data: Markup | None
    pixels: bool

    @property
    def title(self) -> str:
        """The caption's first sentence."""
        return _SENTENCE.split(self.caption, maxsplit=1)[0].rstrip(".")

    @property
    def more(self) -> str:
        """The rest of the caption."""
        rest = _SENTENCE.split(self.caption, maxsplit=1)[1:]
        return rest[0][:1].upper() + rest[0][1:] if rest else ""


def shown_figure(name: str, caption: str, drawn: str, explored: Any) -> ShownFigure:
    """Return a figure for the page from its SVG and, where there is one, plotly's figure."""
    data = None if explored is None else Markup(explored.to_json().replace("<", "\\u003c"))  # no tag is left
    return ShownFigure(name, caption, inline(drawn, name), data, "<image" in drawn)


def plotly() -> str:
    """Return plotly's library; its package ships the full one alone."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


# Networks


@dataclass(frozen=True)
class Drawing:
    """A network in the page: its drawing and its file."""

    name: str
    title: str
    svg: Markup
    file: str


def drawings(run: Run) -> list[Drawing]:
    """Return the networks side by side: base and best, an ablation's that differ, a training's own."""
    return [
        Drawing(f"{number}", title, inline(svg(draw(network_graph(spec))), f"network-{number}"), to_yaml(spec))
        for number, (title, spec) in enumerate(_drawn(run).items())
    ]


def _drawn(run: Run) -> dict[str, Spec]:
    if "base" not in run.specs:
        return {}
    base = run.specs["base"]
    if run.kind == "training":
        return {base.name: base}
    drawn = {f"Base: {base.name}": base}
    if "best" in run.specs:
        drawn[f"Best: trial {run.ranked.iloc[0]['trial']}"] = run.specs["best"]
    seen = {base.fingerprint}
    for name, network in (run.ablation.plan["networks"] if run.ablation else {}).items():
        spec = from_mapping(network["spec"], f"{run.name}, {name}")
        if spec.fingerprint not in seen and len(drawn) < _MOST_DRAWN:
            drawn[f"Change: {name}"] = spec
            seen.add(spec.fingerprint)
    return drawn


def differing(run: Run) -> list[str]:
    """Return the searchable rows in which base and best network differ."""
    if not {"base", "best"} <= set(run.specs):
        return []
    base, best = splits(run.specs["base"]), splits(run.specs["best"])
    return [row for row in dict.fromkeys([*base, *best]) if base.get(row) != best.get(row)]
