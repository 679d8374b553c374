"""The report of a run: one HTML page that opens offline, beside its tables and figures as files."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from arch.spec import Spec, from_mapping, to_yaml
from reports.diagram import draw
from reports.figures import figures_of, svg
from reports.figures import write as write_figure
from reports.graph import network_graph
from reports.inline import inline
from reports.load import Run, export, load, splits
from reports.offline import render
from reports.progress import progress
from reports.protocol import protocol
from reports.repeat import environment_of, steps
from reports.summary import summarised
from reports.table import Table
from reports.tables import tables_of
from search.record import write_text

_SENTENCE = re.compile(r"[.:;] ")
_MOST_DRAWN = 6  # networks of an ablation, so that the page stays small
_LONG = 16  # rows above which a table scrolls in a box of its own


def report(run: str | Path, folder: str | Path | None = None, *, static: bool = False, reload: float = 0) -> Path:
    """Write a run's report and return the page's path.

    `report/` in the run directory (or `folder`) gets `index.html`, `tables/*.{csv,md,tex}`,
    `figures/*.{svg,png}` and the frames that they are made of.

    Parameters
    ----------
    static : leave out plotly and what can be explored with it: a page of 1 MB instead of 3.
    reload : seconds after which the page reloads itself; 0: never.

    Raises
    ------
    InputError
        The folder is no run.
    """
    loaded = load(run)
    place = Path(folder) if folder else Path(run) / "report"
    tables = tables_of(loaded)
    for table in tables:
        table.write(place / "tables")
    explored = {} if static else _explored(loaded, tables)
    figures = []
    for name, caption, figure in figures_of(loaded, tables):
        write_figure(figure, place / "figures", name)
        drawn = (place / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        figures.append(_shown_figure(name, caption, drawn, explored.get(name)))
    export(loaded, place)
    write_text(place / "index.html", _page(loaded, tables, figures, reload))
    return place / "index.html"


def _page(run: Run, tables: Sequence[Table], figures: Sequence[ShownFigure], reload: float) -> str:
    notes = _shared_notes(run, tables)
    facts = next((table for table in tables if table.name == "summary"), None)
    return render(
        "run.html",
        library=_plotly() if any(figure.data for figure in figures) else "",
        run=run,
        reload=reload,
        built=time.strftime("%H:%M:%S"),
        progress=progress(run),
        summary=summarised(run),
        facts_of=[] if facts is None else list(facts.printed().itertuples(index=False, name=None)),
        changes=changed(run),
        tables=[_shown_table(run, table, notes) for table in tables if table is not facts],
        figures=figures,
        drawings=_drawings(run),
        differing=_differing(run),
        notes=notes,
        config=yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True, width=100),
        environment=environment_of(run),
        steps=steps(run),
    )


def changed(run: Run) -> list[str]:
    """Return a sentence for each change that was allowed while a study ran."""
    return [
        f"Changed before trial {c['trials']} ({c['time']}): {c['key']} was {c['old']!r} and is {c['new']!r}."
        for c in run.changes
    ]


# Tables


@dataclass(frozen=True)
class ShownTable:
    """A table in the page; `shared` are the numbers of notes that stand under Protocol."""

    name: str
    title: str
    html: Markup
    notes: tuple[str, ...]
    shared: tuple[int, ...]
    long: bool


def _shared_notes(run: Run, tables: Sequence[Table]) -> list[str]:
    """Return the notes that several tables have: the protocol among them, which a page says once."""
    counted = Counter(note for table in tables for note in table.notes)
    return list(dict.fromkeys([*protocol(run), *(note for note, times in counted.items() if times > 1)]))


def _shown_table(run: Run, table: Table, shared: list[str]) -> ShownTable:
    own = tuple(note for note in table.notes if note not in shared)
    numbers = tuple(sorted(shared.index(note) + 1 for note in table.notes if note in shared))
    html = Markup(table.html(caption=False))
    return ShownTable(table.name, _title(run, table.caption), html, own, numbers, len(table.frame) > _LONG)


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


def _shown_figure(name: str, caption: str, drawn: str, explored: Any) -> ShownFigure:
    data = None if explored is None else Markup(explored.to_json().replace("<", "\\u003c"))  # no tag is left
    return ShownFigure(name, caption, inline(drawn, name), data, "<image" in drawn)


def _explored(run: Run, tables: Sequence[Table]) -> Mapping[str, Any]:
    """Return plotly's figures by the names of the drawn ones."""
    from reports.interactive import interactive_of

    return dict(interactive_of(run, tables))


def _plotly() -> str:
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


def _drawings(run: Run) -> list[Drawing]:
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


def _differing(run: Run) -> list[str]:
    """Return the searchable rows in which base and best network differ."""
    if not {"base", "best"} <= set(run.specs):
        return []
    base, best = splits(run.specs["base"]), splits(run.specs["best"])
    return [row for row in dict.fromkeys([*base, *best]) if base.get(row) != best.get(row)]
