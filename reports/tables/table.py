"""A table: one pandas frame, written as CSV, Markdown, LaTeX and HTML from that frame."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

import pandas as pd

from reports.tables import escape as markup
from reports.tables.escape import tex
from search.record.files import write_text

Format = Callable[[Any], str]
Folders = tuple[str, ...]
MISSING = "-"
_NARROW = 8  # columns that a page surely holds
_BREAK = r"\\{}"  # braces: a bracket that follows would be read as a distance


@dataclass(frozen=True)
class Spread:
    """The columns whose standard deviation and n stand in a mean's cell, as `mean ± sd (n)`."""

    sd: str
    n: str


@dataclass(frozen=True)
class Table:
    """A frame with its caption, its notes (protocol, seeds, n, hardware), and how columns are printed.

    Numbers in the frame are plain, and the CSV holds them so. All that follows names a column by its key in the frame.

    Attributes
    ----------
    heads : what a column is headed where it is read, by its key; a column without one is headed by its key.
    formats : how a reader sees a column.
    spreads : columns of means that are printed with their spread in one cell; the CSV keeps the columns apart.
    bold : cells, as (row from 0, column), that a test supports; nothing is bold for being the largest.
    sources : for each row the folders of the trainings that it is made of, relative to the run directory.
    column_sources : the same for a column whose cells are made of others than their row.
    place : where it stands in the page: among the tables, or as the facts of the summary.
    lead : a sentence above the table: what it comes to.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    formats: Mapping[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    heads: Mapping[str, str] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    bold: frozenset[tuple[int, str]] = frozenset()
    sources: Sequence[Folders] = ()
    column_sources: Mapping[str, Sequence[Folders]] = field(default_factory=dict)
    place: Literal["tables", "summary"] = "tables"
    lead: str = ""

    def __post_init__(self) -> None:
        for sources in filter(None, (self.sources, *self.column_sources.values())):
            if len(sources) != len(self.frame):
                raise ValueError(f"table {self.name}: {len(sources)} sources, but {len(self.frame)} rows.")

    def headers(self) -> dict[str, str]:
        """Return what each printed column is headed, by its column in the frame."""
        inside = {column for spread in self.spreads.values() for column in (spread.sd, spread.n)}
        return {
            column: f"{self.head(column)} ± sd (n)" if column in self.spreads else self.head(column)
            for column in map(str, self.frame)
            if column not in inside
        }

    def head(self, column: str) -> str:
        """Return what a column of the frame is headed in the CSV."""
        return self.heads.get(column, column)

    def plain(self) -> pd.DataFrame:
        """Return the frame with the headers of the CSV, for other programs."""
        return self.frame.rename(columns=self.head)

    def printed(self) -> pd.DataFrame:
        """Return the frame as text, as it is printed."""
        shown = {header: self._column(column) for column, header in self.headers().items()}
        return pd.DataFrame(shown, dtype=str)

    def _column(self, column: str) -> list[str]:
        show, spread = self.formats.get(column, str), self.spreads.get(column)
        texts = [MISSING if absent(value) else show(value) for value in self.frame[column]]
        if spread is None:
            return texts
        spreads = ["" if absent(sd) else f" ± {show(sd).lstrip('+')}" for sd in self.frame[spread.sd]]
        return [
            text if text == MISSING else f"{text}{around} ({int(n)})"
            for text, around, n in zip(texts, spreads, self.frame[spread.n], strict=True)
        ]

    def _marked(self, escape: Callable[[Any], str], mark: Format) -> pd.DataFrame:
        """Return the printed frame as a language reads it, bold cells in its marks."""
        printed, places = self.printed().map(escape), {column: i for i, column in enumerate(self.headers())}
        for row, column in self.bold:
            printed.iat[row, places[column]] = mark(printed.iat[row, places[column]])
        return printed.rename(columns=escape)

    def csv(self) -> str:
        """Return the plain numbers as CSV."""
        return self.plain().to_csv(index=False)

    def markdown(self) -> str:
        """Return a GitHub table with caption and notes."""
        marked = self._marked(markup.markdown, "**{}**".format)
        body = marked.to_markdown(index=False, disable_numparse=True)
        parts = [f"**{markup.markdown(self.caption)}**" if self.caption else "", self.lead, str(body), *self.notes]
        return "\n\n".join(filter(None, parts)) + "\n"

    def latex(self) -> str:
        r"""Return a booktabs table with caption and notes; numbers stand to the right.

        One of more than 8 columns stands across a page of two columns, its headers broken at spaces, and is
        shrunk to the page's width where it is wider; it needs `adjustbox` too.
        """
        marked = self._marked(tex, r"\textbf{{{}}}".format)
        alignment = ["r" if self.is_number(column) else "l" for column in self.headers()]
        wide = len(alignment) > _NARROW
        if wide:
            marked.columns = [_broken(*pair) for pair in zip(marked.columns, alignment, strict=True)]
        caption = tex(" ".join(filter(None, [f"{self.caption}.", self.lead, *self.notes]))) if self.caption else None
        text = marked.style.hide(axis="index").to_latex(
            hrules=True,
            column_format="".join(alignment),
            environment="table*" if caption and wide else None,
            caption=caption,
            label=f"tab:{self.name}" if caption else None,
        )
        return f"{needs('booktabs', 'adjustbox')}\n{fitted(text)}" if wide else f"{needs('booktabs')}\n{text}"

    def html(self, caption: bool = True) -> str:
        """Return a `<table>`, escaped: headers are buttons to sort by, `data-value` holds a cell's plain value.

        Numbers are `class="number"`. The notes and, without `caption`, the caption are left to the page.
        """
        marked = self._marked(lambda text: html.escape(str(text)), "<strong>{}</strong>".format)
        kinds = [' class="number"' if self.is_number(column) else "" for column in self.headers()]
        head = "".join(
            f'<th scope="col"{kind}><button type="button">{header}</button></th>'
            for kind, header in zip(kinds, marked.columns, strict=True)
        )
        lines = [f"<table{markup.attribute('id', self.name)}>"]
        lines += [f"<caption>{html.escape(self.caption)}</caption>"] if caption and self.caption else []
        lines += [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
        for texts, values in zip(marked.itertuples(index=False), self._values(), strict=True):
            cells = zip(kinds, values, texts, strict=True)
            row = "".join(f"<td{kind}{markup.attribute('data-value', v)}>{text}</td>" for kind, v, text in cells)
            lines.append(f"<tr>{row}</tr>")
        return "\n".join([*lines, "</tbody>", "</table>"])

    def _values(self) -> Iterator[list[Any]]:
        """Yield each printed row's plain values; nothing where a cell holds nothing."""
        for row in self.frame[list(self.headers())].itertuples(index=False):
            yield ["" if absent(value) else value for value in row]

    def is_number(self, column: str) -> bool:
        """Return whether a column holds numbers."""
        values = [value for value in self.frame[column] if not absent(value)]
        return bool(values) and all(isinstance(v, int | float) or hasattr(v, "dtype") for v in values)

    def write(self, folder: Path) -> None:
        """Write `NAME.csv`, `NAME.md` and `NAME.tex`."""
        for ending, text in (("csv", self.csv()), ("md", self.markdown()), ("tex", self.latex())):
            write_text(folder / f"{self.name}.{ending}", text)


