"""A table: one pandas frame, written as CSV, Markdown, LaTeX and HTML from that frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from search.record import write_text

Format = Callable[[Any], str]
MISSING = "-"


@dataclass(frozen=True)
class Table:
    """A frame with its caption, its notes (protocol, seeds, n, hardware), and how columns are printed.

    Numbers in the frame are plain; `formats` maps a column to how a reader sees it.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    formats: Mapping[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def printed(self) -> pd.DataFrame:
        """Return the frame as text, as it is printed."""
        columns = {}
        for column in self.frame:
            show = self.formats.get(str(column), str)
            columns[column] = [MISSING if absent(value) else show(value) for value in self.frame[column]]
        return pd.DataFrame(columns, dtype=str)

    def csv(self) -> str:
        """Return the plain numbers as CSV."""
        return self.frame.to_csv(index=False)

    def markdown(self) -> str:
        """Return a GitHub table with caption and notes."""
        body = self.printed().map(lambda text: text.replace("|", "\\|")).to_markdown(index=False, disable_numparse=True)
        parts = [f"**{self.caption}**" if self.caption else "", str(body), *self.notes]
        return "\n\n".join(filter(None, parts)) + "\n"

    def latex(self) -> str:
        """Return a booktabs table with caption and notes."""
        body = self.printed().rename(columns=tex).map(tex)
        caption = tex(" ".join([f"{self.caption}.", *self.notes])) if self.caption else None
        label = f"tab:{self.name}" if self.caption else None
        return str(body.style.hide(axis="index").to_latex(hrules=True, caption=caption, label=label))

    def write(self, folder: Path) -> None:
        """Write `NAME.csv`, `NAME.md` and `NAME.tex`."""
        for ending, text in (("csv", self.csv()), ("md", self.markdown()), ("tex", self.latex())):
            write_text(folder / f"{self.name}.{ending}", text)


def absent(value: Any) -> bool:
    """Say whether a cell holds nothing."""
    return value is None or (isinstance(value, float) and value != value) or value is pd.NA


def tex(text: Any) -> str:
    """Return text with what LaTeX reads as commands escaped."""
    escapes = {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "`": r"\textasciigrave{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        ">": r"$>$",
        "<": r"$<$",
    }
    return "".join(escapes.get(letter, letter) for letter in str(text))


def longtable(table: Table, wide: str, width: str = "6cm") -> str:
    """Return a table that goes on over pages, column `wide` set as paragraphs, the notes behind it."""
    body = table.printed().rename(columns=tex).map(tex)
    text = body.style.hide(axis="index").to_latex(
        hrules=True,
        environment="longtable",
        column_format="".join(f"p{{{width}}}" if column == wide else "l" for column in table.frame),
        caption=tex(table.caption),
        label=f"tab:{table.name}",
    )
    return "\n".join(["% needs \\usepackage{booktabs,longtable}", text, *map(tex, table.notes), ""])


def percent(value: float) -> str:
    """Show a fraction in per cent, two decimals."""
    return f"{100 * value:.2f}"


def whole(value: float) -> str:
    """Show a count with separators."""
    return f"{int(value):,}"


def decimals(places: int) -> Format:
    """Return a format of so many decimals."""
    return lambda value: f"{value:.{places}f}"