def absent(value: Any) -> bool:
    """Return whether a cell holds nothing."""
    return value is None or (isinstance(value, float) and value != value) or value is pd.NA


def needs(*packages: str) -> str:
    """Return the line of LaTeX that tells a reader what a table takes."""
    return rf"% needs \usepackage{{{','.join(packages)}}}"


def fitted(text: str) -> str:
    r"""Return LaTeX whose `tabular` is shrunk to a line's width where it is wider; needs `adjustbox`."""
    inside = text.replace(r"\begin{tabular}", "\\begin{adjustbox}{max width=\\linewidth}\n\\begin{tabular}")
    return inside.replace(r"\end{tabular}", "\\end{tabular}\n\\end{adjustbox}")


def _broken(header: str, side: str) -> str:
    lines = wrap(header, 8, break_long_words=False, break_on_hyphens=False)
    return rf"\shortstack[{side}]{{{_BREAK.join(lines)}}}" if len(lines) > 1 else header


def longtable(table: Table, wide: str, width: str = "6cm") -> str:
    """Return a table that continues over pages, column `wide` set as paragraphs, the notes behind it."""
    body = table.printed().rename(columns=tex).map(tex)
    text = body.style.hide(axis="index").to_latex(
        hrules=True,
        environment="longtable",
        column_format="".join(f"p{{{width}}}" if column == wide else "l" for column in table.frame),
        caption=tex(table.caption),
        label=f"tab:{table.name}",
    )
    return "\n".join([needs("booktabs", "longtable"), text, *map(tex, table.notes), ""])


def percent(value: float) -> str:
    """Show a fraction in per cent, two decimals."""
    return f"{100 * value:.2f}"


def integer(value: float) -> str:
    """Show a count with separators."""
    return f"{int(value):,}"


def decimals(places: int) -> Format:
    """Return a format of so many decimals."""
    return lambda value: f"{value:.{places}f}"


def macs_unit(values: Iterable[Any]) -> tuple[str, float]:
    """Return the unit that MACs are printed in and what they are multiplied by: G from a thousand million on, else M."""
    most = max((float(value) for value in values if not absent(value)), default=0.0)
    return ("G", 1e-9) if most >= 1e9 else ("M", 1e-6)


def macs_head(values: Iterable[Any]) -> tuple[str, float]:
    """Return how a column of MACs is headed, with its unit, and what they are multiplied by."""
    unit, factor = macs_unit(values)
    return f"MACs ({unit})", factor
